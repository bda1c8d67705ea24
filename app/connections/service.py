"""Named credentials for what jobs talk to: made and changed by super-admins, used by name."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.accounts.permissions import May, lacks, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.connections.destinations import kept_elsewhere
from app.connections.health_store import Health, HealthStore
from app.connections.inventory import Inventory
from app.connections.named import NAMED_KIND, NamedConnections, references_of
from app.connections.store import ConnectionStore
from app.connections.vault import Vault, mask
from app.errors import Conflict, DuplicateName, FieldError, NotFound, StaleVersion, ValidationFailed
from app.events import get_logger
from app.mongo import Document
from app.shapes import DAMAGED
from app.validation import SchemaValidator
from app.validation.names import normal
from templates_lib.base import ConnectionGrant
from templates_lib.connections import KINDS, ConnectionKind
from templates_lib.messages import say
from templates_lib.own import Own

log = get_logger(__name__)

TRIED_BY_HAND = timedelta(minutes=1)  # and not tried by itself for so long
EXPLORED_SECONDS = 20.0  # suggestions may be so old
MOST_EXPLORED = 500
NAME_SCHEMA: dict[str, Any] = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}$"}
_NAMES = SchemaValidator(NAME_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A connection that a job names. `id` is empty where there is none; `wrong` says why a run would fail over it, empty where none
    would."""

    name: str
    kind: ConnectionKind
    id: str
    wrong: str
    silent_since: datetime | None = None  # it does not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Whether a connection answers, as of when it was last tried."""

    id: str
    name: str
    kind: ConnectionKind
    works: bool
    message: str
    since: datetime
    probed_at: datetime


