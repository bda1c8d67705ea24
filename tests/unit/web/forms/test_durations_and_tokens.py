"""Two controls that a hint asks for: a duration in seconds, and a list of short texts in one line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.posting import Page
from web.forms import Form

SPAN = {"type": "integer", "x-widget": "duration", "minimum": 60, "maximum": 86_400}
TAGS = {"type": "array", "x-widget": "tokens", "items": {"type": "string", "maxLength": 5}, "maxItems": 3}


def form_with(schema: Any, locale: str = "en") -> Form:
    return Form({"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}, locale=locale)


def typed(schema: Any, text: str, stored: Any) -> Any:
    form = form_with(schema)
    page = Page(form.render({"x": stored}))
    page.editor("/x").value = text
    return form.read(page.pairs(), stored={"x": stored})


def test_a_duration_is_shown_in_units_with_bounds_in_units() -> None:
    html = str(form_with(SPAN).render({"x": 9_000}))
    assert 'value="2 h 30 min"' in html
    assert "1 min to 1 day" in html
    assert "1 min bis 1 Tag" in str(form_with(SPAN, "de").render({"x": 9_000}))


@pytest.mark.parametrize(("text", "seconds"), [("1 h", 3_600), ("90", 90), ("1,5 Stunden", 5_400), (" 2h30m ", 9_000)])
def test_a_typed_duration_becomes_seconds(text: str, seconds: int) -> None:
    submission = typed(SPAN, text, 60)
    assert submission.valid
    assert submission.value == {"x": seconds}


def test_a_text_that_is_no_duration_is_told_with_an_example() -> None:
    submission = typed(SPAN, "soon", 60)
    assert [(error.pointer, error.message) for error in submission.errors] == [("/x", "must be a duration, such as 2 h 30 min")]


def test_a_number_that_is_no_duration_keeps_its_own_control() -> None:
    assert 'value="-5"' in str(form_with(SPAN).render({"x": -5}))


@pytest.mark.parametrize(
    ("text", "tags"), [("a, b", ["a", "b"]), ("a;b\t,", ["a", "b"]), (" , ", []), ("", []), ("two words, b", ["two words", "b"])]
)
def test_tokens_are_read_between_commas(text: str, tags: list[str]) -> None:
    assert typed(TAGS, text, ["old"]).value == {"x": tags}


def test_a_wrong_token_is_told_at_the_field() -> None:
    submission = typed(TAGS, "fine, far too long", [])
    html = str(form_with(TAGS).render(submission=submission))
    assert [error.pointer for error in submission.errors] == ["/x/1"]
    assert 'value="fine, far too long"' in html
    assert "field-error" in html


def test_a_text_with_a_comma_gets_rows() -> None:
    page = Page(form_with(TAGS).render({"x": ["a,b", "c"]}))
    assert page.editor("/x/0").value == "a,b"
