"""The form of one schema: draw it, read it, change its shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from app.errors import FieldError
from app.validation.cache import Cache
from app.validation.dynamic import Resolved
from app.validation.schema import CACHED, prepare
from app.validation.secret import NAMED
from app.validation.validator import SchemaValidator
from app.validation.words import DEFAULT_LOCALE, words_of
from web.forms.draw import Drawer, move
from web.forms.field import Field, Post, Reader, decode, small_number
from web.forms.hints import check_hints
from web.forms.render import Options, Presented, present
from web.forms.values import ABSENT
from web.forms.view import Views

PREFIX = "f"
LOCALES = Path(__file__).parent / "locale"


@dataclass(frozen=True)
class Submission:
    """A posted form: `value` is what the person meant, `errors` what is wrong with it, `root` keeps their own text."""

    value: Any
    errors: tuple[FieldError, ...]
    root: Field

    @property
    def valid(self) -> bool:
        return not self.errors

    @property
    def gone(self) -> tuple[str, ...]:
        """The titles of what a person had filled in and their own choice made impossible; it is not in `value`."""
        return tuple(title for one in self.root.walk() for title in one.gone)


@dataclass(frozen=True, slots=True)
class _Compiled:
    validator: SchemaValidator
    views: Views
    has_read_only: bool


_compiled = Cache[_Compiled](CACHED)


def _compile(schema: Any) -> _Compiled:
    """What all forms of a schema share, kept by the digest of the schema."""

    def make() -> _Compiled:
        validator = SchemaValidator(schema, stored=False)
        return _Compiled(validator, Views(validator), any(one.get("readOnly") is True for one in validator.prepared.subschemas))

    return _compiled.get(prepare(schema).digest, make)


class Form:
    """Raises SchemaRefused(pointer, reason) for a schema that it will not take.

    `hints` are `x-` keywords by place (a JSON Pointer into the value, `*` for entries: `/rows/*/name`); they go before the schema's
    own. `options` answers `x-options`; without it they offer nothing. `saved_secrets` are names that a secret may be given by.
    `resolve` tells what dynamic values would become now; without it there are none. `also` tells what is wrong with a value besides what
    the schema says. `locale` is that of messages and buttons, `en` or `de`.
    """

    def __init__(
        self,
        schema: Any,
        *,
        hints: Mapping[str, Mapping[str, Any]] | None = None,
        options: Options | None = None,
        saved_secrets: Sequence[str] = (),
        resolve: Callable[[Any], Resolved] = Resolved,
        also: Callable[[Any], Iterable[FieldError]] = lambda value: (),
        locale: str = DEFAULT_LOCALE,
    ) -> None:
        self._shared = _compile(schema)
        self._hints = dict(hints or {})
        for place, found in self._hints.items():
            check_hints(found, place)
        self._options: Options = options or (lambda source: ())
        self._resolve, self._also = resolve, also
        self._locale, self._saved = locale, tuple(saved_secrets)
        self._words = words_of(LOCALES, locale)

    def render(
        self,
        value: Any = ABSENT,
        *,
        errors: Iterable[FieldError] = (),
        name_prefix: str = PREFIX,
        submission: Submission | None = None,
    ) -> Markup:
        """The controls, without a <form> around them.

        A fresh form (`value` absent) shows the schema's defaults. With a `submission` the page after a post: its own text and errors,
        and `errors` besides.
        """
        return self.present(value, errors=errors, name_prefix=name_prefix, submission=submission).controls

    def present(
        self,
        value: Any = ABSENT,
        *,
        errors: Iterable[FieldError] = (),
        name_prefix: str = PREFIX,
        submission: Submission | None = None,
        in_place: bool = False,
        fresh: bool = False,
    ) -> Presented:
        """As `render`, with a summary of the errors: each with its words, the control's name and the id to link to.

        `fresh`: `value` is what a new one begins with; what it leaves out shows its default.

        `in_place` is for whoever keeps the controls that were posted and takes the messages only: their secrets are still there.
        """
        drawer = self._drawer()
        if submission is not None:
            root, found = drawer.arrange(submission.root, self._shared.views.root, fresh=True), [*submission.errors, *errors]
        else:
            root, found = drawer.root(value, name_prefix, fresh=fresh or value is ABSENT), list(errors)
        if in_place:
            for field in root.walk():
                field.retype = False
        ahead = self._resolve(Reader(self._words).value(root))
        return present(
            root,
            found,
            drawer=drawer,
            options=self._options,
            saved=self._saved,
            ahead=ahead,
            words=self._words,
            prefix=name_prefix,
            locale=self._locale,
        )

    def read(self, pairs: Iterable[tuple[str, str]], *, name_prefix: str = PREFIX, stored: Any = ABSENT) -> Submission:
        """The submission in (name, value) pairs, exactly as a browser posts them; names of other forms are passed over.

        `stored` is the value that the form was drawn with: read-only places keep what it has there, whatever was posted.
        """
        views, drawer = self._shared.views, self._drawer()
        types = views.view(views.root, ABSENT, {}).types
        root = decode(Post.of(pairs, name_prefix), name_prefix, "", views.choices_of, drawn_as=types[0] if types else "json")
        root = drawer.settle(root, views.root)
        if self._shared.has_read_only:
            root = drawer.guard(root, views.root, stored)
        return self._submission(root)

    def apply(self, submission: Submission, action: str) -> Submission:
        """The submission after a button, whose value `action` is; one that names nothing of the form changes nothing.

        `add NAME`, `remove NAME ROW`, `up NAME ROW`, `down NAME ROW`; `json NAME` and `form NAME` switch between a field's controls
        and its JSON; `update NAME` shows what a change of type, branch or state brings along.
        """
        what, _, rest = action.partition(" ")
        name, _, row = rest.partition(" ")
        drawer = self._drawer()
        root = drawer.arrange(submission.root, self._shared.views.root, fresh=True)
        target = next((one for one in root.walk() if one.name == name), None)
        if target is not None:
            if what == "add" and target.kind in {"array", "object"}:
                drawer.add(target)
            elif what in {"remove", "up", "down"}:
                move(target, what, small_number(row))
            elif what == "json" and target.kind != "source":
                drawer.as_json(target, Reader(self._words).value(target))
            elif what == "form" and target.kind == "source":
                self._back_to_form(drawer, target)
        return self._submission(root)

    def _back_to_form(self, drawer: Drawer, target: Field) -> None:
        """Draw the typed JSON as controls again; JSON that is wrong stays, with its message."""
        reader = Reader(self._words)
        value = reader.value(target)
        if not reader.errors:
            target.kind = "json"
            target.raw, target.state = ("", "absent") if value is ABSENT else (target.raw, "value")
            drawer.redraw(target, value)

    def _drawer(self) -> Drawer:
        return Drawer(self._shared.views, self._hints, Reader(self._words))

    def _submission(self, root: Field) -> Submission:
        reader = Reader(self._words)
        value = reader.value(root)
        broken = {error.pointer for error in reader.errors}
        kept = {one.pointer for one in root.walk() if one.state in {"kept", NAMED}}
        picked = {(one.pointer, key): place for one in root.walk() for key, place in one.picked.items()}

        def chosen(pointer: str, branches: Any) -> int | None:
            return picked.get((pointer, self._shared.views.union_key(branches) or ""))

        ahead = self._resolve(value)
        if value is ABSENT:
            judged = [FieldError("", self._words("nothing"))] if not reader.errors else []
        else:
            judged = [*ahead.errors, *self._shared.validator.errors(ahead.value, locale=self._locale, chosen=chosen)]
            told = {error.pointer for error in ahead.errors}
            judged = [error for error in judged if error.pointer not in ahead.open and (error in ahead.errors or error.pointer not in told)]
            told |= {error.pointer for error in judged}
            judged += [error for error in self._also(value) if error.pointer not in told]
        found = [*reader.errors, *(error for error in judged if error.pointer not in broken | kept)]
        return Submission(value, tuple(found), root)


def action_in(pairs: Iterable[tuple[str, str]], *, name_prefix: str = PREFIX) -> str | None:
    """The button of this form that was pressed, if one was."""
    return next((value for name, value in pairs if name == f"{name_prefix}.action"), None)