class Connections:
    """The connections, masked for people, opened for runs."""

    def __init__(self, store: ConnectionStore, health: HealthStore, vault: Vault, audit: AuditTrail, clock: Clock, *, own: Own) -> None:
        self._store, self._health, self._vault, self._audit, self._clock, self._own = store, health, vault, audit, clock, own
        self._explored: dict[tuple[str, int, str, str], tuple[float, list[str]]] = {}
        self._validators = {kind.type: SchemaValidator(kind.settings_schema) for kind in KINDS.values()}

    def all(self, actor: Actor) -> list[Document]:
        """Every connection, by name, secrets masked, each with its `health`: {works, since, probed_at, message}, None where nobody has
        tried it. Admins see names, kinds and whether it works; settings and messages are a super-admin's."""
        require(actor, May.NAME_CONNECTIONS)
        health = self._health.all()
        kept: Sequence[str] = () if lacks(actor, May.MANAGE_CONNECTIONS) is None else ("_id", "name", "kind")
        return [
            {**({key: row[key] for key in kept} if kept else self._shown(row)), "health": _told(health.get(row["_id"]), whole=not kept)}
            for row in self._store.all()
        ]

    def get(self, actor: Actor, connection_id: str) -> Document:
        """One, masked. Raises NotFound."""
        require(actor, May.MANAGE_CONNECTIONS)
        return self._shown(self._stored(connection_id))

    def create(self, actor: Actor, *, name: str, kind: str, settings: Mapping[str, Any]) -> Document:
        """A new one, returned masked. Raises ValidationFailed (`/name`, `/kind`, `/settings/…`) or DuplicateName."""
        require(actor, May.MANAGE_CONNECTIONS)
        name = normal(name) if isinstance(name, str) else name
        definition, now = self._checked(name, kind, settings), self._clock.now()
        row: Document = {
            "_id": str(uuid.uuid4()),
            "name": name,
            "kind": kind,
            "settings": self._vault.seal(Inventory.of(definition.settings_schema, settings)),
            "version": 1,
            "created_by": actor.email,
            "created_at": now,
            "updated_by": actor.email,
            "updated_at": now,
        }
        diff = field_diff({}, {"name": name, "kind": kind, "settings": mask(row["settings"])})
        with self._audit.action(actor, "connection.create", kind="connection", target_id=row["_id"], name=name, diff=diff):
            self._store.add(row)
        return self._shown(row)

    def update(self, actor: Actor, connection_id: str, *, name: str, settings: Mapping[str, Any], version: int | None = None) -> Document:
        """The changed one, masked. A secret given as MASK stays, unless a setting changes that may decide where it is sent: then it
        is asked for again. Raises as `create`, and StaleVersion for an older `version`."""
        require(actor, May.MANAGE_CONNECTIONS)
        old = self._stored(connection_id)
        if version is not None and version != old["version"]:
            raise StaleVersion(version, old["version"])
        name = normal(name) if isinstance(name, str) and name != old["name"] else name  # jobs name one of old as it is
        definition = self._checked(name, old["kind"], settings, old)
        sealed = self._vault.seal(Inventory.of(definition.settings_schema, settings, old["settings"]))
        new = {
            **old,
            "name": name,
            "settings": sealed,
            "version": old["version"] + 1,
            "updated_by": actor.email,
            "updated_at": self._clock.now(),
        }
        diff = field_diff({"name": old["name"], "settings": mask(old["settings"])}, {"name": name, "settings": mask(sealed)})
        with self._audit.action(actor, "connection.update", kind="connection", target_id=connection_id, name=name, diff=diff):
            if not self._store.replace_version(new, version=old["version"]):
                raise StaleVersion(old["version"], self._stored(connection_id)["version"])
        return self._shown(new)

    def delete(self, actor: Actor, connection_id: str, *, used_by: Iterable[str] = ()) -> None:
        """Remove it. Raises Conflict, naming them, while jobs use it (`used_by`: their names)."""
        require(actor, May.MANAGE_CONNECTIONS)
        row = self._stored(connection_id)
        users = sorted(used_by)
        if users:
            named = {"name": row["name"], "users": ", ".join(users[:5])}
            if len(users) > 5:
                raise Conflict(say("Connection {name!r} is used by {users} and {more} more", **named, more=len(users) - 5))
            raise Conflict(say("Connection {name!r} is used by {users}", **named))
        with self._audit.action(actor, "connection.delete", kind="connection", target_id=connection_id, name=row["name"]):
            self._store.remove(connection_id)

    def probe(self, actor: Actor, connection_id: str) -> tuple[bool, str]:
        """Open it once: whether it worked, and a sentence about what answered or what did not."""
        require(actor, May.MANAGE_CONNECTIONS)
        row = self._stored(connection_id)
        works, message = self._opened(row)
        now, failures = self._clock.now(), 0 if works else 1  # it is being looked after: the next looks are soon again
        next_at = now + TRIED_BY_HAND
        self._health.note(connection_id, row["version"], works=works, message=message, failures=failures, at=now, next_at=next_at)
        return works, message

    def answer_of(self, connection_id: str) -> tuple[bool, str] | None:
        """The same for a stage that asks by itself; None where the connection is gone."""
        row = self._store.get(connection_id)
        return None if row is None else self._opened(row)

    def versions(self) -> dict[str, int]:
        """The ids of the connections that lead somewhere, with the versions of their settings; what a secret holds answers nobody."""
        return {row["_id"]: row["version"] for row in self._store.all() if row["kind"] != NAMED_KIND}

    def conditions(self) -> list[Condition]:
        """Of the connections that were tried, by name, whether they answer."""
        health = self._health.all()
        return [
            Condition(
                id=row["_id"],
                name=row["name"],
                kind=KINDS[row["kind"]],
                works=one.works,
                message=one.message,
                since=one.since,
                probed_at=one.probed_at,
            )
            for row in self._store.all()
            if row["kind"] in KINDS and (one := health.get(row["_id"])) is not None and one.works is not None and one.probed_at
        ]

    def _opened(self, row: Document) -> tuple[bool, str]:
        if DAMAGED in row:
            return False, f"its record is damaged: {row[DAMAGED]}"
        try:
            return True, KINDS[row["kind"]].probe(self._vault.open(row["settings"]), self._own)
        except Exception as error:
            return False, f"{type(error).__name__}: {str(error)[:400]}"

    def options(self, kind: str) -> list[str]:
        """Names of the connections of one kind, for a form's select."""
        return [row["name"] for row in self._store.all() if row["kind"] == kind]

    def explore(self, actor: Actor, what: str, name: str, *, collection: str = "") -> list[str]:
        """What lies behind a connection, for a form's suggestions: `collections`, or the `fields` of one. Kept for EXPLORED_SECONDS.

        Empty where the connection is not there, is of a kind that has no such thing, or does not answer soon.
        """
        require(actor, May.NAME_CONNECTIONS)
        row = next(iter(self._store.by_names({name})), None) if name else None
        look = KINDS[row["kind"]].explore if row and DAMAGED not in row else None
        if row is None or look is None:
            return []
        key, now = (row["_id"], row["version"], what, collection), self._clock.monotonic()
        kept = self._explored.get(key)
        if kept is None or now - kept[0] > EXPLORED_SECONDS:
            try:
                found = look(self._vault.open(row["settings"]), what, collection, self._own)
            except Exception as error:
                log.info("connection.unexplored", connection=name, reason=type(error).__name__)
                found = []
            if len(self._explored) > MOST_EXPLORED:
                self._explored.clear()
            kept = self._explored[key] = (now, found)
        return kept[1]

    def named_in(self, inventory: Inventory) -> NamedConnections:
        """Reads the connections and secrets that parameters name, in one trip to the database."""
        rows = self._store.by_names({name for _, name, _ in references_of(inventory)})
        return NamedConnections({row["name"]: row for row in rows}, self._vault)

    def grant(self, names: Collection[str]) -> dict[str, ConnectionGrant]:
        """Returns the named connections in the clear; one that does not exist is left out."""
        return NamedConnections({row["name"]: row for row in self._store.by_names(names)}, self._vault).grant(names)

    def needs(self, schema: Mapping[str, Any], parameters: Any, *, templates: Sequence[str]) -> list[Need]:
        """Returns the connections and secrets that the parameters of a job of one of `templates` name, each once, in their order."""
        inventory = Inventory.of(schema, parameters)
        references, named = references_of(inventory), self.named_in(inventory)
        name_at = {pointer: name for pointer, name, _ in (*references, *inventory.reached())}
        wrong = {name_at[error.pointer]: error.message for error in reversed(named.errors(inventory, templates=templates))}
        ids = {(row["name"], row["kind"]): str(row["_id"]) for row in named.rows.values()}
        silent = {key: one.since for key, one in self._health.all().items() if one.works is False}
        needs: dict[tuple[str, str], Need] = {}
        for _, name, kind in references:
            found_id = ids.get((name, kind), "")
            need = Need(name=name, kind=KINDS[kind], id=found_id, wrong=wrong.get(name, ""), silent_since=silent.get(found_id))
            needs.setdefault((name, kind), need)
        return list(needs.values())

    def silence_of(self, name: str) -> str | None:
        """What is said of a connection that did not answer when it was last tried; None where it did, or nobody has tried it."""
        row = next(iter(self._store.by_names({name})), None)
        health = self._health.all().get(row["_id"]) if row is not None else None
        if row is None or health is None or health.works is not False or health.version != row["version"]:
            return None
        return say("Connection {name!r} does not answer: a run would fail", name=name)

    def reaches(self, name: str, address: str) -> bool:
        """Whether a connection is there and jobs may call an address through it."""
        row = next(iter(self._store.by_names({name})), None)
        return row is not None and KINDS[row["kind"]].reaches(row["settings"], address)

    def problems(self, name: Any, kind: Any, settings: Any, old: Document | None = None) -> list[FieldError]:
        """All that keeps a connection from being made so, or `old` from being changed so; of values (JSON) that nobody has judged."""
        errors = []
        if _NAMES.errors(name):
            errors.append(FieldError("/name", "must begin with a letter or digit and hold letters, digits, spaces, . _ - (at most 80)"))
        elif any(row["_id"] != (old or {}).get("_id") for row in self._store.by_names({name})):
            errors += DuplicateName(name).errors
        definition = KINDS.get(kind) if isinstance(kind, str) else None
        if definition is None:
            return [*errors, FieldError("/kind", say("must be one of {known}", known=", ".join(KINDS)))]
        stored = old["settings"] if old else {}
        schema, elsewhere = definition.settings_schema, list[FieldError]()
        kept = settings
        if isinstance(settings, Mapping):
            inventory = Inventory.of(schema, settings, stored)
            kept = self._vault.keep(inventory).value
            elsewhere = [one.below("/settings") for one in kept_elsewhere(inventory)]
        wrong = [*elsewhere, *self._validators[definition.type].errors(kept, prefix="/settings")]
        if not wrong:
            wrong = [FieldError(f"/settings{one.pointer}", one.message) for one in definition.problems(kept, self._own)]
        return errors + wrong

    def _checked(self, name: str, kind: str, settings: Mapping[str, Any], old: Document | None = None) -> ConnectionKind:
        errors = self.problems(name, kind, settings, old)
        if errors == list(DuplicateName(name).errors):
            raise DuplicateName(name)
        if errors:
            raise ValidationFailed(errors)
        return KINDS[kind]

    def _stored(self, connection_id: str) -> Document:
        row = self._store.get(connection_id)
        if row is None:
            raise NotFound("connection", connection_id)
        return row

    @staticmethod
    def _shown(row: Document) -> Document:
        return {**row, "settings": mask(row["settings"])}


def _told(one: Health | None, *, whole: bool) -> dict[str, Any] | None:
    """What is said of the health of a connection; None where nobody has tried it."""
    if one is None or one.works is None:
        return None
    return {"works": one.works, "since": one.since, "probed_at": one.probed_at, **({"message": one.message} if whole else {})}
