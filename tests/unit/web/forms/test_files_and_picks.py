"""Texts that hold a file, and long lists of check boxes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.posting import Page
from web.forms import ABSENT, Form

BASE64 = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png", "title": "Logo"}
DATA_URL = {"type": "string", "format": "data-url"}
UPLOAD = "data:image/png;name=a%20b.png;base64,aGFsbG8="
MANY = {"type": "array", "uniqueItems": True, "items": {"enum": [f"option {number}" for number in range(60)]}}


def form_of(schema: dict[str, Any]) -> Form:
    return Form({"type": "object", "properties": {"x": schema}, "additionalProperties": False})


@pytest.mark.parametrize(("schema", "text"), [(BASE64, "aGFsbG8="), (DATA_URL, "data:image/png;base64,aGFsbG8=")])
def test_an_uploaded_file_becomes_the_text(schema: dict[str, Any], text: str) -> None:
    form = form_of(schema)
    pairs = [*Page(form.render()).pairs(), ("f.mx.upload", UPLOAD), ("f.action", "update f.mx")]
    submission = form.read(pairs)
    assert (submission.value, submission.errors) == ({"x": text}, ())
    page = Page(form.render(submission=form.apply(submission, "update f.mx")))
    assert page.editor("/x").value == text
    assert "a b.png · image/png · 5 B" in page.text
    assert form.read(page.pairs()).value == {"x": text}, "the file is posted once; from then on the text holds it"


def test_a_stored_file_can_be_downloaded_and_never_opens_in_the_browser() -> None:
    link = Page(form_of(BASE64).render({"x": "aGFsbG8="})).tree.css_first("a[download]")
    assert link.attributes["href"] == "data:application/octet-stream;base64,aGFsbG8="
    assert link.attributes["download"] == "file.png"
    evil = Page(form_of(DATA_URL).render({"x": "data:text/html;base64,PHNjcmlwdD4="})).tree.css_first("a[download]")
    assert evil.attributes["href"].startswith("data:application/octet-stream;")
    for text in ("data:text/html,<script>", "not base64!", "data:image/png;base64,a", ""):
        page = Page(form_of(DATA_URL).render({"x": text}))
        assert page.tree.css_first("a[download]") is None
        assert page.editor("/x").value == text


def test_a_file_that_was_chosen_but_not_sent_is_an_error_that_says_what_to_do() -> None:
    form = form_of(BASE64)
    submission = form.read([*Page(form.render()).pairs(), ("f.mx.upload", "logo.png")])
    assert [(error.pointer, error.message) for error in submission.errors] == [
        ("/x", "does not contain the file logo.png yet. Choose the file again and press “Use this file”")
    ]


def test_the_limit_of_a_file_follows_from_the_longest_text() -> None:
    page = Page(form_of({**BASE64, "maxLength": 400}).render())
    assert page.tree.css_first("[data-most]").attributes["data-most"] == "300"
    assert "Choose a file of at most 300 B." in page.text
    assert "Choose a file of at most 1 MB." in Page(form_of(BASE64).render()).text
    assert page.at("/x", "update")["formenctype"] == "multipart/form-data", "without JavaScript the button sends the file"


def test_a_long_list_of_values_is_a_list_of_check_boxes_with_the_chosen_ones_first() -> None:
    form = form_of(MANY)
    page = Page(form.render({"x": ["option 3", "option 50"]}))
    boxes = page.all("/x", "value")
    assert [box.value for box in boxes[:4]] == ["3", "50", "0", "1"]
    assert len(boxes) == 60
    assert [label.text() for label in page.tree.css(".chosen-chips label")] == ["option 3", "option 50"]
    assert {label.attributes["for"] for label in page.tree.css(".chosen-chips label")} <= set(page.ids), "a chip takes its box away"
    assert form.read(page.pairs()).value == {"x": ["option 3", "option 50"]}
    boxes[0].checked, boxes[4].checked = False, True
    assert form.read(page.pairs()).value == {"x": ["option 2", "option 50"]}, "and its entry comes at its place in the schema"


def test_a_short_list_of_check_boxes_has_no_search_and_an_odd_value_has_rows() -> None:
    short = Page(form_of({**MANY, "items": {"enum": list(range(24))}}).render({"x": [1]}))
    assert short.tree.css_first("[data-pick-find]") is None
    for value in (["option 3", "option 2"], ["other"], ["option 1", "option 1"]):
        form = form_of(MANY)
        assert form.read(Page(form.render({"x": value})).pairs()).value == {"x": value}
    assert form_of(MANY).read(Page(form_of(MANY).render(ABSENT)).pairs()).value == {}


def test_a_list_beyond_the_options_of_a_form_still_shows_what_is_chosen() -> None:
    schema = {
        "type": "object",
        "properties": {f"m{number}": {**MANY, "items": {"enum": list(range(1900))}} for number in range(8)},
    }
    form = Form(schema)
    value = {f"m{number}": [5, 1800] for number in range(8)}
    page = Page(form.render(value))
    assert form.read(page.pairs()).value == value
    assert len(page.all("/m7", "value")) == 21, "the first twenty and the chosen one"
