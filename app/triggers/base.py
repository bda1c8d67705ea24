"""The base class of all triggers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar, Protocol, Self

from app.errors import FieldError
from app.instants import INSTANT, shifted
from app.triggers.fields import Field
from app.triggers.words import in_language, written
from app.validation.words import DEFAULT_LOCALE
from app.zones import is_zone, not_a_zone
from templates_lib.messages import Said, say

COMMON_FIELDS = ("timezone", "start_at", "end_at")


class DayPattern(Protocol):
    """Due times that depend on the date alone."""

    @property
    def times(self) -> Sequence[int]:
        """Seconds after local midnight, ascending."""
        ...

    @property
    def every_day(self) -> bool:
        """Whether all days have these times."""
        ...

    def matches_day(self, day: date) -> bool:
        """Whether the due times come on this day."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger(ABC):
    """The rule that says when a job is due. A trigger is a value: it knows no clock, and the same question has always the same answer.

    A class of triggers is one type of schedule. It declares:

    - `type`: the word for it in requests and in stored documents; `title`: the label of the type in the form.
    - `fields`: its own fields, each with a dataclass field of the same name, whose default is None.
    - `is_timed`: False for a type that is never due by itself.
    - `repeats`: False for a type with one due time at most. Only a trigger that repeats can be backfilled.
    - `last_field`: the field that holds the instant from which on the trigger is never due.
    - `counts_from_first_due`: True for a type whose due times depend on the first one, unless `start_at` says where they begin.

    `timezone` is an IANA name. The trigger is due from `start_at` on (included) and before `end_at`; None means without limit. Due times
    are aware UTC. They are computed from the rule and from the instant that the caller gives, so a clock that is set back repeats none.
    Methods that compute due times need a trigger of which `not_computable` is None.
    """

    type: ClassVar[str]
    title: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]] = ()
    is_timed: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    last_field: ClassVar[str] = "end_at"
    counts_from_first_due: ClassVar[bool] = False

    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None

    # -- due times ------------------------------------------------------------------------------------------------

    def next_after(self, after: datetime) -> datetime | None:
        """The first due time later than `after`; None if there is none."""
        return next(self.iter_after(after), None)

    def iter_after(self, after: datetime) -> Iterator[datetime]:
        """The due times later than `after`, ascending."""
        for moment in self._times_after(self._begin(after)):
            if self.end_at is not None and moment >= self.end_at:
                return
            yield moment

    def between(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The due times of [begin, end), ascending."""
        for moment in self.iter_after(shifted(begin, -INSTANT)):
            if moment >= end:
                return
            yield moment

    def preview(self, after: datetime, count: int) -> list[datetime]:
        """The first `count` due times later than `after`, ascending; fewer if there are no more."""
        return list(islice(self.iter_after(after), count))

    def count(self, after: datetime, until: datetime) -> int:
        """How many due times lie in (after, until]; 0 if `until` is not later than `after`."""
        begin = self._begin(after)
        end = until if self.end_at is None else min(until, shifted(self.end_at, -INSTANT))
        return self._count(begin, end) if end > begin else 0

    def latest(self, after: datetime, until: datetime, count: int) -> list[datetime]:
        """The last `count` due times of (after, until], ascending.

        The search begins with the minute before `until` and makes its window four times as long until enough due times lie in it.
        A trigger that counts from its first due time must be anchored.
        """
        window = timedelta(minutes=1)
        begin = max(after, shifted(until, -window))
        while begin > after and self.count(begin, until) < count:
            window *= 4
            begin = max(after, shifted(until, -window))
        moments: list[datetime] = []
        for moment in self.iter_after(begin):
            if moment > until:
                break
            moments.append(moment)
        return moments[-count:] if count else []

    @abstractmethod
    def _times_after(self, after: datetime) -> Iterator[datetime]:
        """The due times later than `after`, ascending, without regard to `end_at`. `after` is at most an instant before `start_at`."""

    @abstractmethod
    def _count(self, after: datetime, until: datetime) -> int:
        """How many due times lie in (after, until], a span between `start_at` and `end_at`. It should count them without listing them."""

    def _begin(self, after: datetime) -> datetime:
        return after if self.start_at is None else max(after, shifted(self.start_at, -INSTANT))

    # -- what planning and forecasts ask ----------------------------------------------------------------------------

    @property
    def last_instant(self) -> datetime | None:
        """The instant from which on the trigger is never due: its end, or its only due time. None if it goes on for ever."""
        last: datetime | None = getattr(self, self.last_field)
        return last

    @property
    def is_anchored(self) -> bool:
        """Whether the due times of the past are known. An interval without `start_at` has none before its first due time."""
        return not self.counts_from_first_due or self.start_at is not None

    def anchored(self, first_due: datetime) -> Self:
        """This trigger, with `first_due` as its first due time if it counts from that and has none."""
        return self

    def day_pattern(self) -> DayPattern | None:
        """The due times of each day, if they depend on the date alone and the trigger has neither beginning nor end. Else None."""
        return None

    def backfill_refusal(self) -> Said | None:
        """Why no due time of the past can be made up for; None if they can."""
        if not self.repeats:
            return say("is not possible, because the job has no repeating schedule")
        if not self.is_anchored:
            return say("is not possible, because the interval has no start. Edit the job and set “Start on”.")
        return None

    def remarks(self) -> list[FieldError]:
        """What people may not expect of the values of the trigger's own fields. It keeps no job from being saved."""
        return []

    @property
    def notation(self) -> str:
        """The rule as experts write it, such as a cron expression; "" for a type without a notation of its own."""
        return ""

    def own_values(self) -> dict[str, Any]:
        """The values of the trigger's own fields, by name."""
        return {field.name: getattr(self, field.name) for field in self.fields}

    # -- validation ---------------------------------------------------------------------------------------------------

    def problems(self, now: datetime, *, lookahead: timedelta) -> list[FieldError]:
        """What is wrong with the fields of a trigger that is to begin at `now`. Pointers begin at the job's root.

        A single due time may lie at most `lookahead` after `now`.
        """
        errors = [
            self._error(field.name, say("is required for a schedule of type {type}", type=self.type))
            for field in self.fields
            if field.required and getattr(self, field.name) is None
        ]
        if not is_zone(self.timezone):
            errors.append(self._error("timezone", not_a_zone(self.timezone)))
        if self.start_at and self.end_at and self.end_at <= self.start_at:
            errors.append(self._error("end_at", say("must be later than start_at")))
        return errors + self._own_problems(now, lookahead)

    def not_computable(self) -> FieldError | None:
        """Where and why the due times of a stored trigger cannot be computed, such as an unknown time zone. None if they can."""
        if not is_zone(self.timezone):
            return self._error("timezone", not_a_zone(self.timezone))
        return self._own_not_computable()

    def never_due(self, now: datetime) -> FieldError | None:
        """Where and why there is no due time after `now`. None if there is one, or if the type is never due by itself."""
        wrong = self.not_computable()
        if wrong is not None:
            return wrong
        if not self.is_timed or self.next_after(now) is not None:
            return None
        own = self._own_never_due(now)
        if own is not None:
            return own
        if self.end_at is not None and self.end_at <= now:
            return self._error("end_at", say("is in the past. Choose a later end, or remove the end."))
        limits = [name for name in ("end_at", "start_at") if getattr(self, name) is not None]
        return self._error([*limits, *(field.name for field in self.fields), "type"][0], say("leaves no time at which the job is due"))

    def _own_problems(self, now: datetime, lookahead: timedelta) -> list[FieldError]:
        """What is wrong with the values of the trigger's own fields. A missing value is reported by `problems`."""
        return []

    def _own_not_computable(self) -> FieldError | None:
        """The part of `not_computable` that depends on the trigger's own fields."""
        return None

    def _own_never_due(self, now: datetime) -> FieldError | None:
        """The part of `never_due` that depends on the trigger's own fields. It is asked of a trigger that has no due time after `now`."""
        return None

    @staticmethod
    def _error(field: str, message: Said) -> FieldError:
        return FieldError(f"/schedule/{field}", message)

    # -- words --------------------------------------------------------------------------------------------------------

    def words(self, locale: str = DEFAULT_LOCALE) -> str:
        """The trigger as a sentence in the nearest language that there is: "At 02:00, only on Sunday", "Every 90 seconds, until …".

        Empty if the trigger's own fields cannot be read.
        """
        return _words(self, locale)

    @abstractmethod
    def _rule_in_words(self, locale: str) -> str:
        """The sentence without `start_at` and `end_at`."""


@lru_cache(maxsize=4096)
def _words(trigger: Trigger, locale: str) -> str:
    rule = trigger._rule_in_words(locale)
    if not rule or not trigger.repeats or not (trigger.start_at or trigger.end_at):
        return rule
    start = written(trigger.start_at) if trigger.start_at else ""
    end = written(trigger.end_at) if trigger.end_at else ""
    if start and end:
        sentence = say("{rule}, from {start} until {end} UTC", rule=rule, start=start, end=end)
    elif start:
        sentence = say("{rule}, from {start} UTC", rule=rule, start=start)
    else:
        sentence = say("{rule}, until {end} UTC", rule=rule, end=end)
    return in_language(sentence, locale)
