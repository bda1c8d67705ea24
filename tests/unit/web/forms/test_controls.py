"""What every control must keep. The cases come from the table of controls: a new control needs a sample here, or the first test fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.errors import FieldError
from app.validation.secret import MASK
from tests.posting import Page, Pairs
from web.forms import ABSENT, Form
from web.forms.controls.base import Control, TypedControl
from web.forms.controls.table import CONTROLS
from web.forms.field import Field


@dataclass(frozen=True)
class Sample:
    """A schema and a value that the control draws. `wrong` is a text that a person may type and that is refused."""

    schema: Any
    value: Any
    wrong: str | None = None
    required: bool = False
    button: str = ""  # pressed before the control is there


SAMPLES = {
    "string": Sample({"type": "string", "minLength": 3}, "hello", "ab"),
    "file": Sample({"type": "string", "contentEncoding": "base64", "minLength": 6}, "aGFsbG8=", "aGE="),
    "secret": Sample({"type": "string", "format": "password", "minLength": 3}, MASK, "ab"),
    "integer": Sample({"type": "integer"}, 5, "5.5"),
    "duration": Sample({"type": "integer", "x-widget": "duration"}, 9_000, "5 parsecs"),
    "tokens": Sample({"type": "array", "items": {"type": "string"}, "minItems": 2, "x-widget": "tokens"}, ["one", "two"], "one;"),
    "number": Sample({"type": "number"}, 2.5, "2,5"),
    "boolean": Sample({"type": "boolean"}, True),
    "switch": Sample({"type": "boolean"}, True, required=True),
    "choice": Sample({"enum": ["a", "b"]}, "b"),
    "checks": Sample({"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True}, ["a", "c"]),
    "null": Sample({"type": "null"}, None),
    "json": Sample({"type": "object", "x-widget": "json"}, {"a": [1, None]}, '{"a": }'),
    "source": Sample({"type": "array", "items": {"type": "integer"}}, [1, 2], "[1", button="json f.mx"),
    "object": Sample({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "x"}),
    "array": Sample({"type": "array", "items": {"type": "integer"}}, [1, 2]),
    "readonly": Sample({"type": "string", "readOnly": True}, "fixed"),
}
TYPED = [name for name, sample in SAMPLES.items() if sample.wrong is not None]
every_control = pytest.mark.parametrize("name", sorted(CONTROLS))


def form_of(sample: Sample, **more: Any) -> Form:
    """The form of an object whose only member `x` is the sample."""
    schema = {**sample.schema, **more} if more else sample.schema
    required = ["x"] if sample.required else []
    return Form({"type": "object", "properties": {"x": schema}, "required": required, "additionalProperties": False})


def page_of(form: Form, sample: Sample, value: Any = ABSENT, **more: Any) -> Page:
    """The form of a value of `x`; of the sample's value if there is none."""
    stored = {"x": sample.value} if value is ABSENT else value
    if not sample.button:
        return Page(form.render(stored, **more))
    submission = form.read(Page(form.render(stored)).pairs(), stored=stored)
    return Page(form.render(submission=form.apply(submission, sample.button), **more))


def field_of(form: Form, pairs: Pairs, stored: Any = ABSENT) -> Field:
    return form.read(pairs, stored=stored).root.members["x"]


def node(page: Page, name: str) -> Any:
    return next(each for each in page.tree.css("[id]") if each.attributes["id"] == name)


def all_controls(base: type[Control] = Control) -> Iterator[type[Control]]:
    for control in base.__subclasses__():
        yield control
        yield from all_controls(control)


def test_the_table_has_every_control_and_each_has_a_sample() -> None:
    assert set(all_controls()) - {TypedControl} == {type(control) for control in CONTROLS.values()}
    assert {name: control.name for name, control in CONTROLS.items()} == {name: name for name in SAMPLES}


