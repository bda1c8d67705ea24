"""The help: each link to a heading leads to one, in each language to the same one."""

from __future__ import annotations

from functools import cache
from urllib.parse import unquote

import pytest
from selectolax.lexbor import LexborHTMLParser

from app.accounts.preferences import LANGUAGES
from web.contents import anchors
from web.filters.texts import markdown
from web.views.help import topics_in, with_ids


@cache
def pages(language: str) -> dict[str, LexborHTMLParser]:
    """The rendered topics by name."""
    return {name: LexborHTMLParser(str(with_ids(markdown(topic.text))[0])) for name, topic in topics_in(language).items()}


def ids(language: str, name: str) -> list[str | None]:
    """The ids of the headings of a topic, in order."""
    return [node.attributes["id"] for node in pages(language)[name].css("h1, h2, h3, h4")]


def links(language: str, name: str) -> list[tuple[str, str]]:
    """The links of a topic to a heading: the name of the topic with the heading, and the anchor."""
    targets = [unquote(node.attributes["href"] or "").partition("#") for node in pages(language)[name].css("a[href*='#']")]
    return [(path.removeprefix("/help/") or name, anchor) for path, _, anchor in targets if path.startswith("/help/") or not path]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_link_to_a_heading_leads_to_one(language: str) -> None:
    assert sum(len(links(language, name)) for name in pages(language)) > 30
    lost = [
        (name, target, anchor)
        for name in pages(language)
        for target, anchor in links(language, name)
        if anchor not in ids(language, target)
    ]
    assert lost == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_ids_are_unique_in_their_topic(language: str) -> None:
    assert [name for name in pages(language) if len(ids(language, name)) != len(set(ids(language, name)))] == []


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_a_link_leads_to_the_same_heading_in_each_language(language: str) -> None:
    def places(spoken: str, name: str) -> list[tuple[str, int]]:
        return [(target, ids(spoken, target).index(anchor)) for target, anchor in links(spoken, name)]

    for name in pages("en"):
        assert places(language, name) == places("en", name), name


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (["Queue: old"], ["queue-old"]),
        (['Runs stay in "queued"'], ["runs-stay-in-queued"]),
        (["Läufe bleiben „queued“"], ["läufe-bleiben-queued"]),
        (["Both – and"], ["both--and"]),
        (["Rules", "Rules", "Rules"], ["rules", "rules-1", "rules-2"]),
    ],
)
def test_anchors_are_those_of_the_static_site(titles: list[str], expected: list[str]) -> None:
    assert anchors(titles) == expected


def test_each_cell_of_a_table_names_its_column_for_narrow_screens() -> None:
    table = LexborHTMLParser(str(markdown("| `A_B` | *default* |\n|---|---|\n| 1 | 2 |\n| 3 |\n\n| c |\n|---|\n| 4 |\n")))
    assert [(cell.attributes["data-label"], cell.text()) for cell in table.css("td")] == [
        *[("A_B", "1"), ("default", "2"), ("A_B", "3"), ("default", "")],
        ("c", "4"),
    ]


@pytest.mark.parametrize(
    ("code", "html"),
    [
        ("JOBWRIGHT_LOG_FORMAT", "JOBWRIGHT_<wbr>LOG_<wbr>FORMAT"),
        ("sort[].direction", "sort[].<wbr>direction"),
        ("/api/jobs", "/api/<wbr>jobs"),
        ("<b>a_b</b>", "&lt;b&gt;a_<wbr>b&lt;/b&gt;"),
    ],
)
def test_long_names_break_in_tables_alone(code: str, html: str) -> None:
    assert f'<td data-label="n"><code>{html}</code></td>' in markdown(f"| n |\n|---|\n| `{code}` |\n")
    assert "<wbr>" not in markdown(f"`{code}`")
