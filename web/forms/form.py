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
from app.validation.schema import CACHED, LARGE, LARGE_CACHED, prepare
from app.validation.secret import NAMED
from app.validation.validator import SchemaValidator
from app.validation.words import DEFAULT_LOCALE, words_of
from web.forms.arrange import Arranger
from web.forms.buttons import add_entry, edit_as_form, edit_as_json, move_row, remove_row
from web.forms.controls.table import JSON_ON_REQUEST
from web.forms.decode import Decoder
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.hints import check_hints
from web.forms.names import small_number
from web.forms.page.offers import Options
from web.forms.post import Post
from web.forms.reader import Reader
from web.forms.reading import Reading
from web.forms.render import Presented, present
from web.forms.reshape import Reshaper
from web.forms.stored import ReadOnlyRestorer
from web.forms.values import ABSENT
from web.forms.view import Views

PREFIX = "f"
LOCALES = Path(__file__).parent / "locale"


@dataclass(frozen=True)
class Submission:
    """A posted form. `value` is what the person meant, `errors` what is wrong with it; `root` keeps the texts that they typed."""

    value: Any
    errors: tuple[FieldError, ...]
    root: Field

    @property
    def valid(self) -> bool:
        return not self.errors

    @property
    def gone(self) -> tuple[str, ...]:
        """The titles of members that the person had filled in and that another choice of theirs forbids. `value` does not have them."""
        return tuple(title for field in self.root.walk() for title in field.lost)


@dataclass(frozen=True, slots=True)
class _Compiled:
    validator: SchemaValidator
    views: Views
    has_read_only: bool


_compiled, _large_compiled = Cache[_Compiled](CACHED), Cache[_Compiled](LARGE_CACHED)


def _compile(schema: Any) -> _Compiled:
    """Returns what all forms of a schema share. It is kept by the digest of the schema."""

    def make() -> _Compiled:
        validator = SchemaValidator(schema, stored=False)
        has_read_only = any(subschema.get("readOnly") is True for subschema in validator.prepared.subschemas)
        return _Compiled(validator, Views(validator), has_read_only)

    prepared = prepare(schema)
    cache = _compiled if len(prepared.subschemas) <= LARGE else _large_compiled
    return cache.get(prepared.digest, make)


