"""Schedules and spans of time as sentences, in the languages of `locale/`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache, lru_cache
from itertools import zip_longest
from pathlib import Path

from babel import Locale
from babel.dates import get_day_names, get_month_names
from babel.units import format_unit
from cron_descriptor import CasingTypeEnum, ExpressionDescriptor, Options

from app.jobs.model import Schedule, ScheduleType
from app.scheduling.cron import CronError, check_expression
from app.validation.words import DEFAULT_LOCALE, nearest_locale, words_of

LOCALES = Path(__file__).parent / "locale"
_DESCRIBED_IN = {"en": "en_US", "de": "de_DE"}  # the describer's names
_WORD = re.compile(r"\w+")
_UNITS = (("Day", 86_400), ("Hour", 3_600), ("Minute", 60), ("Second", 1))


@lru_cache(maxsize=4096)
def in_words(schedule: Schedule, locale: str = DEFAULT_LOCALE) -> str:
    """The schedule as a sentence: "At 02:00, only on Sunday", "Every 90 seconds, until …", "Once, at …", "Only by hand"; empty for an
    expression that is none. In the nearest language that there is."""
    text, words = _rule_in_words(schedule, locale), words_of(LOCALES, locale)
    if not text or schedule.type not in {ScheduleType.CRON, ScheduleType.INTERVAL}:
        return text
    ends = {name: _written(at) for name, at in (("start", schedule.start_at), ("end", schedule.end_at)) if at is not None}
    key = {(): "", ("start",): "from", ("end",): "until", ("start", "end"): "fromUntil"}[tuple(ends)]
    return words(key, rule=text, **ends) if key else text


def _written(moment: datetime) -> str:
    """A date and time in UTC: 2026-03-29 02:30:00."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def _rule_in_words(schedule: Schedule, locale: str) -> str:
    words = words_of(LOCALES, locale)
    if schedule.type is ScheduleType.CRON and schedule.expression is not None:
        try:
            return _cron_in_words(check_expression(schedule.expression), locale)
        except CronError:
            return ""
    if schedule.type is ScheduleType.INTERVAL and schedule.interval_seconds is not None:
        unit = next((name for name, size in _UNITS if size == schedule.interval_seconds), None)
        return words(f"every{unit}") if unit else words("every", span=duration_words(schedule.interval_seconds, locale))
    if schedule.type is ScheduleType.ONCE and schedule.run_at is not None:
        return words("once", moment=_written(schedule.run_at))
    return words("byHand")


def _cron_in_words(fields: str, locale: str) -> str:
    """Debian joins day of month and weekday with "or" where neither begins with `*`; the describer says "and". So the expression is
    described once with each of the two, and what only the second says is added."""
    parts = fields.split()
    if len(parts) < 5 or parts[-3].startswith("*") or parts[-1].startswith("*"):
        return _described(fields, locale)
    by_day = _described(" ".join([*parts[:-1], "*"]), locale).split(", ")
    by_weekday = _described(" ".join([*parts[:-3], "*", *parts[-2:]]), locale).split(", ")
    words = words_of(LOCALES, locale)
    rest = [own.removeprefix(words("only")) for own, other in zip_longest(by_weekday, by_day) if own is not None and own != other]
    return words("or", one=", ".join(by_day), other=", ".join(rest))


def _described(fields: str, locale: str) -> str:
    options = Options()
    options.casing_type, options.use_24hour_time_format, options.day_of_week_start_index_zero = CasingTypeEnum.Sentence, True, True
    name = nearest_locale(locale, LOCALES)
    options.locale_code = _DESCRIBED_IN[name]
    names = _names(name)  # the describer takes them from the process, which speaks English
    return _WORD.sub(lambda match: names.get(match[0], match[0]), str(ExpressionDescriptor(fields, options).get_description()))


@cache
def _names(locale: str) -> dict[str, str]:
    """Days and months of a locale by their English names."""
    days, months = get_day_names("wide", locale=locale), get_month_names("wide", locale=locale)
    english = Locale(DEFAULT_LOCALE)
    return {
        **{english.days["format"]["wide"][number]: days[number] for number in range(7)},
        **{english.months["format"]["wide"][number]: months[number] for number in range(1, 13)},
    }


def duration_words(seconds: int, locale: str = DEFAULT_LOCALE) -> str:
    """90 → "1 minute 30 seconds"; 3600 → "1 hour"."""
    name, parts = nearest_locale(locale, LOCALES), []
    for unit, size in _UNITS:
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(format_unit(amount, f"duration-{unit.lower()}", length="long", locale=name))
    return " ".join(parts) or format_unit(0, "duration-second", length="long", locale=name)
