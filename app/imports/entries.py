"""What a source has: its entries with all their fields, and what becomes of each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from app.imports.names import unique


class Fate(StrEnum):
    """What becomes of a field of the source."""

    MAPPED = "mapped"  # a field of the job has it
    DROPPED = "dropped"  # the job does without it, for a reason that is given
    WAITS = "waits"  # somebody must decide


class EntryKind(StrEnum):
    """What a line of a source is."""

    JOB = "job"
    NOTE = "note"  # a disabled entry: it is reported and not imported
    INVALID = "invalid"  # the old scheduler refuses it, too


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceField:
    """A field of an entry, and what becomes of it. `target` is the field of the job that has it; `reason` says why it is so."""

    name: str
    value: str
    fate: Fate
    target: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What the old scheduler runs. `text` has a placeholder for each secret (app.imports.secrets). `stdin` is what the command reads, or
    None. `home` is the working folder, or "" if it is not known."""

    text: str
    stdin: str | None = None
    user: str = ""
    home: str = ""
    shell: str = "/bin/sh"
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the old scheduler calls by a name: a function, a task or an event. The values are values of JSON, with a placeholder for each
    secret. `sending` says how it is sent, such as the queue of Celery. `unreadable` says why the values cannot be read, or is ""."""

    name: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    sending: Mapping[str, Any] = field(default_factory=dict)
    unreadable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a source.

    `id` stays the same while the entry does, whatever happens around it. `where` is the file and the line. `raw` is its text with
    placeholders for secrets; `secrets` says for each of them what it is. `prints` tell equal secrets from others; a plan does not have
    them. `values` are the source's own fields by name. A job has either a `command` or a `call`. `disabled` says how the old scheduler has
    disabled it, or is "". `reason` says what is wrong with an invalid entry.
    """

    id: str
    where: str
    kind: EntryKind
    raw: str
    name: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    command: CommandLine | None = None
    call: Call | None = None
    disabled: str = ""
    mail_to: str | None = None
    secrets: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()
    reason: str = ""

    @property
    def line(self) -> CommandLine:
        """The command of a job. Raises ValueError for an entry that has none."""
        if self.command is None:
            raise ValueError(f"{self.id} has no command")
        return self.command


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source has at the moment. `name` identifies the source, `digest` changes with its content; `remarks` are for people.

    No two entries have the same id: the second of two that a source cannot tell from each other gets a number.
    """

    name: str
    digest: str
    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        taken: set[str] = set()
        object.__setattr__(self, "entries", tuple(replace(entry, id=unique(entry.id, taken, "-")) for entry in self.entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody must decide. `choices` maps each choice to its meaning."""

    text: str
    choices: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A connection that must exist before the job can be created. `settings` has no secrets; `secret` says what the secret is."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    secret: str = ""


@dataclass(slots=True, kw_only=True)
class Draft:
    """The job that is being made of an entry: its body, the fates of the fields, and what must be decided or must exist."""

    body: dict[str, Any]
    fields: list[SourceField] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    plan_questions: dict[str, str] = field(default_factory=dict)  # decisions of the whole plan: what each is about here, by its id
    needs: list[Need] = field(default_factory=list)
    script: str = ""  # the text of a script that is proposed
    prints: tuple[str, ...] = ()  # of the secrets of the entry
    connections: dict[str, dict[tuple[str, ...], str]] = field(default_factory=dict)  # of the whole plan: names by base name and prints

    def part(self) -> Draft:
        """Returns an empty draft of the same entry, for a mapping that may fail."""
        return Draft(body={}, prints=self.prints, connections=self.connections)

    def mapped(self, name: str, value: str, target: str, reason: str = "") -> None:
        """Notes that a field of the job has a field of the source."""
        self.fields.append(SourceField(name=name, value=value, fate=Fate.MAPPED, target=target, reason=reason))

    def dropped(self, name: str, value: str, reason: str) -> None:
        """Notes that the job does without a field of the source."""
        self.fields.append(SourceField(name=name, value=value, fate=Fate.DROPPED, reason=reason))

    def waits(self, name: str, value: str, reason: str) -> None:
        """Notes that somebody must decide about a field of the source."""
        self.fields.append(SourceField(name=name, value=value, fate=Fate.WAITS, reason=reason))


APPROVE = "approve"
ACCEPT = "accept"
LEAVE_OUT = "leave-out"
LEAVE_OUT_WORDS = "The entry is not imported."
