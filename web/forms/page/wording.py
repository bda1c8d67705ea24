"""The words beside a control: its title, help, bounds and placeholder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from babel.numbers import format_decimal
from markupsafe import Markup

from app import durations
from app.validation.layers import Origin
from app.validation.words import Words
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.page.html import NOTHING, cut
from web.forms.prose import markdown

MOST_DESCRIBED = 300_000  # letters of descriptions in one form
_PLACEHOLDERS = {
    "date-time": "2026-03-29T02:30:00Z",
    "time": "02:30:00Z",
    "duration": "PT1H30M",
    "cron": "0 2 * * 0",
    "timezone": "Europe/Berlin",
    "color": "#1a7f64",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "date": "2026-03-29",
}


class Wording:
    """The words of one form in one locale."""

    def __init__(self, drawer: Drawer, words: Words, locale: str) -> None:
        self._drawer, self._words, self._locale = drawer, words, locale
        self._described_letters = 0
        self._optional = Markup(' <span class="optional">{}</span>').format(words("optional"))
        self._deprecated = Markup(' <span class="badge">{}</span>').format(words("deprecated"))

    def title(self, field: Field) -> str:
        """Returns the label of a field."""
        return cut(_own_title(field) or field.title or self._words("value"))

    def lower(self, text: str) -> str:
        """Returns a title for the middle of a sentence: English writes it small, except an abbreviation."""
        return text[:1].lower() + text[1:] if self._locale.startswith("en") and not text[1:2].isupper() else text

    def path(self, pointer: str, fields: Mapping[str, Field]) -> str:
        """Returns a pointer in the words of the form: "Attachments › 2 › Path"."""
        parts, at = [], ""
        for part in pointer.split("/")[1:]:
            at += "/" + part
            field = fields.get(at)
            parts.append(self.title(field) if field and not field.is_entry else str(int(part) + 1) if part.isdecimal() else part)
        return " › ".join(parts) or self._words("form")

    def badges(self, field: Field) -> Markup:
        """Returns "optional" and "deprecated" where they apply."""
        badges = NOTHING if field.required or field.is_entry else self._optional
        return badges + self._deprecated if field.view is not None and field.view.presentation.deprecated else badges

    def help(self, field: Field) -> Markup:
        """Returns what stands below the control: its help or description, then its bounds."""
        text = self._drawer.hints(field).get("x-help") or (field.view.presentation.description if field.view else "")
        bounds = self._bounds(field)
        shown = self.described(str(text)) if text else NOTHING
        if bounds:
            shown += Markup(' <span class="bounds">{}{}</span>').format("· " if shown else "", bounds)
        return shown

    def described(self, text: str) -> Markup:
        """Returns a description as HTML; nothing if the descriptions of the form are longer than MOST_DESCRIBED together."""
        self._described_letters += len(text)
        return markdown(text) if self._described_letters <= MOST_DESCRIBED else NOTHING

    def _bounds(self, field: Field) -> str:
        """Returns the bounds of a number, or of the length of a list, in short: "1 to 10,000"."""
        keywords = field.control.bound_keywords
        if field.view is None or keywords is None:
            return ""
        low, high = field.view.most(keywords[0]), field.view.least(keywords[1])
        if keywords[0] == "minItems" and not low and high is None:
            return ""  # every list has at least no entries
        if low is None and high is None:
            return ""
        key = "boundsBoth" if low is not None and high is not None else "boundsLow" if low is not None else "boundsHigh"
        return self._words(key, **{name: self._bound(field, bound) for name, bound in (("low", low), ("high", high))})

    def _bound(self, field: Field, value: Any) -> str:
        if value is None:
            return ""
        if field.control.bounds_are_spans and isinstance(value, int) and value >= 0:
            return durations.write(value, self._locale)
        return str(format_decimal(value, locale=self._locale.replace("-", "_")))

    def placeholder(self, field: Field) -> str:
        """Returns what an empty control shows: the hint, an example, or an example of the format."""
        examples = field.view.first("examples") if field.view else None
        example = next((text for text in examples if isinstance(text, str)), "") if isinstance(examples, list) else ""
        of_format = _PLACEHOLDERS.get(field.view.traits.format, "") if field.view else ""
        return cut(str(self._drawer.hints(field).get("x-placeholder") or example or of_format))

    def notes(self, field: Field) -> list[str]:
        """Returns what the form did by itself: what it removed because of a choice, and what it does not draw because it is too much."""
        notes = [self._words("gone", names=", ".join(map(cut, field.lost)))] if field.lost else []
        if field.too_large:
            notes.append(self._words("bounded"))
        return [*notes, self._words("limited")] if field.options_cut else notes

    def add_entry(self, field: Field) -> str:
        """Returns the words of the button that adds an entry: those of the hint `x-add-text`, else "Add" with what an entry is called."""
        hinted = self._drawer.hints(field).get("x-add-text")
        title = self._drawer.new_entry_title(field)
        words = str(hinted) if hinted else self._words("add", item=self.lower(title)) if title else self._words("addEntry")
        return cut(words)

    def add_group(self, field: Field, title: str) -> str:
        """Returns the words of the switch that adds an optional object: those of the hint `x-add-text`, else "Include" with its title."""
        hinted = self._drawer.hints(field).get("x-add-text")
        return cut(str(hinted)) if hinted else self._words("setGroup", title=title)

    def choice(self, field: Field) -> str:
        """Returns the label of the choice between alternatives: the hint `x-choice-title`, else "Type of" with the title of the field."""
        hinted, title = self._drawer.hints(field).get("x-choice-title"), _own_title(field) or field.title
        words = str(hinted) if hinted else self._words("choiceOf", title=title) if title else self._words("alternative")
        return cut(words)

    def entry(self, field: Field) -> str:
        """Returns what an entry is called: what its list calls it, else the title of its schema."""
        return cut(field.title or (field.view.words("title", Origin.PART) if field.view else "") or self._words("entry"))

    def types(self, field: Field) -> Sequence[tuple[str, str, bool]]:
        """Returns the types to choose from, as (type, words, chosen); an empty list if there is only one."""
        shown, view = field.control.shown_type, field.view
        if not shown or view is None or view.choices is not None or self._drawer.hints(field).get("x-widget") == "json":
            return []
        types = list(view.types)
        if len(types) < 2 and not (field.control.is_makeshift and types):
            return []
        if shown == "json" or view.first("type") is None:
            types.append("json")
        return [(field.control.name if name == shown else name, self._words(f"kind.{name}"), name == shown) for name in types]


def _own_title(field: Field) -> str:
    return field.view.presentation.title if field.view else ""
