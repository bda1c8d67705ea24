"""What a source is: another scheduler whose jobs can be imported. A new one is a subclass in a file of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from app.errors import JobwrightError
from app.imports.entries import Call, Draft, Entry, Reading
from app.imports.fires import Times


class SourceError(JobwrightError):
    """The source cannot be read; the message says why and what to do."""

    title = "The source cannot be read"
    status = 422


def read_bytes(path: Path, largest: int) -> bytes:
    """Returns the content of a file. Raises SourceError if it cannot be read, is larger than `largest` bytes, or is no regular file: a
    pipe or a device may have no end, and cannot be read again by the next command."""
    try:
        if path.exists() and not path.is_file():
            raise SourceError(f"{path} is not a regular file. Save its content in a file, and name that file.")
        if path.stat().st_size > largest:
            raise SourceError(f"{path} has more than {largest:,} bytes.")
        return path.read_bytes()
    except PermissionError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}. Run the command as a user who may read it.") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What the caller says about the source.

    `now` is when the plan is made. `machine` is the name of the machine that it comes from, and `timezone` the time zone of that machine.
    `own` has the options that only this source knows, by name. `calls` says what becomes of functions, tasks and events
    (app.imports.mapping.named). `address` is the address of a store with its credentials; a plan does not have it.
    """

    machine: str
    timezone: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    calls: str = ""
    address: str = field(default="", repr=False)
    now: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    def get(self, name: str, default: str = "") -> str:
        """Returns an option of the source, or the default if it was not given or is empty."""
        return self.own.get(name) or default

    def in_plan(self) -> dict[str, Any]:
        """Returns what a plan has of the options: all but the address."""
        return {"machine": self.machine, "timezone": self.timezone, "options": dict(self.own), "calls": self.calls}

    @classmethod
    def of_plan(cls, source: Mapping[str, Any], address: str = "") -> SourceOptions:
        """Returns the options in a plan, with the address of its store."""
        given = {name: source[name] for name in ("machine", "timezone", "calls")}
        return cls(**given, own=source["options"], address=address)


class Source(ABC):
    """Reads another scheduler, and never writes to it.

    A class declares:

    - `type`: the word for it in `TYPE:PLACE`; `title`: its name for people.
    - `options`: the options that only it knows, each with its meaning.
    - `is_store`: True if its place is the address of a database; the address may come from a file or a variable, and then TYPE is enough.
    - `named_by`: the field that has the name of an entry.
    - `at_clock_changes`: what the old scheduler does with times that a clock change skips or repeats, by its documented rule, in one
      sentence. Entries that differ from their jobs only at such times share one decision of the plan, which names it.
    - `calls`: what becomes of its calls unless the caller says otherwise (app.imports.mapping.named).
    """

    type: ClassVar[str]
    title: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}
    is_store: ClassVar[bool] = False
    named_by: ClassVar[str] = "name"
    at_clock_changes: ClassVar[str]
    calls: ClassVar[str] = "service"

    def check(self, options: SourceOptions) -> None:
        """Raises SourceError if there is an option that the source does not know."""
        unknown = [name for name in options.own if name not in self.options]
        if unknown:
            known = f"Known options: {', '.join(self.options)}." if self.options else "It has no options."
            raise SourceError(f"{self.title} has no option {unknown[0]!r}. {known}")

    def shown_place(self, place: str, options: SourceOptions) -> str:  # noqa: ARG002 - a store needs them
        """Returns the place as a plan has it: without credentials."""
        return place

    @abstractmethod
    def read(self, place: str, options: SourceOptions) -> Reading:
        """Returns what there is. Raises SourceError."""

    @abstractmethod
    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        """Adds the schedule of an entry to the draft of its job, with the fate of each of its fields.

        Returns the times at which the old scheduler fires the entry; None if it never does by a clock.
        """

    def arguments_of(self, call: Call, options: SourceOptions) -> list[str] | None:  # noqa: ARG002 - others need them
        """Returns a program and its arguments that make a call as the old scheduler does; None if there is no such program."""
        return None

    @abstractmethod
    def disable(self, entry: Entry) -> str:
        """Returns the command that disables the entry where it comes from."""

    @abstractmethod
    def enable(self, entry: Entry) -> str:
        """Returns the command that takes back what `disable` does."""


Sources = Mapping[str, Source]
"""The sources that Jobwright can import from, by their type."""
