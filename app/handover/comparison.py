"""What the old scheduler ran beside what Jobwright would have run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LARGEST_TOLERANCE = timedelta(seconds=60)


class Match(StrEnum):
    """How a due time of one side stands to those of the other."""

    MATCHED = "matched"  # both have it
    ONLY_OLD = "only old"  # only the old scheduler ran it
    ONLY_OURS = "only ours"  # only Jobwright would have run it, or has run it after the cut-over
    DOUBLE = "double"  # both have really run it


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A due time of Jobwright; `ran` is False for a shadow run."""

    due_at: datetime
    ran: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a comparison. `seconds` is by how much Jobwright is later, None if only one side has the due time."""

    match: Match
    old: datetime | None
    ours: datetime | None
    ran: bool
    seconds: float | None


def tolerance_of(interval_seconds: float) -> timedelta:
    """Returns how far apart two due times may be and still be one: half an interval, but at most a minute."""
    return min(timedelta(seconds=interval_seconds / 2), LARGEST_TOLERANCE)


def compare(old: Sequence[datetime], ours: Sequence[Ours], tolerance: timedelta) -> list[Row]:
    """Returns the due times of both sides, in order, each beside its nearest of the other side. Both sequences are sorted.

    With a tolerance of 30 s, 10:00:00 and 10:00:12 are matched (12 s), and 10:00:00 and 10:00:31 are two rows.
    """
    return sorted(
        _rows(list(old), list(ours), tolerance), key=lambda row: min(moment for moment in (row.old, row.ours) if moment is not None)
    )


def _rows(old: list[datetime], ours: list[Ours], tolerance: timedelta) -> Iterator[Row]:
    left = right = 0
    while left < len(old) or right < len(ours):
        theirs, mine = old[left] if left < len(old) else None, ours[right] if right < len(ours) else None
        if theirs is not None and mine is not None and abs(mine.due_at - theirs) <= tolerance:
            match = Match.DOUBLE if mine.ran else Match.MATCHED
            yield Row(match=match, old=theirs, ours=mine.due_at, ran=mine.ran, seconds=(mine.due_at - theirs).total_seconds())
            left, right = left + 1, right + 1
        elif mine is None or (theirs is not None and theirs < mine.due_at):
            yield Row(match=Match.ONLY_OLD, old=theirs, ours=None, ran=False, seconds=None)
            left += 1
        else:
            yield Row(match=Match.ONLY_OURS, old=None, ours=mine.due_at, ran=mine.ran, seconds=None)
            right += 1
