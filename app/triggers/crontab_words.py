"""Cron expressions as sentences."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from itertools import zip_longest

from babel import Locale
from babel.dates import get_day_names, get_month_names
from cron_descriptor import CasingTypeEnum, ExpressionDescriptor, Options
from cronsim import CronSim

from app.triggers.crontab import without_long_steps
from app.triggers.words import in_language, nearest_language
from app.validation.words import DEFAULT_LOCALE
from templates_lib.messages import say

_DESCRIBED_IN = {"en": "en_US", "de": "de_DE"}  # the names that cron_descriptor has for our languages
_WORD = re.compile(r"\w+")
_ONE_OF_MANY = re.compile(r"(?<=[Aa]t )(0?1) (minute|second)s(?= past)")  # English: "at 1 minutes past the hour"
_ORDINALS = re.compile(r"(?<=am )\d[^A-Z]*(?= Tag des Monats)|(?<=zum )\d+(?= Tag des Monats)")  # German: "am 1 und 15 Tag des Monats"
_WHOLE_RANGE = re.compile(r"0-(59|23)/(\d+)")  # the same as */step, if it ends with the field
# cron_descriptor puts a step and its range side by side, so that nothing says where the step begins: "every 15 minutes, minutes 1 through
# 59 past the hour". A range up to the last value has a start alone.
_ENGLISH = (
    (r"(\b[Ee]very \d+ (minute|second)s), \2s (\d+) through 59 past the (?:hour|minute)", r"\1 from \2 \3"),
    (r"(\b[Ee]very \d+ (minute|second)s), \2s (\d+) through (\d+) past the (?:hour|minute)", r"\1 from \2 \3 to \4"),
    (r"^Minutes (\d+) through (\d+) past the hour", r"Every minute from minute \1 to \2"),
    (r"^Seconds (\d+) through (\d+) past the minute", r"Every second from second \1 to \2"),
    (r"^At 0 minutes past the hour, between (\d\d:\d\d) and (\d\d:\d\d)", r"Every hour from \1 to \2"),
    (r"(\b[Ee]very \d+ hours), between (\d\d:\d\d) and 23:59\b", r"\1 from \2"),
    (r"(\b[Ee]very \d+ hours), between (\d\d:\d\d) and (\d\d:\d\d)", r"\1 from \2 to \3"),
    (r"(\b[Ee]very \d+ days), between day (\d+) and 31 of the month", r"\1 from day \2 of the month"),
    (r"(\b[Ee]very \d+ days), between day (\d+) and (\d+) of the month", r"\1 from day \2 to day \3 of the month"),
    (r"\bbetween day (\d+) and (\d+) of the month", r"from day \1 to day \2 of the month"),
    (r"(\b[Ee]very \d+ months), (\w+) through December", r"\1 from \2"),
    (r"(\b[Ee]very \d+ months), (\w+) through (\w+)", r"\1 from \2 to \3"),
)
_GERMAN = (
    (r"(\b[Aa]lle \d+ (Minute|Sekunde)n), \2n (\d+) bis 59\b", r"\1 ab \2 \3"),
    (r"(\b[Aa]lle \d+ (Minute|Sekunde)n), \2n (\d+) bis (\d+)", r"\1 von \2 \3 bis \4"),
    (r"^(Minute|Sekunde)n (\d+) bis (\d+)", r"Jede \1 von \1 \2 bis \3"),
    (r"^Bei Minute 0, zwischen (\d\d:\d\d) und (\d\d:\d\d)", r"Jede Stunde von \1 bis \2"),
    (r"(\b[Aa]lle \d+ Stunden), zwischen (\d\d:\d\d) und 23:59\b", r"\1 ab \2"),
    (r"(\b[Aa]lle \d+ Stunden), zwischen (\d\d:\d\d) und (\d\d:\d\d)", r"\1 von \2 bis \3"),
    (r"(\b[Aa]lle \d+ Tage), zwischen Tag (\d+) und 31 des Monats", r"\1 ab dem \2. Tag des Monats"),
    (r"(\b[Aa]lle \d+ Tage), zwischen Tag (\d+) und (\d+) des Monats", r"\1 vom \2. bis zum \3. Tag des Monats"),
    (r"\bzwischen Tag (\d+) und (\d+) des Monats", r"vom \1. bis zum \2. Tag des Monats"),
    (r"(\b[Aa]lle \d+ Monate), (\w+) bis Dezember", r"\1 ab \2"),
    (r"(\b[Aa]lle \d+ Monate), (\w+) bis (\w+)", r"\1 von \2 bis \3"),
    (r", und ", " und "),
    (r"^Bei Minute (\d[\d, und]*)(?!, (?:alle \d+ Stunden|zwischen \d\d:|um \d\d:))(?=,|$)", r"Jede Stunde bei Minute \1"),
)
_CORRECTIONS = tuple((re.compile(pattern), replacement) for pattern, replacement in (*_ENGLISH, *_GERMAN))
_ONLY = say("only ")  # cron_descriptor puts it before a weekday


def expression_in_words(fields: str, locale: str) -> str:
    """The fields of an expression, as `check_expression` returns them, as a sentence: "At 02:00, only on Sunday".

    Debian joins day of month and weekday with "or" if neither begins with `*`, else with "and"; cron_descriptor does not know that. An
    expression with both is described twice, once with each of the two, and what only the second description says is added to the first.
    """
    parts = fields.split()
    either = not (parts[-3].startswith("*") or parts[-1].startswith("*"))
    parts = [_as_list(text, place, len(parts)) for place, text in enumerate(without_long_steps(fields).split())]
    if "*" in {parts[-3], parts[-1]}:
        return _described(" ".join(parts), locale)
    by_day = _described(" ".join([*parts[:-1], "*"]), locale).split(", ")
    by_weekday = _described(" ".join([*parts[:-3], "*", *parts[-2:]]), locale).split(", ")
    rest = [own for own, other in zip_longest(by_weekday, by_day) if own is not None and own != other]
    if not either:
        return ", ".join([*by_day, *rest])
    only = in_language(_ONLY, locale)
    weekdays = ", ".join(text.removeprefix(only) for text in rest)
    return in_language(say("{days}, or {weekdays}", days=", ".join(by_day), weekdays=weekdays), locale)


def _as_list(field: str, place: int, fields: int) -> str:
    """A field as a list of its values, where cron_descriptor says it wrongly: days of the week with a step, which it takes for weeks, and
    lists with a step."""
    weekday, whole = place == fields - 1, _WHOLE_RANGE.fullmatch(field)
    if whole and place <= fields - 4 and whole[1] == ("23" if place == fields - 4 else "59"):
        return f"*/{whole[2]}"
    if "/" not in field or not (weekday or "," in field):
        return field
    alone = ["*"] * 6
    alone[place + 6 - fields] = field
    matcher = CronSim(" ".join(alone), datetime(2000, 1, 1))  # noqa: DTZ001 - a matcher knows wall time alone
    sets = (matcher.seconds, matcher.minutes, matcher.hours, matcher.days, matcher.months, matcher.weekdays)
    values = sorted(sets[place + 6 - fields])
    if weekday:
        values = sorted({number % 7 for number in values if isinstance(number, int)})
        return "*" if len(values) == 7 else ",".join(map(str, values))
    return ",".join(map(str, values))


def _described(fields: str, locale: str) -> str:
    options = Options()
    options.casing_type, options.use_24hour_time_format, options.day_of_week_start_index_zero = CasingTypeEnum.Sentence, True, True
    language = nearest_language(locale)
    options.locale_code = _DESCRIBED_IN[language]
    text = str(ExpressionDescriptor(fields, options).get_description())
    names = _names(language)  # cron_descriptor takes the names of days and months from the process, which speaks English
    return _corrected(_WORD.sub(lambda match: names.get(match[0], match[0]), text))


def _corrected(text: str) -> str:
    """The sentence with the grammar that cron_descriptor leaves out: the singular in English, the full stop of ordinals in German."""
    text = _ONE_OF_MANY.sub(r"\1 \2", text)
    for pattern, replacement in _CORRECTIONS:
        text = pattern.sub(replacement, text)
    return _ORDINALS.sub(lambda match: re.sub(r"\d+", r"\g<0>.", match[0]), text)


@cache
def _names(language: str) -> dict[str, str]:
    """The names of days and months in a language, by their English names."""
    days, months = get_day_names("wide", locale=language), get_month_names("wide", locale=language)
    english = Locale(DEFAULT_LOCALE)
    return {
        **{english.days["format"]["wide"][number]: days[number] for number in range(7)},
        **{english.months["format"]["wide"][number]: months[number] for number in range(1, 13)},
    }
