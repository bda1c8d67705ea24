"""Lets others hear of the ends that an executor reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.executors.base import LogLine, Sink
from app.queue.model import Attempt, Outcome


class HeardSink:
    """A sink that passes everything on, and tells `hear` of each end first. `hear` returns at once."""

    def __init__(self, sink: Sink, hear: Callable[[Attempt, Outcome], None]) -> None:
        self._sink, self._hear = sink, hear

    def lines(self, attempt: Attempt, lines: Sequence[LogLine]) -> None:
        self._sink.lines(attempt, lines)

    def progress(self, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self._sink.progress(attempt, progress)

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        self._hear(attempt, outcome)
        self._sink.ended(attempt, outcome)

    def unwritten(self) -> dict[str, Attempt]:
        return self._sink.unwritten()
