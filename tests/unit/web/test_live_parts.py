"""Parts of pages that follow what is typed (htmx attributes in the page templates)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import web

PAGES = sorted((Path(web.__file__).parent / "templates").rglob("*.html"))
# Jinja blocks inside a tag are dropped first, as they may contain a `>`.
JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
TAG = re.compile(r"<\w[^<>]*\bhx-trigger=[^<>]*>")


def lost_changes(text: str) -> list[str]:
    """Returns the tags that ask at changes of other elements and are replaced by the answer: a change meanwhile would be lost."""
    tags = TAG.findall(JINJA.sub("", text))
    return [tag for tag in tags if " from:" in tag and 'hx-target="this"' in tag and 'hx-swap="outerHTML' in tag]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_change_while_an_answer_is_on_its_way_is_not_lost(page: Path) -> None:
    assert lost_changes(page.read_text()) == []


def test_the_rule_finds_an_element_that_replaces_itself() -> None:
    itself = """<div id="effect" hx-post="{{ '>' }}" hx-trigger="change from:#until" hx-target="this" hx-swap="outerHTML">"""
    assert len(lost_changes(itself)) == 1
    assert lost_changes(itself.replace('"this"', '"#inner"')) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_element_aborts_its_own_request(page: Path) -> None:
    """A change waits for the answer to the change before it: the browser's console reports an aborted request as an error."""
    assert "this:replace" not in page.read_text()
