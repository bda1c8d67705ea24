"""Writes derived templates to files, signs the files, and reads and compares them. A file that is taken becomes a draft, which somebody
here must publish.

A file is a JSON object {jobwright_template: 1, type, base, base_version, definition, signature?}. The signature is {key, value} in base64:
Ed25519 (RFC 8032) over the object without the signature, as JSON with sorted names and no spaces, in UTF-8.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.errors import FieldError, NotFound, ValidationFailed
from app.jobtemplates.catalogue import Catalogue, current_number
from app.jobtemplates.derived import TYPE, problems, read_definition
from app.jobtemplates.service import Templates
from app.keys import KeyRing
from app.mongo import Document
from app.validation import SchemaValidator, strict_json
from templates_lib.messages import say

LARGEST = 1_000_000  # characters
MAX_DEPTH = 64  # levels of JSON
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["jobwright_template", "type", "base", "base_version", "definition"],
    "additionalProperties": False,
    "properties": {
        "jobwright_template": {"const": 1},
        "type": {"type": "string", "pattern": TYPE, "x-pattern-words": "lower-case letters, digits and _"},
        "base": {"type": "string"},
        "base_version": {"type": "integer", "minimum": 1},
        "definition": {"type": "object"},
        "signature": {
            "type": "object",
            "required": ["key", "value"],
            "additionalProperties": False,
            "properties": {"key": {"type": "string", "maxLength": 100}, "value": {"type": "string", "maxLength": 200}},
        },
    },
}


class Signed(StrEnum):
    """Who signed a file. A file with a wrong signature is refused."""

    NOBODY = "nobody"
    HERE = "installed here"  # by this installation
    TRUSTED = "trusted"  # by a key of JOBWRIGHT_TRUSTED_TEMPLATE_KEYS
    STRANGER = "stranger"  # by a key that this installation does not trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The content of a file, and what would change if it were taken.

    `diff` compares it with the draft or the newest version that is here. A file with `errors` cannot be taken.
    """

    type: str
    base: str
    definition: Mapping[str, Any]
    signed: Signed
    key: str
    new: bool
    diff: tuple[dict[str, Any], ...]
    errors: tuple[FieldError, ...]
    notes: tuple[str, ...]


class Sharing:
    """Writes and reads files of derived templates, for super-admins."""

    def __init__(self, templates: Templates, catalogue: Catalogue, keys: KeyRing, trusted: tuple[str, ...] = ()) -> None:
        self._templates, self._catalogue, self._trusted = templates, catalogue, trusted
        private_keys = [Ed25519PrivateKey.from_private_bytes(key) for key in keys.derive_all("template signing")]
        self._current = private_keys[0]
        self._own = {public_text(private.public_key()) for private in private_keys}

    @property
    def key(self) -> str:
        """The public key of this installation's signatures, in base64."""
        return public_text(self._current.public_key())

    def write(self, actor: Actor, kind: str, *, version: int | None = None, sign: bool = True) -> str:
        """Returns a version of a derived template, by default the current one, as a file. Raises NotFound."""
        require(actor, May.MANAGE_TEMPLATES)
        row = self._templates.get(actor, kind)
        number = version or current_number(row)
        stored = next((stored for stored in row.get("versions", ()) if stored["number"] == number), None)
        if stored is None:
            raise NotFound("version of a derived template", f"{kind} {number}")
        file: Document = {
            "jobwright_template": 1,
            "type": kind,
            "base": row["base"],
            "base_version": stored["base_version"],
            "definition": stored["definition"],
        }
        if sign:
            file["signature"] = {"key": self.key, "value": base64.b64encode(self._current.sign(_signed_bytes(file))).decode()}
        return json.dumps(file, indent=2, ensure_ascii=False) + "\n"

    def look(self, actor: Actor, text: str) -> Shared:
        """Returns what a file holds, who signed it, and what it would change. Raises ValidationFailed if the text is not such a file, or
        was changed after it was signed."""
        require(actor, May.MANAGE_TEMPLATES)
        file = _parse(text)
        signed, key = self._signer(file)
        kind, base = file["type"], self._catalogue.find(file["base"])
        definition, unseen = read_definition(file["definition"])
        errors = [error.below("/definition") for error in unseen]
        notes: list[str] = []
        if kind in {entry.type for entry in self._catalogue.code()}:
            errors.append(FieldError("/type", say("{kind} is already the type of a template that is written in code", kind=kind)))
        if base is None or base.base:
            errors.append(FieldError("/base", say("names {base!r}, which is not installed here. Install it first", base=file["base"])))
        else:
            errors += [error.below("/definition") for error in problems(base.template, definition)]
            if base.version != file["base_version"]:
                notes.append(f"It was made for version {file['base_version']} of {base.name}; here it is {base.version}.")
        here = self._here(actor, kind)
        if here is not None and here["base"] != file["base"]:
            errors.append(FieldError("/base", say("{kind} is derived from {base} here", kind=kind, base=here["base"])))
        before = self._templates.definition_of(here) if here else {}
        return Shared(
            type=kind,
            base=file["base"],
            definition=definition,
            signed=signed,
            key=key,
            new=here is None,
            diff=tuple(field_diff(before, definition)),
            errors=tuple(errors),
            notes=tuple(notes),
        )

    def take(self, actor: Actor, text: str) -> Document:
        """Makes the definition of the file the draft of its template, and begins that template if it is not here. Raises
        ValidationFailed."""
        shared = self.look(actor, text)
        if shared.errors:
            raise ValidationFailed(shared.errors)
        if shared.new:
            return self._templates.derive(actor, {"type": shared.type, "base": shared.base, "definition": dict(shared.definition)})
        return self._templates.save_draft(actor, shared.type, dict(shared.definition))

    def _here(self, actor: Actor, kind: str) -> Document | None:
        try:
            row = self._templates.get(actor, kind)
        except NotFound:
            return None
        return row if "base" in row else None

    def _signer(self, file: Document) -> tuple[Signed, str]:
        signature = file.get("signature")
        if signature is None:
            return Signed.NOBODY, ""
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature["key"], validate=True))
            public.verify(base64.b64decode(signature["value"], validate=True), _signed_bytes(file))
        except (ValueError, InvalidSignature) as error:
            raise ValidationFailed([FieldError("/signature", "is not valid: the file was changed after it was signed")]) from error
        key = public_text(public)
        return Signed.HERE if key in self._own else Signed.TRUSTED if key in self._trusted else Signed.STRANGER, key


def public_text(key: Ed25519PublicKey) -> str:
    """Returns a public key as files and settings write it."""
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _parse(text: str) -> Document:
    if len(text) > LARGEST:
        raise ValidationFailed([FieldError("", say("is larger than {most:,} characters", most=LARGEST))])
    try:
        file: Any = strict_json.parse(text, deepest=MAX_DEPTH)
    except ValueError as error:
        raise ValidationFailed([FieldError("", say("is not a template file: {error}", error=error))]) from error
    if not isinstance(file, dict) or "jobwright_template" not in file:
        raise ValidationFailed([FieldError("", "is not an exported template")])
    errors = SchemaValidator(SCHEMA).errors(file)
    if errors:
        raise ValidationFailed(errors)
    return dict(file)


def _signed_bytes(file: Mapping[str, Any]) -> bytes:
    unsigned = {name: value for name, value in file.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
