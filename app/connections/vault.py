"""Secrets at rest: sealed by the key, masked for whoever looks, opened only for the process that needs them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from app.errors import StartError

SEALED = "$sealed"  # {"$sealed": "<Fernet token>"}: what MongoDB holds
MASK: dict[str, str] = {"$secret": "set"}  # what the API and the form show, and what they send back for "leave it as it is"


class Vault:
    """Seals the `writeOnly` members of values by their schema. Fernet: AES-128-CBC with HMAC-SHA256 (cryptography.io)."""

    def __init__(self, key: str) -> None:
        digest = hashlib.sha256(b"jobwright vault 1\0" + key.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(digest))

    def seal(self, schema: Mapping[str, Any], value: Any, stored: Any = None) -> Any:
        """`value` with each secret sealed. A secret that is MASK keeps the sealed one at its place in `stored`."""
        if is_secret(schema):
            if value == MASK:
                return stored if is_sealed(stored) else None
            token = self._fernet.encrypt(json.dumps(value, ensure_ascii=False).encode()).decode()
            return {SEALED: token}
        return _walk(schema, value, stored, self.seal)

    def keep(self, schema: Mapping[str, Any], value: Any, stored: Any) -> Any:
        """`value` in the clear, with MASK replaced by the secret that `stored` holds at that place; for validation.

        A MASK with nothing stored stays as it is, and the validator refuses it.
        """
        if is_secret(schema):
            return self.open(stored) if value == MASK and is_sealed(stored) else value
        return _walk(schema, value, stored, self.keep)

    def open(self, value: Any) -> Any:
        """`value` with each sealed secret in the clear. Raises StartError where it was sealed with another key."""
        if is_sealed(value):
            try:
                return json.loads(self._fernet.decrypt(value[SEALED].encode()))
            except InvalidToken as error:
                raise StartError("A secret was sealed with another key; set JOBWRIGHT_SECRET_KEY to the one it was made with") from error
        if isinstance(value, Mapping):
            return {key: self.open(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.open(item) for item in value]
        return value


def mask(value: Any) -> Any:
    """`value` with MASK for each sealed secret."""
    if is_sealed(value):
        return dict(MASK)
    if isinstance(value, Mapping):
        return {key: mask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return value


def is_sealed(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {SEALED} and isinstance(value[SEALED], str)


def is_secret(schema: Any) -> bool:
    """JSON Schema validation 9.4: a `writeOnly` value is never given back; a password is one too, as the form has it."""
    return isinstance(schema, Mapping) and (schema.get("writeOnly") is True or schema.get("format") == "password")


def _walk(schema: Any, value: Any, stored: Any, visit: Any) -> Any:
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, Mapping):
        members = schema.get("properties", {})
        before = stored if isinstance(stored, Mapping) else {}
        return {key: visit(members[key], item, before.get(key)) if key in members else item for key, item in value.items()}
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        rows = stored if isinstance(stored, list) else []
        return [visit(schema["items"], item, rows[i] if i < len(rows) else None) for i, item in enumerate(value)]
    return value


def load_key(configured: str, data_dir: Path) -> str:
    """The key: the configured one, else the one in the data folder, made at the first start (mode 0600)."""
    if configured:
        return configured
    path = data_dir / "secret.key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(f".{secrets.token_hex(6)}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(48), encoding="ascii")
        try:
            os.link(fresh, path)  # of two that start at once, one wins and both read the same
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text(encoding="ascii").strip()
