"""What triggers say, in the languages of `locale/`. The English sentences stand in the code; a catalogue has them as its keys."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from gettext import NullTranslations
from pathlib import Path

from babel import negotiate_locale
from babel.units import format_unit

from app.validation.words import DEFAULT_LOCALE, compiled, locales
from templates_lib.messages import Said

LOCALES = Path(__file__).parent / "locale"
LANGUAGES = tuple(sorted((DEFAULT_LOCALE, *locales(LOCALES))))  # that triggers can be told in
UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))  # (unit, its seconds)


def nearest_language(locale: str) -> str:
    """The language of LANGUAGES for a locale such as `de-AT`; English if there is none."""
    return negotiate_locale([locale, locale.replace("-", "_")], LANGUAGES) or DEFAULT_LOCALE


def in_language(sentence: Said, locale: str) -> str:
    """A sentence that `say` made, in the nearest language. Its values are filled in as they are."""
    pattern = _catalogue(nearest_language(locale)).gettext(sentence.pattern)
    return pattern.format(**sentence.values) if sentence.values else pattern


def written(moment: datetime) -> str:
    """A date and time in UTC: 2026-03-29 02:30:00."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def duration_words(seconds: int, locale: str = DEFAULT_LOCALE) -> str:
    """90 → "1 minute 30 seconds"; 3600 → "1 hour"."""
    language, parts = nearest_language(locale), []
    for unit, size in UNITS:
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(format_unit(amount, f"duration-{unit}", length="long", locale=language))
    return " ".join(parts) or format_unit(0, "duration-second", length="long", locale=language)


@cache
def _catalogue(language: str) -> NullTranslations:
    return NullTranslations() if language == DEFAULT_LOCALE else compiled(LOCALES / f"{language}.po", language)
