"""Pages in the language of whoever reads them: English, or one that `locale/` has a catalogue for.

The keys of a catalogue are the English sentences themselves. Templates name them by `_` and `ngettext`, Python code by `say`
(templates_lib.messages); a template that puts out what `say` made puts it out translated. `make messages` collects all of them.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import cache, lru_cache
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from flask import g, has_request_context, request
from markupsafe import Markup

from app.accounts.preferences import LANGUAGES
from app.errors import FieldError
from app.triggers.words import LOCALES as TRIGGER_LOCALES
from app.validation.terminal import harmless
from app.validation.words import DEFAULT_LOCALE, compiled
from templates_lib.messages import Said, joined
from web.current import preference

LOCALES = Path(__file__).parent / "locale"


def language() -> str:
    """Returns the viewer's language: their setting, else the first language of their browser that there is, else English."""
    if not has_request_context():
        return DEFAULT_LOCALE
    tag_of_request: str | None = g.get("language")
    if tag_of_request is None:
        chosen = preference().language
        asked = (tag.partition("-")[0].lower() for tag, quality in request.accept_languages if quality > 0)
        tag_of_request = g.language = chosen if chosen in LANGUAGES else next((tag for tag in asked if tag in LANGUAGES), DEFAULT_LOCALE)
    return tag_of_request


@cache
def _catalogue(name: str) -> NullTranslations:
    if name == DEFAULT_LOCALE:
        return NullTranslations()
    catalogue = compiled(TRIGGER_LOCALES / f"{name}.po", name)
    catalogue.merge(compiled(LOCALES / f"{name}.po", name))
    return catalogue


@cache
def _locale(name: str) -> Locale:
    return Locale.parse(name)


def locale() -> Locale:
    """Returns the viewer's locale, for Babel."""
    return _locale(language())


# -- sentences -------------------------------------------------------------------------------------------------------


class _Formatter(string.Formatter):
    """str.format with numbers, instants and sentences in a language."""

    def __init__(self, name: str) -> None:
        self._name = name

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Said):
            value = translated(value, self._name)
        if isinstance(value, int | float) and not isinstance(value, bool) and format_spec in {"", ","}:
            return _decimal(value, self._name)
        if isinstance(value, datetime) and format_spec:
            return _instant(value, self._name, seconds="%S" in format_spec)
        return str(super().format_field(value, format_spec))


_formatter = lru_cache(_Formatter)


def translated(text: str, name: str | None = None) -> str:
    """Returns what `say` made in the language `name`, or in the viewer's. A text that no catalogue has stays as it is."""
    name = name or language()
    if name == DEFAULT_LOCALE:
        return text
    if not isinstance(text, Said):
        return _catalogue(name).gettext(text) if text else text
    if text.plural:
        pattern = _catalogue(name).ngettext(text.pattern, text.plural, text.number)
    else:
        pattern = _catalogue(name).gettext(text.pattern) if text.pattern else ""
    return _formatter(name).format(pattern, **text.values) if text.values else pattern


