"""Cron expressions as sentences."""

from __future__ import annotations

import re
from functools import cache
from itertools import zip_longest

from babel import Locale
from babel.dates import get_day_names, get_month_names
from cron_descriptor import CasingTypeEnum, ExpressionDescriptor, Options

from app.triggers.words import in_language, nearest_language
from app.validation.words import DEFAULT_LOCALE
from templates_lib.messages import say

_DESCRIBED_IN = {"en": "en_US", "de": "de_DE"}  # the names that cron_descriptor has for our languages
_WORD = re.compile(r"\w+")
_ONE_OF_MANY = re.compile(r"(?<=[Aa]t )(0?1) (minute|second)s(?= past)")  # English: "at 1 minutes past the hour"
_ORDINALS = re.compile(r"(?<=am )\d[^A-Z]*(?= Tag des Monats)|(?<=zum )\d+(?= Tag des Monats)")  # German: "am 1 und 15 Tag des Monats"
_ONLY = say("only ")  # cron_descriptor puts it before a weekday


def expression_in_words(fields: str, locale: str) -> str:
    """The fields of an expression, as `check_expression` returns them, as a sentence: "At 02:00, only on Sunday".

    Debian joins day of month and weekday with "or" if neither begins with `*`; cron_descriptor says "and". Such an expression is described
    twice, once with each of the two, and what only the second description says is added to the first.
    """
    parts = fields.split()
    if len(parts) < 5 or parts[-3].startswith("*") or parts[-1].startswith("*"):
        return _described(fields, locale)
    by_day = _described(" ".join([*parts[:-1], "*"]), locale).split(", ")
    by_weekday = _described(" ".join([*parts[:-3], "*", *parts[-2:]]), locale).split(", ")
    only = in_language(_ONLY, locale)
    rest = [own.removeprefix(only) for own, other in zip_longest(by_weekday, by_day) if own is not None and own != other]
    return in_language(say("{days}, or {weekdays}", days=", ".join(by_day), weekdays=", ".join(rest)), locale)


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
