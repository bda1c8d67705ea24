"""What a source is: another scheduler whose jobs can be imported. A new one is a subclass in a file of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from app.errors import JobwrightError
from app.imports.entries import Draft, Entry, Reading
from app.imports.fires import Times


class SourceError(JobwrightError):
    """The source cannot be read; the message says why and what to do."""

    title = "The source cannot be read"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What the caller says about the source. `machine` is the name of the machine that it comes from, and `timezone` the time zone of that
    machine. `layout`, `home` and `schedule` mean what the source says."""

    machine: str
    timezone: str = ""
    layout: str = "auto"
    home: str = ""
    schedule: str = ""


class Source(ABC):
    """Reads another scheduler, and never writes to it."""

    type: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def read(self, place: str, options: SourceOptions) -> Reading:
        """Returns what there is. Raises SourceError."""

    @abstractmethod
    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        """Adds the schedule of an entry to the draft of its job, with the fate of each of its fields.

        Returns the times at which the old scheduler fires the entry; None if it never does by a clock.
        """

    @abstractmethod
    def disable(self, entry: Entry) -> str:
        """Returns the command that disables the entry where it comes from."""

    @abstractmethod
    def enable(self, entry: Entry) -> str:
        """Returns the command that takes back what `disable` does."""


Sources = Mapping[str, Source]
