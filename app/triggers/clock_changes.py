"""Days on which the clock of a time zone is changed."""

from __future__ import annotations

from datetime import datetime, timedelta

from app.instants import day_after, in_zone
from app.zones import zone


def clock_change(moment: datetime, timezone: str) -> timedelta:
    """How far the clock of `timezone` jumps on the local day of `moment`: positive for forward, zero on most days."""
    day = in_zone(moment, zone(timezone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    before, after = day.utcoffset(), datetime.combine(day_after(day.date()), day.timetz()).utcoffset()
    return (after or timedelta(0)) - (before or timedelta(0))
