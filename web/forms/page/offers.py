"""What a text field suggests: examples, names of entries, and what a provider knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.zones import zone_names
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.json_text import json_text
from web.forms.page.html import LONGEST_TITLE
from web.forms.page.siblings import Siblings
from web.forms.values import ABSENT

# What a provider answers for one `x-options`: texts, or (text, words) pairs.
Options = Callable[[Mapping[str, Any]], Sequence[str | tuple[str, str]]]
MOST_SUGGESTIONS = 50  # of one field
MOST_OFFERED = 20_000  # suggestions and options of providers in one form


class Offers:
    """The suggestions of one form, MOST_OFFERED together; fields beyond that offer none. `provider` answers `x-options`."""

    def __init__(self, root: Field, drawer: Drawer, provider: Options, siblings: Siblings) -> None:
        self._root, self._drawer, self._provider, self._siblings = root, drawer, provider, siblings
        self._answers: dict[str, Sequence[tuple[str, str]]] = {}
        self._suggested: dict[str, list[str]] = {}  # by the name of the field
        self._count = 0
        self.uses_zones = False

    def suggestions(self, field: Field) -> list[str]:
        """Returns the examples of the schema for a text or a number."""
        if field.name not in self._suggested:
            self._suggested[field.name] = self._if_they_fit(_examples(field))
        return self._suggested[field.name]

    def entry_names(self, field: Field) -> list[str]:
        """Returns the names that the entries of a map may have, if the schema lists them."""
        names = field.view.entries.names if field.view is not None and (field.rows or self.may_add(field)) else ()
        if field.name not in self._suggested:
            self._suggested[field.name] = self._if_they_fit([name for name in names if len(name) <= LONGEST_TITLE])
        return self._suggested[field.name]

    def may_add(self, field: Field) -> bool:
        """Returns True if a person may add one more entry."""
        if field.view is None:
            return False
        return field.control.may_add_entry(field, field.view)

    def _if_they_fit(self, texts: list[str]) -> list[str]:
        """Returns the texts if the form may offer so many more, else an empty list."""
        self._count += len(texts)
        return texts if self._count <= MOST_OFFERED else []

    def zones_list(self) -> str:
        """Returns the id of the list of all time zones, which then stands at the end of the form."""
        self.uses_zones = True
        return f"{self._root.name}-zones"

    def zones(self) -> list[str]:
        """Returns the names of all time zones."""
        return sorted(zone_names())

    def live_options(self, field: Field) -> Sequence[tuple[str, str]]:
        """Returns the (text, words) pairs that the provider offers, asked with the values that the hint depends on."""
        hint = self._drawer.hints(field)["x-options"]
        source = {key: value for key, value in hint.items() if key not in {"create", "free", "depends"}}
        for argument, sibling in hint.get("depends", {}).items():
            value = self._siblings.value(field, sibling)
            source[argument] = None if value is ABSENT else value
        key = repr(sorted(source.items(), key=str))
        if key not in self._answers:
            self._answers[key] = [(answer, answer) if isinstance(answer, str) else answer for answer in self._provider(source)]
        return self._answers[key]

    def may_offer(self, field: Field) -> bool:
        """Returns True if the options of the provider still fit on the page; if not, the field is a line of text."""
        self._count += len(self.live_options(field))
        return self._count <= MOST_OFFERED


def _examples(field: Field) -> list[str]:
    """Returns the examples of a field that its control takes, as texts."""
    examples = field.view.first("examples") if field.view else None
    if not isinstance(examples, list):
        return []
    fitting = [example for example in examples if field.control.takes_example(example)]
    texts = [example if isinstance(example, str) else json_text(example) for example in fitting]
    return [text for text in texts if len(text) <= LONGEST_TITLE][:MOST_SUGGESTIONS]