def finalize(value: Any) -> Any:
    """For Jinja: what a template puts out, translated where `say` made it, and harmless to the text around it. What is to come back as it
    is, such as the value of a field, goes through `e` first."""
    if isinstance(value, Said):
        value = translated(value)
    return harmless(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def gettext(text: str, **values: Any) -> Markup:
    """`_` of templates: a sentence of the viewer's language with its %(fields)s. The sentence may hold HTML, the values are escaped."""
    return Markup(_catalogue(language()).gettext(text)) % _shown(values)  # noqa: S704 - from our own templates and catalogues


def ngettext(one: str, many: str, number: int, **values: Any) -> Markup:
    """As `gettext`, by number; %(num)s is the number, written as the language does."""
    text = _catalogue(language()).ngettext(one, many, number)
    return Markup(text) % _shown({"num": decimal(number), **values})  # noqa: S704 - as above


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    return {name: finalize(value) for name, value in values.items()}


def sentences(errors: Iterable[FieldError], names: Mapping[str, str], other: str) -> Said:
    """Errors one after the other, each begun by what its field is called; `other` stands for a field that has no name here."""
    return joined((joined((names.get(error.pointer, other), error.message), " ") for error in errors), "; ")


# -- numbers and times -----------------------------------------------------------------------------------------------


def decimal(value: float, digits: int | None = None, name: str | None = None) -> str:
    """1234567.5 as 1,234,567.5 or 1.234.567,5; with so many digits after the point, else up to three; in a language, the viewer's where
    none is named."""
    return _decimal(value, name or language(), digits)


def _decimal(value: float, name: str, digits: int | None = None) -> str:
    # A page has hundreds: Python writes them, the language gives the signs.
    if digits is not None:
        text = f"{value:,.{digits}f}"
    else:
        text = f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
    return text if name == DEFAULT_LOCALE else text.translate(_signs(name))


@cache
def _signs(name: str) -> dict[int, str]:
    signs = _locale(name).number_symbols["latn"]
    return str.maketrans({",": signs["group"], ".": signs["decimal"]})


def instant(value: datetime, *, seconds: bool = True) -> str:
    """An instant in its own zone: "2026-03-29 02:30:00" in English, where no order of day and month is everybody's, else as the
    language writes it."""
    return _instant(value, language(), seconds=seconds)


def _instant(value: datetime, name: str, *, seconds: bool) -> str:
    clock = "HH:mm:ss" if seconds else "HH:mm"
    if name == DEFAULT_LOCALE:
        return f"{value:%Y-%m-%d %H:%M:%S}" if seconds else f"{value:%Y-%m-%d %H:%M}"
    return f"{format_date(value, 'medium', locale=_locale(name))} {format_time(value, clock, locale=_locale(name))}"


def dated(value: date | datetime, pattern: str) -> str:
    """A date, or an instant in its own zone, by a pattern of CLDR (UTS 35): "EEE d MMM" is "Sun 29 Mar". Templates name patterns by `_`,
    so that a catalogue gives each language its own."""
    return (
        format_datetime(value, str(pattern), locale=locale())
        if isinstance(value, datetime)
        else format_date(value, str(pattern), locale=locale())
    )


# -- schemas ---------------------------------------------------------------------------------------------------------

# What a schema says to people, and where schemas stand inside one (JSON Schema 2020-12, core 10 and our hints).
TEXTS = ("title", "description", "x-help", "x-placeholder", "x-item-title", "x-add-text", "x-choice-title", "x-section", "x-pattern-words")
_MAPS = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_ONES = frozenset({"items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedProperties"})


def texts_of(schema: Any) -> Iterator[str]:
    """Yields all texts of a schema that people read."""
    if isinstance(schema, Mapping):
        yield from (schema[name] for name in TEXTS if isinstance(schema.get(name), str))
        for inner in _inside(schema):
            yield from texts_of(inner)


def _inside(schema: Mapping[str, Any]) -> Iterator[Any]:
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, Mapping):
            yield from value.values()
        elif name in _LISTS and isinstance(value, list):
            yield from value
        elif name in _ONES:
            yield value


def in_language(schema: Any) -> Any:
    """Returns a schema with its texts in the viewer's language, as far as the catalogue has them."""
    name = language()
    return schema if name == DEFAULT_LOCALE else _schema_in(schema, name)


def _schema_in(schema: Any, name: str) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    shown: dict[str, Any] = {}
    for key, value in schema.items():
        if key in TEXTS and isinstance(value, str):
            shown[key] = _catalogue(name).gettext(value) if value else value
        elif key in _MAPS and isinstance(value, Mapping):
            shown[key] = {inner_key: _schema_in(inner, name) for inner_key, inner in value.items()}
        elif key in _LISTS and isinstance(value, list):
            shown[key] = [_schema_in(inner, name) for inner in value]
        else:
            shown[key] = _schema_in(value, name) if key in _ONES else value
    return shown
