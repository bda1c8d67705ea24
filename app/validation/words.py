"""Reads messages by key and locale from gettext catalogues (`<locale>.po`), with Babel.

A key is a keyword of JSON Schema, or a word of the form.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from babel import Locale, negotiate_locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations

DEFAULT_LOCALE = "en"
# words("minLength", count=5) returns the sentence in one locale; `count` selects the plural form.
Words = Callable[..., str]


def locales(folder: Path) -> list[str]:
    """Returns the locales for which a folder has catalogues."""
    return sorted(path.stem for path in folder.glob("*.po"))


def nearest_locale(wanted: str, folder: Path) -> str:
    """Returns the best catalogue for a locale such as `de-AT`; English if there is none."""
    return negotiate_locale([wanted, wanted.replace("-", "_")], locales(folder)) or DEFAULT_LOCALE


def compiled(file: Path, locale: str) -> Translations:
    """Returns a catalogue that is ready to translate."""
    return _read(file, locale)[1]


def _read(path: Path, locale: str) -> tuple[Catalog, Translations]:
    with path.open("rb") as file:
        catalogue = read_po(file, locale=locale)
    machine = io.BytesIO()
    write_mo(machine, catalogue)
    machine.seek(0)
    return catalogue, Translations(machine)


@cache
def words_of(folder: Path, locale: str) -> Words:
    """Returns the sentences of the catalogue in a folder. An unknown key raises KeyError: catalogues are complete, and a test proves
    that."""
    name = nearest_locale(locale, folder)
    catalogue, translations = _read(folder / f"{name}.po", name)
    keys = [str(message.id[0] if isinstance(message.id, tuple) else message.id) for message in catalogue if message.id]
    texts = {key: translations.gettext(key) for key in keys}
    parsed = Locale.parse(name)

    def words(key: str, **values: Any) -> str:
        text: str = texts[key]
        count = values.get("count")
        if isinstance(count, int):
            text = translations.ngettext(key, key, count)
            values["count"] = format_decimal(count, locale=parsed)
        return text.format(**values) if values else text

    return words
