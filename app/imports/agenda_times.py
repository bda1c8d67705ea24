"""The times at which Agenda runs a job (packages/agenda/src/utils/nextRunAt.ts and dateConstraints.ts).

It is written apart from app.triggers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.imports.node_times import NodeCron, Refused, node_cron_times
from app.triggers.interval import LONGEST_SECONDS
from app.zones import zone as zone_of

_DAY = 86_400
_BACK = timedelta(days=9)  # a week of days that are skipped, and more
_FAR = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgendaTimes:
    """The times of one job, as a function of (after, until].

    `next_run` is the run that Agenda has already worked out: nothing comes before it. Then an expression is due as cron-parser says; an
    interval is counted from run to run, beginning at `anchor`. A run on a day that is skipped moves to the same time of the next day
    that is not.
    """

    zone: str
    cron: NodeCron | None = None
    seconds: float | None = None
    anchor: datetime | None = None
    skipped: frozenset[int] = frozenset()
    end: datetime | None = None
    next_run: datetime | None = None

    def __call__(self, after: datetime, until: datetime) -> Iterator[datetime]:
        for moment in self._all(after, until):
            if self.end is not None and moment > self.end:
                return
            yield moment

    def without_next_run(self) -> AgendaTimes:
        """These times as the expression alone says them."""
        return replace(self, next_run=None)

    def _all(self, after: datetime, until: datetime) -> Iterator[datetime]:
        begin = after
        if self.next_run is not None and self.next_run > after:
            if self.next_run > until:
                return
            yield self.next_run
            begin = self.next_run
        yield from self._following(begin, until)

    def _following(self, after: datetime, until: datetime) -> Iterator[datetime]:
        if self.seconds is not None:
            yield from self._counted(after, until)
        elif self.cron is not None and not self.skipped:
            yield from node_cron_times(self.cron, self.zone, after, until)
        elif self.cron is not None:
            yield from self._moved(self.cron, after, until)

    def _counted(self, after: datetime, until: datetime) -> Iterator[datetime]:
        step, anchor = timedelta(seconds=self.seconds or 0), self.anchor or after
        back = _BACK if self.skipped else timedelta(0)
        moment = self._allowed(anchor + max(0, (after - back - anchor) // step) * step)
        while moment <= until:
            if moment > after:
                yield moment
            moment = self._allowed(moment + step)

    def _moved(self, cron: NodeCron, after: datetime, until: datetime) -> Iterator[datetime]:
        last = after - _BACK
        while True:
            found = next(node_cron_times(cron, self.zone, last, until), None)
            if found is None:
                return
            last = self._allowed(found)
            if after < last <= until:
                yield last

    def _allowed(self, moment: datetime) -> datetime:
        """dateConstraints.ts, applySkipDays: whole days on, with the wall time kept, until the day of the week is allowed."""
        if not self.skipped:
            return moment
        wall = moment.astimezone(zone_of(self.zone))
        while wall.isoweekday() % 7 in self.skipped:
            wall += timedelta(days=1)
        return wall.astimezone(UTC)


def first_after(times: AgendaTimes, after: datetime) -> datetime | None:
    """Returns the first time after another one; None if there is none soon."""
    return next(times(after, after + _FAR), None)


def interval_fields(seconds: float, anchor: datetime | None, skipped: frozenset[int], zone: str) -> dict[str, Any]:
    """Returns the fields of the schedule of an interval. With days that are skipped it is a cron expression. Raises Refused."""
    if seconds > LONGEST_SECONDS:
        raise Refused(f"the interval of {seconds:,.0f} s is longer than a year")
    if not skipped:
        start = {"start_at": anchor.isoformat()} if anchor else {}
        return {"type": "interval", "interval_seconds": int(seconds), "timezone": "UTC", **start}
    if zone != "UTC" or anchor is None or _DAY % seconds:
        raise Refused("an interval that skips days of the week is not a schedule of Jobwright, unless it is a part of a day in UTC")
    at = anchor.astimezone(UTC)
    days = ",".join(str(day) for day in range(7) if day not in skipped)
    if seconds % 3600 == 0:
        hours = sorted({(at.hour + number) % 24 for number in range(0, 24, int(seconds) // 3600)})
        fields = [str(at.second), str(at.minute), ",".join(map(str, hours)), "*", "*", days]
    elif 3600 % seconds == 0 and seconds % 60 == 0:
        minutes = sorted({(at.minute + number) % 60 for number in range(0, 60, int(seconds) // 60)})
        fields = [str(at.second), ",".join(map(str, minutes)), "0-23", "*", "*", days]
    else:
        raise Refused("an interval that skips days of the week must be a part of an hour, or whole hours")
    expression = " ".join(fields[1:] if at.second == 0 else fields)
    return {"type": "cron", "expression": expression, "timezone": "UTC", "start_at": anchor.isoformat()}
