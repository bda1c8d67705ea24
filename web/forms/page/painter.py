"""What the page shows of each field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.errors import FieldError
from app.validation.dynamic import Resolved
from app.validation.layers import Union
from app.validation.words import Words
from web.forms.controls.base import STATE_WORDS
from web.forms.controls.table import READ_ONLY
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.limits import FEWEST_OPTIONS
from web.forms.page.html import NOTHING, attribute, byte_size, cut, shorten
from web.forms.page.messages import Messages, SummaryLine
from web.forms.page.offers import Offers, Options
from web.forms.page.siblings import Siblings
from web.forms.page.wording import Wording


@dataclass(frozen=True, slots=True)
class BranchChoice:
    """The choice of a union's branch. `options` are (index, words, chosen); `help` is the description of the chosen branch."""

    key: str
    words: str
    options: Sequence[tuple[int, str, bool]]
    chosen: int
    help: Markup


@dataclass(frozen=True, slots=True)
class Shown:
    """All that the page says of one field, made once. `described` and `visible` are attributes of its control."""

    title: str
    badges: Markup
    help: Markup
    messages: list[str]
    becomes: list[tuple[str, str]]
    described: Markup
    visible: Markup
    states: list[tuple[str, str]]
    types: Sequence[tuple[str, str, bool]]
    branches: list[BranchChoice]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Section:
    """Members of an object that stand together. The title is empty for members without a section."""

    title: str
    members: list[Field]
    is_open: bool


class Painter:
    """Answers what the templates ask of a field."""

    def __init__(
        self,
        root: Field,
        errors: Sequence[FieldError],
        *,
        drawer: Drawer,
        provider: Options,
        prefix: str,
        words: Words,
        locale: str,
        saved_secrets: Sequence[str],
        ahead: Resolved,
    ) -> None:
        self.drawer, self.prefix, self.words, self.saved_secrets = drawer, prefix, words, saved_secrets
        self._locale = locale
        self._drawn: dict[str, Field] = {}
        for field in root.walk():
            if not self._is_hidden(field):
                self._drawn.setdefault(field.pointer, field)
        self.siblings = Siblings(self._drawn, root.walk(), drawer)
        self.wording = Wording(drawer, words, locale)
        self.offers = Offers(root, drawer, provider, self.siblings)
        self._messages = Messages(self._drawn, errors, ahead)

    def _is_hidden(self, field: Field) -> bool:
        """Returns True for a read-only field that is not drawn at all; its errors are shown at the field around it."""
        return field.control is READ_ONLY and bool(self.hint(field, "x-hidden"))

    def hint(self, field: Field, name: str) -> Any:
        """Returns a hint of a field, or None."""
        return self.drawer.hints(field).get(name)

    def size(self, count: int) -> str:
        """Returns a number of bytes in words."""
        return byte_size(count, self._locale)

    def summary(self) -> tuple[SummaryLine, ...]:
        """Returns the errors in the order of the form."""
        lines = [
            SummaryLine(error.pointer, f"#{field.name}", self.wording.path(error.pointer, self._drawn), error.message)
            for error, field in self._messages.in_order()
        ]
        return tuple(dict.fromkeys(lines))

    def shown(self, field: Field) -> Shown:
        """Returns all that the page says of a field."""
        messages, help_text = self._error_texts(field), self.wording.help(field)
        becomes = self._messages.becomes(field)
        described = [f"{field.name}-help"] if help_text else []
        described += [f"{field.name}-messages"] if messages or becomes else []
        attributes = attribute("aria-describedby", " ".join(described)) if described else NOTHING
        if messages:
            attributes += Markup(' aria-invalid="true"')
        return Shown(
            title=self.wording.title(field),
            badges=self.wording.badges(field),
            help=help_text,
            messages=messages,
            becomes=becomes,
            described=attributes,
            visible=self.siblings.visibility(field),
            states=self._states(field),
            types=self.wording.types(field),
            branches=self._branches(field),
            notes=self.wording.notes(field),
        )

    def _error_texts(self, field: Field) -> list[str]:
        errors = self._messages.errors_of(field)
        return [*errors, self.words("secretAgain")] if field.asks_again else errors

    # -- state and branch -----------------------------------------------------------------------------------------

    def _states(self, field: Field) -> list[tuple[str, str]]:
        """Returns the states to choose from, as (state, words); an empty list if there is nothing to choose."""
        control = field.control
        words = {**STATE_WORDS, "value": control.value_words, **control.state_words}
        return [(state, self.words(words[state])) for state in control.states(field, self)]

    def state_is_quiet(self, field: Field) -> bool:
        """Returns True if the choice of a state matters only while the control is empty; it shows when the field has the focus."""
        return field.control.has_quiet_state and not field.nullable and field.state != "null"

    def _branches(self, field: Field) -> list[BranchChoice]:
        """Returns the unions to choose a branch of."""
        if field.view is None or not field.control.offers_branches(field):
            return []
        drawn = [union for union in field.view.unions if union.drawn]
        return [self._branch_choice(field, union, number if len(drawn) > 1 else 0) for number, union in enumerate(drawn, 1)]

    def _branch_choice(self, field: Field, union: Union, number: int) -> BranchChoice:
        names = [cut(name.in_words(self.words)) for name in self.drawer.branch_names(union)]
        options = [(index, name, index == union.chosen) for index, name in zip(union.places, names, strict=True)]
        branch = union.branches[union.chosen]
        text = branch.get("description", "") if isinstance(branch, Mapping) else ""
        words = self.wording.choice(field)
        return BranchChoice(
            key=union.key,
            words=f"{words} {number}" if number else words,
            options=shorten(options, union.chosen, FEWEST_OPTIONS) if field.options_cut else options,
            chosen=union.chosen,
            help=self.wording.described(str(text)) if text else NOTHING,
        )

    # -- members --------------------------------------------------------------------------------------------------

    def sections(self, field: Field) -> list[Section]:
        """Returns the drawn members of an object by their section. Members without one stand together where they follow each other."""
        members_of: dict[str | int, list[Field]] = {}
        loose, last = 0, None
        for member in field.members.values():
            if self._is_hidden(member):
                continue
            title = str(self.hint(member, "x-section") or "")
            if not title:
                loose += last != ""
            last = title
            members_of.setdefault(title or loose, []).append(member)
        return [Section(key if isinstance(key, str) else "", members, self._is_open(members)) for key, members in members_of.items()]

    def _is_open(self, members: Sequence[Field]) -> bool:
        """Returns True if one of the members is required, set or wrong."""
        return self._messages.holds_error(members) or any(member.required or member.state != "absent" for member in members)
