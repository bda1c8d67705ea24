"""The static site of the documentation: builds without a warning, has the pages of the help, and works without a network."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from scripts.site.__main__ import LANGUAGES, build
from tests.browser.conftest import PATIENCE_MS, inaccessible
from tests.unit.project.sources import ROOT
from web.contents import sections
from web.views.help import DOCS, topics_in

SPHINX = ROOT / ".venv/site-tools/bin/sphinx-build"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    if not SPHINX.exists():
        if os.environ.get("CI"):
            pytest.fail("no Sphinx: run make setup-tests")
        pytest.skip("no Sphinx: run make setup-tests")
    target = tmp_path_factory.mktemp("site") / "site"
    assert build(str(SPHINX), target) == 0
    return target


@pytest.fixture
def offline(chromium: Browser) -> Iterator[Page]:
    """A page in a browser without a network. A page that asks for anything but files fails the test."""
    context = chromium.new_context(offline=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_has_the_pages_and_titles_of_the_help_and_the_decisions(site: Path, language: str) -> None:
    folder = site / LANGUAGES[language]
    built = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.html")}
    built -= {name for name in built if name.startswith("de/")} if language == "en" else set()
    listed = {name for section in sections(DOCS) for name, _ in section.pages}
    assert built == listed | {"index", "search"}
    for name, topic in topics_in(language).items():
        html = (folder / f"{name}.html").read_text("utf-8")
        heading = re.search(r"<h1>(.*?)<a class=\"headerlink\"", html, re.DOTALL)
        assert heading is not None
        assert re.sub(r"<[^>]+>", "", heading[1]).replace("&amp;", "&") == topic.title
        assert f'<html class="no-js" lang="{language}"' in html


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|source|video)\b[^>]*?\bsrc=[\"'](?:https?:)?//|<link\b[^>]*?\bhref=[\"'](?:https?:)?//")
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = path.read_text("utf-8")
        assert not loads.search(text), path
        assert not re.search(r"@import|url\([\"']?(?:https?:)?//", text if path.suffix == ".css" else ""), path


@pytest.mark.parametrize(("language", "words", "page"), [("en", "restore", "how-to/back-up"), ("de", "Sperrkalender", "how-to/schedules")])
def test_search_works_without_a_network(site: Path, offline: Page, language: str, words: str, page: str) -> None:
    offline.goto((site / LANGUAGES[language] / "index.html").as_uri())
    offline.locator("input.sidebar-search").fill(words)
    offline.keyboard.press("Enter")
    offline.locator(f"#search-results a[href*='{page}.html']").first.click()
    offline.locator("article h1").wait_for()
    assert f"{page}.html" in offline.url


def test_a_page_leads_to_itself_in_the_other_language_and_has_both_colours(site: Path, offline: Page) -> None:
    offline.emulate_media(color_scheme="dark")
    offline.goto((site / "how-to/schedules.html").as_uri())
    dark = offline.evaluate("getComputedStyle(document.body).backgroundColor")
    offline.emulate_media(color_scheme="light")
    assert offline.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    offline.locator(".languages a").click()
    offline.locator("html[lang=de]").wait_for()
    assert offline.url.endswith("/de/how-to/schedules.html")
    offline.locator(".languages a").click()
    offline.locator("html[lang=en]").wait_for()
    assert offline.url.endswith("how-to/schedules.html")
    assert "/de/" not in offline.url


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", ["index", "de/guides/admin", "reference/templates/data_export"])
def test_a_page_is_accessible_and_not_wider_than_the_window(site: Path, chromium: Browser, page: str, width: int) -> None:
    with chromium.new_context(offline=True, viewport={"width": width, "height": 860}) as context:
        opened = context.new_page()
        opened.goto((site / f"{page}.html").as_uri())
        assert inaccessible(opened) == []
        assert opened.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_broken_link_stops_the_build(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "docs"
    (source / "how-to").mkdir(parents=True)
    (source / "pictures").mkdir()
    (source / "README.md").write_text("# Documentation\n\n## How-to guides: reach a goal\n\n- [One](how-to/one.md). Words.\n")
    (source / "how-to/one.md").write_text("# One\n\nSee [there](one.md#nothing).\n")
    monkeypatch.setattr("scripts.site.__main__.DOCS", source)
    assert build(str(SPHINX), tmp_path / "site") != 0
