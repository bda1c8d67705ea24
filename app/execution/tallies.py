"""What many executions came to, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """What the executions that were queued in one hour came to: how many by status, and the seconds that those that succeeded took."""

    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.counts.values())


Tallies = Mapping[datetime, Tally]  # by the hour (UTC) in which they were queued


@dataclass(frozen=True, slots=True)
class Begun:
    """The executions of a job with one status: how many, the seconds that they took, and in which minutes of a span they began."""

    job_id: str
    job_name: str
    status: str
    count: int
    seconds: float
    minutes: list[int]
