"""Connections: named credentials for the systems that jobs talk to. Super-admins make and change them, jobs use them by name."""

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
from app.connections.trying import try_to_open
from app.connections.vault import Vault, mask
from app.errors import Conflict, DuplicateName, FieldError, NotFound, StaleVersion, StartError, ValidationFailed
from app.events import get_logger
from app.mongo import Document
from app.shapes import DAMAGED
from app.validation import SchemaRefused, SchemaValidator
from app.validation.names import NAME_OF_CONNECTION, normal
from templates_lib.base import ConnectionGrant
from templates_lib.connections import KINDS, ConnectionKind
from templates_lib.connections.kind import PROBE_SECONDS
from templates_lib.messages import say
from templates_lib.own import Own

log = get_logger(__name__)

TRIED_BY_HAND = timedelta(minutes=1)  # a connection that a person has tried is not probed again before this time has passed
TEST_SECONDS = 3.0  # the time limit of a test that a person waits for
EXPLORED_SECONDS = 20.0  # how long suggestions are kept
MOST_EXPLORED = 500  # suggestions that are kept at once
DEFAULT = "default"  # the name of the connection that jobs use if they name none
NAME_SCHEMA: dict[str, Any] = {"type": "string", "pattern": f"^{NAME_OF_CONNECTION}$"}
_NAMES = SchemaValidator(NAME_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A connection that a job names.

    `id` is empty if no such connection exists. `wrong` says why a run would fail because of it, and is empty if none would.
    """

    name: str
    kind: ConnectionKind
    id: str
    wrong: str
    silent_since: datetime | None = None  # since when it does not answer; None if it answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Whether a connection answered when it was last tried."""

    id: str
    name: str
    kind: ConnectionKind
    works: bool
    message: str
    since: datetime
    probed_at: datetime


class Connections:
    """The connections: with masked secrets for people, with open secrets for runs."""

    def __init__(
        self,
        store: ConnectionStore,
        health: HealthStore,
        vault: Vault,
        audit: AuditTrail,
        clock: Clock,
        *,
        own: Own,
        allowed_commands: tuple[str, ...] = (),
    ) -> None:
        self._store, self._health, self._vault, self._audit, self._clock, self._own = store, health, vault, audit, clock, own
        self._allowed_commands = allowed_commands
        self._explored: dict[tuple[str, int, str, str], tuple[float, list[str]]] = {}
        self._validators = {kind.type: SchemaValidator(kind.settings_schema) for kind in KINDS.values()}

    def all(self, actor: Actor) -> list[Document]:
        """Returns every connection, sorted by name, with masked secrets and its `health` ({works, since, probed_at, message}, or None if
        nobody has tried it yet). Admins see names, kinds and whether each works; only super-admins see settings and messages."""
        require(actor, May.NAME_CONNECTIONS)
        health = self._health.all()
        manages = lacks(actor, May.MANAGE_CONNECTIONS) is None
        return [
            {
                **(_masked(row) if manages else {key: row[key] for key in ("_id", "name", "kind")}),
                "health": _health_for_people(health.get(row["_id"]), with_message=manages),
            }
            for row in self._store.all()
        ]

    def get(self, actor: Actor, connection_id: str) -> Document:
        """Returns a connection with masked secrets. Raises NotFound."""
        require(actor, May.MANAGE_CONNECTIONS)
        return _masked(self._stored(connection_id))

    def create(self, actor: Actor, *, name: str, kind: str, settings: Mapping[str, Any]) -> Document:
        """Makes a connection and returns it with masked secrets. Raises ValidationFailed (`/name`, `/kind`, `/settings/…`) or
        DuplicateName."""
        require(actor, May.MANAGE_CONNECTIONS)
        name = normal(name) if isinstance(name, str) else name
        definition, now = self._validate(name, kind, settings), self._clock.now()
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
        return _masked(row)

    def update(self, actor: Actor, connection_id: str, *, name: str, settings: Mapping[str, Any], version: int | None = None) -> Document:
        """Changes a connection and returns it with masked secrets.

        A secret that is given as MASK stays. If a setting changes that may decide where the secret is sent, the secret must be given
        again. Raises what `create` raises, and StaleVersion for an older `version`.
        """
        require(actor, May.MANAGE_CONNECTIONS)
        old = self._stored(connection_id)
        if version is not None and version != old["version"]:
            raise StaleVersion(version, old["version"])
        # An old name may not be in the normal spelling. It stays as it is while it does not change, because jobs use it.
        name = normal(name) if isinstance(name, str) and name != old["name"] else name
        definition = self._validate(name, old["kind"], settings, old)
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
        return _masked(new)

    def delete(self, actor: Actor, connection_id: str, *, used_by: Iterable[str] = ()) -> None:
        """Removes a connection. Raises Conflict while jobs use it; `used_by` has their names, and the error names them."""
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
        """Opens a connection once, within TEST_SECONDS. Returns whether that worked, and a sentence about the answer or the failure."""
        require(actor, May.MANAGE_CONNECTIONS)
        row = self._stored(connection_id)
        works, message = self._try_to_open(row, seconds=TEST_SECONDS)
        # A person is working on this connection, so the failures are counted from one again and the next probes come soon.
        now, failures = self._clock.now(), 0 if works else 1
        next_at = now + TRIED_BY_HAND
        before = self._health.all().get(connection_id)
        if before is None or before.version != row["version"]:
            self._health.claim(connection_id, row["version"], before, now=now, until=next_at)
        self._health.note(connection_id, row["version"], works=works, message=message, failures=failures, at=now, next_at=next_at)
        return works, message

    def test(self, actor: Actor, *, kind: str, settings: Any, connection_id: str | None = None) -> tuple[bool, str]:
        """Opens a connection with settings that are not saved, once, within TEST_SECONDS. Returns what `probe` returns.

        With `connection_id`, the settings are a change of that connection: a secret that is given as MASK is the stored one. Raises
        ValidationFailed for settings that could not be saved.
        """
        require(actor, May.MANAGE_CONNECTIONS)
        old = self._stored(connection_id) if connection_id is not None else None
        if kind not in KINDS:
            raise ValidationFailed([_unknown_kind()])
        definition = KINDS[kind]
        errors = self._settings_problems(definition, settings, old)
        if errors:
            raise ValidationFailed(errors)
        inventory = Inventory.of(definition.settings_schema, settings, old["settings"] if old else {})
        if old is not None and self._vault.keep(inventory).value == self._vault.open(old["settings"]):
            return self.probe(actor, old["_id"])  # the health of the connection takes note of the answer
        return try_to_open(definition, self._vault.keep(inventory).value, self._own, seconds=TEST_SECONDS)

    def answer_of(self, connection_id: str) -> tuple[bool, str] | None:
        """Returns the same without a check of rights, for the prober; None if the connection is gone."""
        row = self._store.get(connection_id)
        return None if row is None else self._try_to_open(row, seconds=PROBE_SECONDS)

    def versions(self) -> dict[str, int]:
        """Returns the id and the version of the settings of each connection that can be probed. Secrets are left out: they lead to no
        server."""
        return {row["_id"]: row["version"] for row in self._store.all() if row["kind"] != NAMED_KIND}

    def conditions(self) -> list[Condition]:
        """Returns, for each connection that was tried, whether it answers; sorted by name."""
        health = self._health.all()
        return [
            Condition(
                id=row["_id"],
                name=row["name"],
                kind=KINDS[row["kind"]],
                works=state.works,
                message=state.message,
                since=state.since,
                probed_at=state.probed_at,
            )
            for row in self._store.all()
            if row["kind"] in KINDS and (state := health.get(row["_id"])) is not None and state.works is not None and state.probed_at
        ]

    def _try_to_open(self, row: Document, *, seconds: float) -> tuple[bool, str]:
        if DAMAGED in row:
            return False, say("The record of this connection is damaged: {reason}", reason=row[DAMAGED])
        try:
            settings = self._vault.open(row["settings"])
        except StartError as error:
            return False, str(error)
        return try_to_open(KINDS[row["kind"]], settings, self._own, seconds=seconds)

    def options(self, kind: str) -> list[str]:
        """Returns the names of the connections of one kind, for the select of a form."""
        return [row["name"] for row in self._store.all() if row["kind"] == kind]

    def defaults(self, kinds: Collection[str]) -> dict[str, str]:
        """Returns, by kind, the name of the connection that jobs use if they name none: `default`, or `default-<kind>` if another kind has
        the name `default`. Kinds without such a connection are left out."""
        rows = {row["name"]: row["kind"] for row in self._store.by_names({DEFAULT, *(f"{DEFAULT}-{kind}" for kind in kinds)})}
        wanted = ((kind, name) for kind in kinds for name in (DEFAULT, f"{DEFAULT}-{kind}") if rows.get(name) == kind)
        return dict(reversed(list(wanted)))

    def explore(self, actor: Actor, what: str, name: str, *, collection: str = "") -> list[str]:
        """Returns names from behind a connection, for the suggestions of a form. `what` is `collections`, or `fields` for those of one
        `collection`. An answer is kept for EXPLORED_SECONDS.

        The list is empty if there is no such connection, if its kind has no such names, or if it does not answer soon.
        """
        require(actor, May.NAME_CONNECTIONS)
        row = next(iter(self._store.by_names({name})), None) if name else None
        look = KINDS[row["kind"]].explore if row and DAMAGED not in row else None
        if row is None or look is None:
            return []
        key, now = (row["_id"], row["version"], what, collection), self._clock.monotonic()
        cached = self._explored.get(key)
        if cached is None or now - cached[0] > EXPLORED_SECONDS:
            try:
                names = look(self._vault.open(row["settings"]), what, collection, self._own)
            except Exception as error:
                log.info("connection.unexplored", connection=name, reason=type(error).__name__)
                names = []
            if len(self._explored) > MOST_EXPLORED:
                self._explored.clear()
            cached = self._explored[key] = (now, names)
        return cached[1]

    def named_in(self, inventory: Inventory) -> NamedConnections:
        """Reads the connections and secrets that parameters name, in one trip to the database."""
        rows = self._store.by_names({name for _, name, _ in references_of(inventory)})
        return NamedConnections({row["name"]: row for row in rows}, self._vault, self._allowed_commands)

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
        silent = {key: health.since for key, health in self._health.all().items() if health.works is False}
        needs: dict[tuple[str, str], Need] = {}
        for _, name, kind in references:
            row_id = ids.get((name, kind), "")
            need = Need(name=name, kind=KINDS[kind], id=row_id, wrong=wrong.get(name, ""), silent_since=silent.get(row_id))
            needs.setdefault((name, kind), need)
        return list(needs.values())

    def silence_of(self, name: str) -> str | None:
        """Returns a warning if the connection did not answer when it was last tried; None if it answered, or if nobody has tried it."""
        row = next(iter(self._store.by_names({name})), None)
        health = self._health.all().get(row["_id"]) if row is not None else None
        if row is None or health is None or health.works is not False or health.version != row["version"]:
            return None
        return say("The connection {name!r} does not answer, so a run would fail", name=name)

    def reaches(self, name: str, address: str) -> bool:
        """Returns whether the connection exists and jobs may call `address` through it."""
        row = next(iter(self._store.by_names({name})), None)
        return row is not None and KINDS[row["kind"]].reaches(row["settings"], address)

    def problems(self, name: Any, kind: Any, settings: Any, old: Document | None = None) -> list[FieldError]:
        """Returns all errors for which a connection cannot be made with these values, or `old` cannot be changed to them. The values
        are JSON that nobody has checked yet."""
        errors = []
        if _NAMES.errors(name):
            errors.append(
                FieldError(
                    "/name", "must start with a letter or digit. It may contain letters, digits, spaces, and . _ - (at most 80 characters)"
                )
            )
        elif any(row["_id"] != (old or {}).get("_id") for row in self._store.by_names({name})):
            errors += DuplicateName(name).errors
        definition = KINDS.get(kind) if isinstance(kind, str) else None
        if definition is None:
            return [*errors, _unknown_kind()]
        return errors + self._settings_problems(definition, settings, old)

    def _settings_problems(self, definition: ConnectionKind, settings: Any, old: Document | None) -> list[FieldError]:
        """Returns all errors of the settings of a new connection, or of a change of `old`."""
        stored = old["settings"] if old else {}
        schema, elsewhere = definition.settings_schema, list[FieldError]()
        unmasked = settings
        if isinstance(settings, Mapping):
            inventory = Inventory.of(schema, settings, stored)
            unmasked = self._vault.keep(inventory).value
            elsewhere = [error.below("/settings") for error in kept_elsewhere(inventory)]
        wrong = [*elsewhere, *self._validators[definition.type].errors(unmasked, prefix="/settings")]
        if not wrong:
            wrong = [FieldError(f"/settings{problem.pointer}", problem.message) for problem in definition.problems(unmasked, self._own)]
            wrong += _schema_problems(definition, unmasked)
        return wrong

    def _validate(self, name: str, kind: str, settings: Mapping[str, Any], old: Document | None = None) -> ConnectionKind:
        """Returns the kind. Raises ValidationFailed or DuplicateName."""
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


def _schema_problems(definition: ConnectionKind, settings: Mapping[str, Any]) -> list[FieldError]:
    """Returns what is wrong with the JSON Schemas in the settings of a connection."""
    errors = []
    for pointer, schema in definition.schemas(settings):
        try:
            SchemaValidator(schema)
        except SchemaRefused as refused:
            errors.append(FieldError(f"/settings{pointer}{refused.pointer}", refused.reason))
    return errors


def _unknown_kind() -> FieldError:
    return FieldError("/kind", say("must be one of {known}", known=", ".join(KINDS)))


def _masked(row: Document) -> Document:
    return {**row, "settings": mask(row["settings"])}


def _health_for_people(health: Health | None, *, with_message: bool) -> dict[str, Any] | None:
    """Returns the health of a connection as people see it; None if nobody has tried the connection."""
    if health is None or health.works is None:
        return None
    shown = {"works": health.works, "since": health.since, "probed_at": health.probed_at}
    return {**shown, "message": health.message} if with_message else shown
