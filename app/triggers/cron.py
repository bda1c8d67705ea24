"""Due by a cron expression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from app.errors import FieldError
from app.triggers.base import DayPattern, Trigger
from app.triggers.crontab import CronError, ForeignExpression, check_expression, count_times, iter_times, parts_of, remarks_on
from app.triggers.crontab_words import expression_in_words
from app.triggers.fields import Field, TextField
from templates_lib.messages import said, say


@dataclass(frozen=True, slots=True, kw_only=True)
class CronTrigger(Trigger):
    """Due whenever the clock of the time zone matches an expression by Debian's rules."""

    type: ClassVar[str] = "cron"
    title: ClassVar[str] = say("Cron")
    fields: ClassVar[tuple[Field, ...]] = (
        TextField(
            name="expression",
            title=say("Cron expression"),
            description="cron: five fields by Debian's rules, or six with seconds first",
            example="0 2 * * *",
        ),
    )

    expression: str | None = None

    @property
    def notation(self) -> str:
        return self.expression or ""

    def _times_after(self, after: datetime) -> Iterator[datetime]:
        return iter_times(self.expression, self.timezone, after) if self.expression is not None else iter(())

    def _count(self, after: datetime, until: datetime) -> int:
        return count_times(self.expression, self.timezone, after, until) if self.expression is not None else 0

    def day_pattern(self) -> DayPattern | None:
        if self.expression is None or self.start_at is not None or self.end_at is not None:
            return None
        return parts_of(check_expression(self.expression))

    def _own_problems(self, now: datetime, lookahead: timedelta) -> list[FieldError]:
        wrong = self._own_not_computable()
        return [] if wrong is None else [wrong]

    def _own_not_computable(self) -> FieldError | None:
        if self.expression is None:
            return None
        try:
            check_expression(self.expression)
        except ForeignExpression as error:
            return self._error("expression", said(str(error)))
        except CronError as error:
            return self._error("expression", say("{error} (at character {place})", error=said(str(error)), place=error.position + 1))
        return None

    def remarks(self) -> list[FieldError]:
        try:
            return [self._error("expression", words) for words in remarks_on(self.expression or "")]
        except CronError:
            return []

    def _rule_in_words(self, locale: str) -> str:
        try:
            return expression_in_words(check_expression(self.expression or ""), locale)
        except CronError:
            return ""
