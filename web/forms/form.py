"""The form of one schema: draw it, read it, change its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markdown_it import MarkdownIt
from markupsafe import Markup

from app.errors import FieldError
from app.validation import SchemaValidator
from web.forms.filled import ABSENT, KEPT, MOST_ROWS, Filled, from_posted, from_value, small_number, value_of
from web.forms.nodes import ArrayNode, ObjectNode, compile_schema

# What a provider answers for one `x-options`: the values to choose from.
Options = Callable[[Mapping[str, Any]], Sequence[str]]
PREFIX = "f"


@dataclass(frozen=True)
class Submission:
    """A posted form: `value` is what the person meant, `errors` what is wrong with it, `filled` keeps their own text."""

    value: Any
    errors: tuple[FieldError, ...]
    filled: Filled

    @property
    def valid(self) -> bool:
        return not self.errors


class Form:
    """Raises SchemaRefused for a schema that it will not take. `options` answers `x-options` hints; without it they offer nothing."""

    def __init__(self, schema: Any, *, options: Options | None = None) -> None:
        self._root = compile_schema(schema)
        self._validator = SchemaValidator(schema)
        self._options = options or (lambda source: ())

    def render(
        self,
        value: Any = ABSENT,
        *,
        errors: Iterable[FieldError] = (),
        name_prefix: str = PREFIX,
        submission: Submission | None = None,
    ) -> Markup:
        """The controls, without a <form> around them.

        A fresh form (`value` absent) shows the schema's defaults. With a `submission` the page after a wrong post: its own text and
        errors, and `errors` besides.
        """
        if submission is not None:
            filled, found = submission.filled, [*submission.errors, *errors]
        else:
            filled, found = from_value(self._root, name_prefix, "", value, fresh=value is ABSENT), list(errors)
        by_pointer: dict[str, list[str]] = {}
        for error in found:
            texts = by_pointer.setdefault(_nearest(filled, error.pointer), [])
            if error.message not in texts:
                texts.append(error.message)
        template = _environment.get_template("form.html")
        return Markup(template.render(root=filled, errors=by_pointer, options=self._options, prefix=name_prefix))  # noqa: S704 - autoescaped

    def read(self, pairs: Iterable[tuple[str, str]], *, name_prefix: str = PREFIX) -> Submission:
        """The submission in (name, value) pairs, exactly as a browser posts them; names of other forms are passed over."""
        posted: dict[str, list[str]] = {}
        for name, value in pairs:
            posted.setdefault(name, []).append(value)
        return self._submission(from_posted(self._root, name_prefix, "", posted))

    def apply(self, submission: Submission, action: str) -> Submission:
        """The submission after a button: `add NAME`, `remove NAME ROW`, `up NAME ROW` or `down NAME ROW`; unknown ones change nothing."""
        what, _, rest = action.partition(" ")
        name, _, row_text = rest.partition(" ")
        target = next((one for one in submission.filled.walk() if one.name == name and isinstance(one.node, ArrayNode)), None)
        if target is not None:
            _change_rows(target, what, small_number(row_text))
        return self._submission(submission.filled)

    def _submission(self, filled: Filled) -> Submission:
        errors: list[FieldError] = []
        value = value_of(filled, errors)
        broken = {error.pointer for error in errors}
        kept = {one.pointer for one in filled.walk() if one.state == "kept" and not one.raw}
        judged = [] if value is ABSENT else self._validator.errors(value)
        errors += [error for error in judged if error.pointer not in broken | kept]
        return Submission(value, tuple(errors), filled)


def action_in(pairs: Iterable[tuple[str, str]], *, name_prefix: str = PREFIX) -> str | None:
    """The button of this form that was pressed, if one was."""
    return next((value for name, value in pairs if name == f"{name_prefix}.action"), None)


def _change_rows(target: Filled, what: str, row: int) -> None:
    rows, node = target.rows, target.node
    index = next((place for place, (number, _) in enumerate(rows) if number == row), -1)
    if what == "add" and isinstance(node, ArrayNode) and len(rows) < MOST_ROWS:
        number = max((one for one, _ in rows), default=-1) + 1
        rows.append((number, from_value(node.item, f"{target.name}.r{number}", "", ABSENT, fresh=True)))
        target.state = "value"
    elif what == "remove" and index >= 0:
        del rows[index]
        target.state = "value" if rows else "absent"
    elif what in {"up", "down"} and index >= 0:
        other = index + (-1 if what == "up" else 1)
        if 0 <= other < len(rows):
            rows[index], rows[other] = rows[other], rows[index]
    for place, (_, inner) in enumerate(rows):
        _repoint(inner, f"{target.pointer}/{place}")


def _repoint(filled: Filled, pointer: str) -> None:
    """New pointers for a row that has moved, and for all below it."""
    old = filled.pointer
    for inner in filled.walk():
        inner.pointer = pointer + inner.pointer[len(old) :]


def _nearest(filled: Filled, pointer: str) -> str:
    """The pointer of the control that shows an error: its own, or of the nearest one around it."""
    shown = {one.pointer for one in filled.walk()}
    while pointer and pointer not in shown:
        pointer = pointer.rpartition("/")[0]
    return pointer


def _bounds(schema: Mapping[str, Any]) -> str:
    """What a number or text must keep to, in short, for the help line: "1 to 10,000"."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    if low is not None:
        return f"at least {low:,}"
    return f"at most {high:,}" if high is not None else ""


_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).disable(["image", "heading", "lheading", "html_block"])


def _inline_markdown(text: str) -> Markup:
    return Markup(_markdown.renderInline(text))  # noqa: S704 - markdown-it escapes, with HTML switched off


_environment = Environment(
    loader=PackageLoader("web.forms"), autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
)
_environment.filters.update(markdown=_inline_markdown, bounds=_bounds)
_environment.tests.update(group=lambda one: isinstance(one.node, ObjectNode), rows=lambda one: isinstance(one.node, ArrayNode))
_environment.globals["kind_of"] = lambda one: type(one.node).__name__

__all__ = ["ABSENT", "KEPT", "PREFIX", "Form", "Submission", "action_in"]
