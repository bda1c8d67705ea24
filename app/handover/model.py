"""The migration of a job from the old scheduler: its record and its stages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Stage(StrEnum):
    """How far the migration of a job is."""

    MAKING = "making"  # its job is being made
    SHADOW = "shadow"  # the old scheduler runs it, and Jobwright records what it would run
    MOVING = "moving"  # Jobwright takes it over
    MOVED = "moved"  # Jobwright runs it
    RETURNING = "returning"  # Jobwright gives it back


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """The migration of one job of the old scheduler; `id` is its name there.

    `epoch` counts the decisions about it: a step of an older one changes nothing. `since` is when parallel operation began, and `at` when
    the stage began.
    """

    id: str
    job_id: str
    connection: str
    stage: str
    epoch: int
    by: str
    since: datetime
    at: datetime

    @property
    def holder(self) -> str:
        """What the shadow mode of its job is held by."""
        return f"migration:{self.epoch}"
