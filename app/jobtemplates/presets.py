"""Presets: parameters of a template that somebody has saved, to begin new jobs with them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from app.accounts.permissions import May, lacks, require
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import FieldError, Forbidden, LimitReached, MigrationFailed, NotFound, ValidationFailed
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.preset_store import PresetStore
from app.mongo import Document
from app.validation import SchemaValidator
from app.validation.names import read_name, spellings
from app.validation.places import Place
from app.validation.secret import secret_name
from app.validation.storable import unstorable
from templates_lib.messages import say

MOST = 200  # presets for each template
LARGEST = 200_000  # bytes of parameters
_SPACE = uuid.UUID("c2f7b0f1-6f0b-4a55-8f63-6a9a7d0a4a11")
NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 80}


class Presets:
    """Presets for people and programs. A preset holds no secrets; it may only name them."""

    def __init__(self, store: PresetStore, catalogue: Catalogue, audit: AuditTrail, clock: Clock) -> None:
        self._store, self._catalogue, self._audit, self._clock = store, catalogue, audit, clock
        self._names = SchemaValidator(NAME_SCHEMA)

    def of(self, actor: Actor, kind: str) -> list[Document]:
        """Returns the presets of a template that the actor may see, sorted by name."""
        require(actor, May.SEE_TEMPLATES)
        return [self._upgraded(row) for row in self._store.of(kind, actor.id)]

    def get(self, actor: Actor, kind: str, preset_id: str) -> Document:
        """Returns a preset. Raises NotFound."""
        require(actor, May.SEE_TEMPLATES)
        row = self._store.get(preset_id)
        if row is None or row["template_type"] != kind or not (row["shared"] or row["owner"] == actor.id):
            raise NotFound("preset", preset_id)
        return self._upgraded(row)

    def save(self, actor: Actor, kind: str, name: str, parameters: Mapping[str, Any], *, shared: bool = False) -> Document:
        """Saves parameters under a name and replaces the actor's own preset of that name. The parameters may be incomplete or wrong.

        Raises ValidationFailed, LimitReached, and NotFound if there is no such template.
        """
        require(actor, May.CHANGE_JOBS)
        entry = self._catalogue.get(kind)
        name = read_name(name)[0] if isinstance(name, str) else name
        errors = self.wrong_name(name)
        public = without_secrets(entry.parameters_schema, parameters)
        if len(json.dumps(public, default=str).encode()) > LARGEST:
            errors.append(FieldError("/parameters", say("must have at most {most:,} bytes", most=LARGEST)))
        errors += unstorable(public, prefix="/parameters")
        if errors:
            raise ValidationFailed(errors)
        row: Document = {
            "_id": _id(kind, actor, name),
            "template_type": kind,
            "name": name,
            "owner": actor.id,
            "by": actor.email,
            "at": self._clock.now(),
            "shared": shared,
            "parameters": public,
            "code_version": entry.template.version,
        }
        if self._store.get(row["_id"]) is None and self._store.count(kind) >= MOST:
            raise LimitReached(say("{name} already has {most} presets. Delete one first", name=entry.name, most=MOST))
        with self._audit.action(actor, "preset.save", kind="preset", target_id=row["_id"], name=name):
            self._store.put(row)
        return row

    def wrong_name(self, name: str) -> list[FieldError]:
        """Returns the errors of the name of a preset, at /name."""
        read, problem = read_name(name) if isinstance(name, str) else (name, None)
        return [*self._names.errors(read, prefix="/name"), *([FieldError("/name", problem)] if problem else [])]

    def id_of(self, actor: Actor, kind: str, name: str) -> str:
        """Returns the id of the actor's own preset of that name. If there is none, returns `name`, which may be the id of another
        person's preset."""
        own_ids = [_id(kind, actor, spelling) for spelling in spellings(name)]
        return next((own_id for own_id in own_ids if self._store.get(own_id) is not None), name)

    def delete(self, actor: Actor, kind: str, preset_id: str) -> None:
        """Deletes a preset. Raises NotFound, and Forbidden if it belongs to another person and the actor is not a super-admin."""
        require(actor, May.CHANGE_JOBS)
        row = self.get(actor, kind, preset_id)
        if row["owner"] != actor.id and lacks(actor, May.MANAGE_TEMPLATES):
            raise Forbidden("Only the person who saved a preset, or a super-admin, can delete it")
        with self._audit.action(actor, "preset.delete", kind="preset", target_id=preset_id, name=row["name"]):
            self._store.remove(preset_id)

    def _upgraded(self, row: Document) -> Document:
        """Returns a preset with its parameters upgraded to the template's current version. The preset stays as it is if the template is
        gone, or if a migration fails because the preset is incomplete."""
        entry = self._catalogue.find(row["template_type"])
        if entry is None:
            return row
        try:
            return {**row, "parameters": entry.upgrade_parameters(row["parameters"], row.get("code_version", entry.template.version))}
        except MigrationFailed:
            return row


def _id(kind: str, actor: Actor, name: str) -> str:
    return str(uuid.uuid5(_SPACE, f"{kind}\0{actor.id}\0{name}"))


def without_secrets(schema: Any, value: Any) -> Any:
    """Returns `value` without secrets in the clear (named ones stay), and without members that the schema does not know."""
    return _without(Place.of(schema), value)


def _without(place: Place, value: Any) -> Any:
    if isinstance(value, Mapping):
        closed = place.says("additionalProperties", value=False)
        members = ((key, place.member(key), item) for key, item in value.items())
        return {key: _without_inside(at, item) for key, at, item in members if _stays(at, item) and not (closed and at is None)}
    if isinstance(value, list):
        entries = ((place.entry(index), item) for index, item in enumerate(value))
        return [_without_inside(at, item) for at, item in entries if _stays(at, item)]
    return value


def _stays(place: Place | None, item: Any) -> bool:
    return place is None or not place.secret or secret_name(item) is not None


def _without_inside(place: Place | None, item: Any) -> Any:
    return item if place is None or secret_name(item) is not None else _without(place, item)
