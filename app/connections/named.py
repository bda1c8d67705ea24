"""The connections and secrets that parameters name, read from the database once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.connections.inventory import ABSENT, Inventory, Judged, Site
from app.connections.vault import Vault
from app.errors import FieldError
from app.mongo import Document
from app.shapes import DAMAGED
from app.validation import SchemaValidator
from app.validation.secret import secret_name
from templates_lib.base import ConnectionGrant
from templates_lib.connections import KINDS
from templates_lib.messages import Said, said, say
from templates_lib.subjects import allows

MESSAGE_KIND = "nats"  # the kind that ALLOWED_COMMANDS limits
NAMED_KIND = "secret"  # the kind of connection that parameters name instead of holding a secret


def references_of(inventory: Inventory) -> list[tuple[str, str, str]]:
    """Returns (JSON Pointer, name, kind) of each connection, and then of each secret, that a value names."""
    secrets = ((pointer, name, NAMED_KIND) for pointer, name in inventory.named_secrets())
    return [*inventory.connections(), *secrets]


def no_connection(kind: str, name: str) -> Said:
    """Returns what is wrong with a name that no connection of a kind has."""
    return say("is not the name of a connection of the kind {kind}: {name!r}", kind=said(KINDS[kind].name), name=name)


@dataclass(frozen=True, slots=True)
class NamedConnections:
    """The documents of connections, secrets sealed, by name. A name that is not in it does not exist. `allowed_commands` are the patterns
    of the subjects that jobs may send to, whatever a connection allows; empty for no such limit."""

    rows: Mapping[str, Document]
    vault: Vault
    allowed_commands: tuple[str, ...] = ()

    def errors(self, inventory: Inventory, *, templates: Sequence[str]) -> list[FieldError]:
        """Returns what is wrong with the connections that parameters name, at pointers into them: each must exist, be of the right kind, be
        allowed for jobs of one of `templates` (the job's template, and the one it is derived from), and reach what it is used for."""
        references = (self._error(*reference, templates) for reference in references_of(inventory))
        return [error for error in (*references, *self._unreached(inventory)) if error is not None]

    def misjudged(self, inventory: Inventory) -> list[FieldError]:
        """Returns what is wrong with values for which a connection has a schema, such as the payload of a message to a subject. Their
        dynamic values must be resolved."""
        return [error for judged in inventory.judged() for error in self._judge(judged)]

    def open_secrets(self, inventory: Inventory) -> Inventory:
        """Returns the parameters with each secret that they name in the clear. The name of a secret that does not exist stays."""
        names = {name for _, name in inventory.named_secrets()}
        rows = (row for name, row in self.rows.items() if name in names and row["kind"] == NAMED_KIND)
        secrets = {row["name"]: str(self.vault.open(row["settings"])["value"]) for row in rows}

        def opened(site: Site) -> Any:
            return secrets.get(secret_name(site.value) or "", site.value)

        return inventory.with_secrets(opened) if secrets else inventory

    def grant(self, names: Collection[str]) -> dict[str, ConnectionGrant]:
        """Returns those of the connections `names` in the clear, for one attempt; one that does not exist, or is damaged, is left out."""
        return {
            name: ConnectionGrant(row["name"], row["kind"], self.vault.open(row["settings"]))
            for name, row in self.rows.items()
            if name in names and DAMAGED not in row
        }

    # -- steps ----------------------------------------------------------------------------------------------------

    def _judge(self, judged: Judged) -> list[FieldError]:
        row = self.rows.get(judged.connection)
        if row is None or DAMAGED in row or row["kind"] not in KINDS:
            return []
        schema = KINDS[row["kind"]].schema_for(row["settings"], judged.what)
        if schema is None:
            return []
        if judged.value is ABSENT:
            words = say("is required: the connection {name!r} has a schema for {what!r}", name=judged.connection, what=judged.what)
            return [FieldError(judged.pointer, words)]
        return SchemaValidator(schema).errors(judged.value, prefix=judged.pointer)

    def _error(self, pointer: str, name: str, kind: str, templates: Sequence[str]) -> FieldError | None:
        row = self.rows.get(name)
        if row is not None and DAMAGED in row:
            words = say("the record of the connection {name!r} is damaged: {reason}", name=name, reason=row[DAMAGED])
        elif row is None or row["kind"] != kind:
            words = no_connection(kind, name)
        elif row["settings"].get("templates") and not set(templates) & set(row["settings"]["templates"]):
            words = say(
                "the connection {name!r} does not allow jobs of {templates}; a super-admin can change that",
                name=name,
                templates=templates[0],
            )
        else:
            return None
        return FieldError(pointer, words)

    def _unreached(self, inventory: Inventory) -> Iterable[FieldError]:
        named = {name for _, name, _ in references_of(inventory)}
        for pointer, name, what in inventory.reached():
            row = self.rows.get(name) if name in named else None
            if row is None or DAMAGED in row:
                continue
            if row["kind"] == MESSAGE_KIND and self.allowed_commands and not allows(self.allowed_commands, what):
                yield FieldError(pointer, say("this installation does not allow {what!r} (ALLOWED_COMMANDS)", what=what))
            elif not KINDS[row["kind"]].reaches(row["settings"], what):
                yield FieldError(
                    pointer, say("the connection {name!r} does not allow {what!r}; a super-admin can change that", name=name, what=what)
                )
