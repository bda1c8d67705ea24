"""Due again and again after the same time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self

from app.instants import shifted
from app.triggers.base import Trigger
from app.triggers.fields import Field, WholeField
from app.triggers.walls import END_OF_TIME
from app.triggers.words import duration_words, in_language
from templates_lib.messages import say

LONGEST_SECONDS = 31_536_000  # a year
LONGEST_STORED_SECONDS = 31_556_952_000  # a thousand years; datetime cannot add some ten million
_EVERY = {86_400: say("Every day"), 3_600: say("Every hour"), 60: say("Every minute"), 1: say("Every second")}


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalTrigger(Trigger):
    """Due every `interval_seconds`, counted from `start_at`. Without it the first due time is an interval after the job begins."""

    type: ClassVar[str] = "interval"
    title: ClassVar[str] = say("Interval")
    fields: ClassVar[tuple[Field, ...]] = (
        WholeField(
            name="interval_seconds",
            title=say("Interval"),
            description="interval: seconds",
            least=1,
            most=LONGEST_SECONDS,
            most_stored=LONGEST_STORED_SECONDS,
        ),
    )
    counts_from_first_due: ClassVar[bool] = True

    interval_seconds: int | None = None

    def anchored(self, first_due: datetime) -> Self:
        return self if self.start_at is not None else replace(self, start_at=first_due)

    def _times_after(self, after: datetime) -> Iterator[datetime]:
        if self.interval_seconds is None:
            return
        step = timedelta(seconds=self.interval_seconds)
        moment = self._first_after(after, step)
        while moment < END_OF_TIME:
            yield moment
            moment = shifted(moment, step)

    def _count(self, after: datetime, until: datetime) -> int:
        first = next(self._times_after(after), None)
        if first is None or first > until:
            return 0
        return (until - first) // timedelta(seconds=self.interval_seconds or 1) + 1

    def _first_after(self, after: datetime, step: timedelta) -> datetime:
        if self.start_at is None:
            return shifted(after.astimezone(UTC).replace(microsecond=0), step)
        if self.start_at > after:
            return self.start_at.astimezone(UTC)
        return shifted(self.start_at.astimezone(UTC), ((after - self.start_at) // step + 1) * step)

    def _rule_in_words(self, locale: str) -> str:
        if self.interval_seconds is None:
            return ""
        whole_unit = _EVERY.get(self.interval_seconds)
        return in_language(whole_unit or say("Every {span}", span=duration_words(self.interval_seconds, locale)), locale)
