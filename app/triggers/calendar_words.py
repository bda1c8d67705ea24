"""Calendar rules as sentences: "On the last working day of each month, at 09:00"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from babel.dates import get_day_names, get_month_names
from babel.lists import format_list

from app.triggers.recurrence import WORKING_DAYS, Recurrence
from app.triggers.words import duration_words, in_language, nearest_language
from templates_lib.messages import Said, say

# Positions in a month or year, as they stand before a noun: "the 2nd Friday". Negative ones count from the end.
_NTH = {
    1: say("1st"),
    2: say("2nd"),
    3: say("3rd"),
    4: say("4th"),
    5: say("5th"),
    -1: say("last"),
    -2: say("second to last"),
    -3: say("third to last"),
}
_MOST_TIMES = 4  # times of day that are named one by one
_EACH_DAY = tuple(range(7))


def rule_in_words(rule: Recurrence, text: str, counted_from: date | None, locale: str) -> str:
    """The rule as a sentence. One that no sentence fits is named by its `text`."""
    return _Words(rule, nearest_language(locale)).sentence(text, counted_from)


class _Words:
    """The sentence of one rule in one language, put together from: the days, the months or years, the times."""

    def __init__(self, rule: Recurrence, language: str) -> None:
        self._rule, self._language = rule, language

    def sentence(self, text: str, counted_from: date | None) -> str:
        days = self._days()
        if days is None:
            return self._say(say("By the rule {rule}", rule=text))
        only = self._only()
        if only:
            days = self._say(say("{days}, if it is {weekdays}", days=days, weekdays=only))
        sentence = self._say(say("{days}, {times}", days=days, times=self._times()))
        if self._rule.interval > 1 and counted_from is not None:
            return self._say(say("{sentence}, counted from {date}", sentence=sentence, date=counted_from.isoformat()))
        return sentence

    def _days(self) -> str | None:
        """The days with the months or years that they lie in; None where there are no words for them."""
        rule = self._rule
        match rule.frequency:
            case "DAILY":
                days = self._every(say("Every day"), say("Every {span}", span=duration_words(86_400 * rule.interval, self._language)))
                return None if rule.positions or rule.month_days else self._of_days(days)
            case "WEEKLY":
                return None if rule.positions else self._of_days(self._weekly())
            case "MONTHLY":
                return self._monthly()
        return self._yearly()

    def _weekly(self) -> str:
        rule, names = self._rule, self._and(self._weekday(number) for _, number in self._rule.weekdays)
        if rule.interval == 1 and self._numbers() == _EACH_DAY:
            return self._say(say("Every day"))
        if rule.interval == 2 and len(rule.weekdays) == 1:
            return self._say(say("Every second {weekday}", weekday=names))
        return self._every(say("Every {weekdays}", weekdays=names), say("Every {n} weeks on {weekdays}", n=rule.interval, weekdays=names))

    def _monthly(self) -> str | None:
        rule, chosen = self._rule, self._chosen()
        if chosen is None:
            return None
        if rule.months:
            return self._say(say("{days} of {months}", days=chosen, months=self._months())) if rule.interval == 1 else None
        return self._every(
            say("{days} of each month", days=chosen), say("{days} of a month, every {n} months", days=chosen, n=rule.interval)
        )

    def _yearly(self) -> str | None:
        rule = self._rule
        if rule.weeks or rule.positions:
            return None
        if rule.year_days:
            if rule.weekdays or rule.month_days or rule.months or min(rule.year_days) < 0:
                return None
            chosen: str | None = self._say(say("On day {days}", days=self._and(map(str, rule.year_days))))
        else:
            chosen = self._chosen()
        if chosen is None:
            return None
        if rule.months:
            chosen = self._say(say("{days} of {months}", days=chosen, months=self._months()))
            return self._every(Said(chosen), say("{days}, every {n} years", days=chosen, n=rule.interval))
        if rule.month_days:
            return None  # of each month, though the rule is one of years
        return self._every(say("{days} of each year", days=chosen), say("{days} of a year, every {n} years", days=chosen, n=rule.interval))

    def _chosen(self) -> str | None:
        """The days within a month or year: "On the last Friday", "On day 1 and 15"."""
        rule, numbers = self._rule, self._numbers()
        if rule.near:
            return self._nearest()
        if rule.positions:
            nth = self._nth_of(rule.positions)
            if nth is None or rule.month_days or any(n for n, _ in rule.weekdays):
                return None
            if numbers == WORKING_DAYS:
                return self._say(say("On the {nth} working day (Monday to Friday)", nth=nth))
            return self._say(say("On the {nth} day", nth=nth)) if numbers == _EACH_DAY else None
        if rule.month_days:
            return None if any(n for n, _ in rule.weekdays) else self._month_days()
        if all(n for n, _ in rule.weekdays):
            from_both_ends = sorted(rule.weekdays, key=lambda day: (day[0] < 0, *day))
            named = [self._nth_weekday(n, number) for n, number in from_both_ends]
            return self._say(say("On the {days}", days=self._and(map(str, named)))) if None not in named else None
        plain = not any(n for n, _ in rule.weekdays)
        return self._say(say("On each {weekdays}", weekdays=self._and(map(self._weekday, numbers)))) if plain else None

    def _nearest(self) -> str | None:
        days = self._rule.near
        if min(days) > 0:
            return self._say(say("On the weekday nearest to day {days}", days=self._and(map(str, days))))
        if len(days) > 1:
            return None
        if days[0] == -1:
            return self._say(say("On the {nth} working day (Monday to Friday)", nth=self._say(_NTH[-1])))
        if days[0] in _NTH:
            return self._say(say("On the weekday nearest to the {nth} day", nth=self._say(_NTH[days[0]])))
        return self._say(say("On the weekday nearest to day {n} from the end", n=-days[0]))

    def _month_days(self) -> str | None:
        days = self._rule.month_days
        if min(days) > 0:
            return self._say(say("On day {days}", days=self._and(map(str, days))))
        if len(days) == 1 and days[0] not in _NTH:
            return self._say(say("On day {n} from the end", n=-days[0]))
        nth = self._nth_of(days)
        return self._say(say("On the {nth} day", nth=nth)) if nth is not None else None

    def _only(self) -> str:
        """The days of the week that the days must be as well, as "Friday or Saturday"; "" where there is no such condition."""
        rule = self._rule
        if not rule.weekdays or not (rule.frequency == "DAILY" or rule.month_days):
            return ""
        return str(format_list([self._weekday(number) for number in self._numbers()], style="or", locale=self._language))

    def _of_days(self, days: str) -> str:
        """Days of which only those in some months count."""
        return self._say(say("{days} in {months}", days=days, months=self._months())) if self._rule.months else days

    def _times(self) -> str:
        seconds = self._rule.seconds
        if len(seconds) > _MOST_TIMES:
            first, last = _clock(seconds[0]), _clock(seconds[-1])
            return self._say(say("{count} times a day, from {first} to {last}", count=len(seconds), first=first, last=last))
        return self._say(say("at {times}", times=self._and(map(_clock, seconds))))

    # -- pieces -----------------------------------------------------------------------------------------------------

    def _every(self, each: Said, nth: Said) -> str:
        return self._say(each if self._rule.interval == 1 else nth)

    def _numbers(self) -> tuple[int, ...]:
        return tuple(sorted({number for _, number in self._rule.weekdays}))

    def _nth_weekday(self, nth: int, number: int) -> str | None:
        words = self._nth_of((nth,))
        return None if words is None else self._say(say("{nth} {weekday}", nth=words, weekday=self._weekday(number)))

    def _nth_of(self, numbers: Sequence[int]) -> str | None:
        """ "first and last"; None where a number has no word."""
        return self._and(self._say(_NTH[number]) for number in numbers) if all(number in _NTH for number in numbers) else None

    def _weekday(self, number: int) -> str:
        return str(get_day_names("wide", locale=self._language)[number])

    def _months(self) -> str:
        names = get_month_names("wide", locale=self._language)
        return self._and(names[month] for month in self._rule.months)

    def _and(self, names: Iterable[str]) -> str:
        return str(format_list(list(names), style="standard", locale=self._language))

    def _say(self, sentence: Said) -> str:
        return in_language(sentence, self._language)


def _clock(seconds: int) -> str:
    hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")