@every_control
def test_a_drawn_value_is_posted_and_read_back_unchanged(name: str) -> None:
    sample = SAMPLES[name]
    form, stored = form_of(sample), {"x": sample.value}
    pairs = page_of(form, sample).pairs()
    assert field_of(form, pairs, stored).control is CONTROLS[name]
    submission = form.read(pairs, stored=stored)
    assert (submission.value, submission.errors) == (stored, ())
    again = Page(form.render(submission=submission))
    assert form.read(again.pairs(), stored=stored).value == stored


@every_control
def test_a_place_without_a_value_posts_no_value(name: str) -> None:
    form = form_of(SAMPLES[name])
    assert form.read(Page(form.render({})).pairs(), stored={}).value == {}


@every_control
def test_a_control_that_the_browser_does_not_post_has_no_value(name: str) -> None:
    """A browser posts no disabled control. A read-only place keeps what is stored, whatever is posted."""
    sample = SAMPLES[name]
    form, stored = form_of(sample), {"x": sample.value}
    pairs = [(posted, text) for posted, text in page_of(form, sample).pairs() if not posted.startswith("f.mx")]
    assert form.read(pairs, stored=stored).value == (stored if name == "readonly" else {})


@every_control
def test_any_posted_text_can_be_drawn_again(name: str) -> None:
    sample = SAMPLES[name]
    form, stored = form_of(sample), {"x": sample.value}
    pairs = page_of(form, sample).pairs()
    for text in ("", "x", "k", "n", "999", "[", "true"):
        submission = form.read([*pairs, ("f.mx", text)], stored=stored)
        again = form.read(Page(form.render(submission=submission)).pairs(), stored=stored)
        assert again.value == (stored if name == "secret" else submission.value), "a page never holds a secret"


@every_control
def test_an_error_is_shown_at_its_control(name: str) -> None:
    sample = SAMPLES[name]
    form = form_of(sample)
    page = page_of(form, sample, errors=[FieldError("/x", "is wrong here")])
    control = node(page, "f.mx")
    assert "f.mx-messages" in (control.attributes["aria-describedby"] or "").split()
    assert control.attributes["aria-invalid"] == "true"
    assert "is wrong here" in node(page, "f.mx-messages").text()
    assert page.text.count("is wrong here") == 1


@every_control
def test_a_missing_value_is_an_error_at_the_control(name: str) -> None:
    form = Form({"type": "object", "properties": {"x": SAMPLES[name].schema}, "required": ["x"]})
    submission = form.read([], stored={})
    assert "/x" in {error.pointer for error in submission.errors} or submission.value is ABSENT
    posted = form.read([("f.d", "object v")], stored={})
    assert [(error.pointer, error.message) for error in posted.errors] == [("/x", "is required")]
    assert "f.mx-messages" in Page(form.render(submission=posted)).described


@pytest.mark.parametrize("name", TYPED)
def test_a_wrong_text_is_explained_and_stays(name: str) -> None:
    sample = SAMPLES[name]
    form = form_of(sample)
    page = page_of(form, sample)
    page.editor("/x").value = sample.wrong or ""
    submission = form.read(page.pairs(), stored={"x": sample.value})
    assert [error.pointer for error in submission.errors] == ["/x"]
    again = Page(form.render(submission=submission))
    shown = again.editor("/x")
    assert shown["aria-invalid"] == "true"
    assert submission.errors[0].message in again.text
    assert shown.value == ("" if name == "secret" else sample.wrong), "a page never holds a secret"
    assert ("again" in again.text) == (name == "secret")


@every_control
def test_a_read_only_place_keeps_what_is_stored(name: str) -> None:
    sample = SAMPLES[name]
    form, stored = form_of(sample, readOnly=True), {"x": sample.value}
    page = Page(form.render(stored))
    shown = [each for each in page.all("/x", "value", "json", "state", "type") if each.get("type") != "hidden"]
    assert shown == [], "nothing can be edited"
    forged = [("f.d", "object v"), ("f.mx.d", f"{name} v"), ("f.mx", "another")]
    for pairs in (page.pairs(), forged):
        submission = form.read(pairs, stored=stored)
        assert submission.value == stored
        assert submission.root.members["x"].control is CONTROLS["readonly"]
