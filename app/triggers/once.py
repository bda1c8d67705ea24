"""Due a single time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from app.errors import FieldError
from app.instants import shifted
from app.triggers.base import Trigger
from app.triggers.fields import Field, InstantField
from app.triggers.words import in_language, written
from templates_lib.messages import say


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceTrigger(Trigger):
    """Due at `run_at` and never again."""

    type: ClassVar[str] = "once"
    title: ClassVar[str] = say("Once")
    fields: ClassVar[tuple[Field, ...]] = (InstantField(name="run_at", title=say("At"), description="once: the instant"),)
    repeats: ClassVar[bool] = False
    last_field: ClassVar[str] = "run_at"

    run_at: datetime | None = None

    def _times_after(self, after: datetime) -> Iterator[datetime]:
        if self.run_at is not None and self.run_at.astimezone(UTC) > after:
            yield self.run_at.astimezone(UTC)

    def _count(self, after: datetime, until: datetime) -> int:
        return 1 if self.run_at is not None and after < self.run_at <= until else 0

    def _own_problems(self, now: datetime, lookahead: timedelta) -> list[FieldError]:
        if self.run_at is None:
            return []
        if self.run_at <= now:
            return [self._error("run_at", say("must be in the future; it is now {now:%Y-%m-%d %H:%M:%S} UTC", now=now))]
        if self.run_at > shifted(now, lookahead):
            return [self._error("run_at", say("must be within the next {most} days", most=lookahead.days))]
        return []

    def _own_never_due(self, now: datetime) -> FieldError | None:
        if self.run_at is None or self.run_at > now:
            return None
        return self._error("run_at", say("is in the past. Choose a later time."))

    def _rule_in_words(self, locale: str) -> str:
        return in_language(say("Once, at {moment} UTC", moment=written(self.run_at)), locale) if self.run_at is not None else ""