class Form:
    """The form of one schema.

    `hints` are `x-` keywords by place (a JSON Pointer into the value, `*` for entries: `/rows/*/name`); they go before the schema's
    own. `options` answers `x-options`; without it they offer nothing. `saved_secrets` are names that a secret may be given by.
    `resolve` returns what dynamic values become now; without it the form has none. `also` returns further errors of a value, besides
    those that the schema finds. `locale` is that of messages and buttons, `en` or `de`.
    Raises SchemaRefused(pointer, reason) for a schema that it does not take.
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
        for place, hints_of_place in self._hints.items():
            check_hints(hints_of_place, place)
        self._options: Options = options or (lambda source: ())
        self._resolve, self._also = resolve, also
        self._locale, self._saved_secrets = locale, tuple(saved_secrets)
        self._words = words_of(LOCALES, locale)

    def render(
        self,
        value: Any = ABSENT,
        *,
        errors: Iterable[FieldError] = (),
        name_prefix: str = PREFIX,
        submission: Submission | None = None,
    ) -> Markup:
        """Returns the controls, without a <form> around them.

        A fresh form (`value` is ABSENT) shows the schema's defaults. With a `submission` it is the page after a post: the person's own
        texts with the errors of the submission, and `errors` besides.
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
        """Returns the controls with a summary of the errors: each with its words, the control's name and the id to link to.

        `fresh`: `value` is what a new one begins with; what it leaves out shows its default. `in_place`: the browser keeps the controls
        that were posted and takes only the messages; the secrets that were typed are still in them.
        """
        drawer = self._drawer()
        if submission is not None:
            root, shown_errors = self._arranged(submission, drawer), [*submission.errors, *errors]
        else:
            root, shown_errors = drawer.draw_root(value, name_prefix, fresh=fresh or value is ABSENT), list(errors)
        if in_place:
            for field in root.walk():
                field.asks_again = False
        return present(
            root,
            shown_errors,
            drawer=drawer,
            options=self._options,
            saved_secrets=self._saved_secrets,
            ahead=self._resolve(self._reader().value(root)),
            words=self._words,
            prefix=name_prefix,
            locale=self._locale,
        )

    def reading(self, value: Any) -> Reading:
        """Returns the titles and texts of a value, for a page that only shows it."""
        drawer = self._drawer()
        root = drawer.draw_root(value, PREFIX, fresh=False)
        return Reading(root, value, drawer=drawer, words=self._words, locale=self._locale)

    def read(self, pairs: Iterable[tuple[str, str]], *, name_prefix: str = PREFIX, stored: Any = ABSENT) -> Submission:
        """Returns the submission in (name, value) pairs, exactly as a browser posts them. Names of other forms are ignored.

        `stored` is the value that the form was drawn with: read-only places keep what it has there, whatever was posted.
        """
        views, drawer, reader = self._shared.views, self._drawer(), self._reader()
        types = views.view(views.root, ABSENT, {}).types
        decoder = Decoder(views.choices_of)
        root = decoder.decode(Post.of(pairs, name_prefix), name_prefix, "", unmarked=types[0] if types else "json")
        root = Reshaper(drawer, reader).reshape(root, views.root)
        if self._shared.has_read_only:
            root = ReadOnlyRestorer(drawer, reader).restore(root, views.root, stored)
        return self._submission(root)

    def apply(self, submission: Submission, action: str) -> Submission:
        """Returns the submission after a button with the value `action` was pressed. An action that names no field changes nothing.

        `add NAME`, `remove NAME ROW`, `up NAME ROW` and `down NAME ROW` change the rows of a list or a map. `json NAME` and `form NAME`
        switch between a field's controls and its JSON. `update NAME` draws what a change of type, branch or state brings along.
        """
        what, _, rest = action.partition(" ")
        name, _, row = rest.partition(" ")
        drawer = self._drawer()
        root = self._arranged(submission, drawer)
        field = next((field for field in root.walk() if field.name == name), None)
        if field is not None:
            self._press(what, field, small_number(row), drawer)
        return self._submission(root)

    def _press(self, what: str, field: Field, row_id: int, drawer: Drawer) -> None:
        is_json = field.control is JSON_ON_REQUEST
        match what:
            case "add" if field.control.is_group:
                add_entry(field, drawer)
            case "remove":
                remove_row(field, row_id)
            case "up" | "down":
                move_row(field, row_id, -1 if what == "up" else 1)
            case "json" if not is_json:
                edit_as_json(field, self._reader().value(field))
            case "form" if is_json:
                reader = self._reader()
                value = reader.value(field)
                if not reader.errors:  # JSON that is wrong stays, with its message
                    edit_as_form(field, value, drawer)

    def _drawer(self) -> Drawer:
        return Drawer(self._shared.views, self._hints, self._reader())

    def _reader(self) -> Reader:
        return Reader(self._words)

    def _arranged(self, submission: Submission, drawer: Drawer) -> Field:
        """Returns the fields of a submission, ready for the page."""
        return Arranger(drawer, self._reader()).arrange(submission.root, self._shared.views.root, fresh=True)

    def _submission(self, root: Field) -> Submission:
        reader = self._reader()
        value = reader.value(root)
        unread = {error.pointer for error in reader.errors}
        unseen = {field.pointer for field in root.walk() if field.state in {"kept", NAMED}}  # secrets that the form does not hold
        errors = self._errors(value, root) if value is not ABSENT else [] if unread else [FieldError("", self._words("nothing"))]
        return Submission(value, (*reader.errors, *(error for error in errors if error.pointer not in unread | unseen)), root)

    def _errors(self, value: Any, root: Field) -> list[FieldError]:
        """Returns what is wrong with a value: its dynamic values first, then the schema's errors, then those of `also`.

        A place with an error of one stage shows none of a later stage. A value that is only known at the run is not checked.
        """
        picked = {(field.pointer, key): index for field in root.walk() for key, index in field.picked.items()}

        def chosen(pointer: str, branches: Any) -> int | None:
            return picked.get((pointer, self._shared.views.union_key(branches) or ""))

        ahead = self._resolve(value)
        dynamic = {error.pointer for error in ahead.errors}
        errors = [*ahead.errors, *self._shared.validator.errors(ahead.value, locale=self._locale, chosen=chosen)]
        errors = [error for error in errors if error.pointer not in ahead.open and (error in ahead.errors or error.pointer not in dynamic)]
        wrong = dynamic | {error.pointer for error in errors}
        return [*errors, *(error for error in self._also(value) if error.pointer not in wrong)]


def action_in(pairs: Iterable[tuple[str, str]], *, name_prefix: str = PREFIX) -> str | None:
    """Returns the value of the pressed button of this form; None if no button of it was pressed."""
    return next((value for name, value in pairs if name == f"{name_prefix}.action"), None)
