"""A form that is too large for one page opens in parts: what is not opened keeps its value and is judged all the same."""

from __future__ import annotations

from typing import Any

from app.validation.schema import LARGE
from tests.posting import Page
from web.forms import Form
from web.forms.limits import FIELDS_OF_LARGE

SECTIONS, FIELDS = 40, 50
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        f"s{section}": {
            "type": "object",
            "properties": {f"f{number}": {"type": "integer"} for number in range(FIELDS)},
            "additionalProperties": False,
        }
        for section in range(SECTIONS)
    },
    "required": [f"s{section}" for section in range(SECTIONS)],
}
VALUE = {f"s{section}": {"f0": section, "f7": 7} for section in range(SECTIONS)}


def drawn_fields(page: Page) -> int:
    return len({control["data-pointer"] for control in page.controls if control.get("data-role") == "value"})


def test_a_large_schema_opens_with_a_part_of_its_fields_and_loses_nothing() -> None:
    assert SECTIONS * FIELDS > LARGE
    form = Form(SCHEMA)
    page = Page(form.render(VALUE))
    assert 0 < drawn_fields(page) <= FIELDS_OF_LARGE
    assert page.text.count("Open this part") >= SECTIONS - FIELDS_OF_LARGE // FIELDS
    submission = form.read(page.pairs())
    assert (submission.value, submission.errors) == (VALUE, ())


def test_a_part_is_drawn_when_it_is_opened_and_its_changes_are_kept() -> None:
    form = Form(SCHEMA)
    page = Page(form.render(VALUE))
    button = page.all("/s39", "update")[0]
    assert button.text == "Open this part"
    pairs, action = page.press(button)
    page = Page(form.render(submission=form.apply(form.read(pairs), action)))
    assert page.editor("/s39/f7").value == "7"
    page.editor("/s39/f8").value = "8"
    assert form.read(page.pairs()).value == {**VALUE, "s39": {"f0": 39, "f7": 7, "f8": 8}}


def test_what_is_wrong_in_a_part_that_is_not_open_is_told_there() -> None:
    form = Form(SCHEMA)
    page = Page(form.render({**VALUE, "s39": {"f0": "x"}}))
    submission = form.read(page.pairs())
    assert [(error.pointer, error.message) for error in submission.errors] == [("/s39/f0", "must be a whole number")]
    (line,) = form.present(submission=submission).summary
    assert line.href == "#f.ms39"
