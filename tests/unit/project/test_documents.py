"""The documents: every setting, permission, status and template stands in them, and their links lead to files."""

from __future__ import annotations

import re
from pathlib import Path

from app.accounts.permissions import RULES, May
from app.config import Settings
from app.jobtemplates.catalogue import Catalogue
from tests.unit.project.sources import ROOT, sources


def test_every_setting_stands_in_the_docs_with_its_default() -> None:
    from dataclasses import fields

    papers = (ROOT / "docs/reference/settings.md").read_text()
    for item in fields(Settings):
        line = next((line for line in papers.splitlines() if f"`{item.metadata['name']}`" in line), "")
        assert line, item.metadata["name"]
        default = item.default
        assert f"`{default}`" in line or default in ("", ()), f"{item.metadata['name']}: the docs give another default than {default}"
    named = set(re.findall(r"^\| `([A-Z_]+)`", papers, re.M))
    assert named == {item.metadata["name"] for item in fields(Settings)}


def test_every_permission_stands_in_the_docs_with_its_role_and_scope() -> None:
    papers = (ROOT / "docs/reference/permissions.md").read_text()
    assert set(RULES) == set(May)
    for may, rule in RULES.items():
        scope = rule.scope.value if rule.scope else "–" if rule.by_token else "no token"
        assert f"| `{may.value}` | {rule.words} | {rule.role.value} | {scope} |" in papers
    assert set(re.findall(r"^\| `([a-z.]+)`", papers, re.M)) == {may.value for may in May}


def test_every_status_and_parameter_stands_in_the_docs() -> None:
    from app.queue.model import Reason, Status

    lifecycle = (ROOT / "docs/explanation/lifecycle.md").read_text()
    assert [one.value for one in (*Status, *Reason) if f"`{one.value}`" not in lifecycle] == []
    for entry in Catalogue.discover():
        readme = ROOT / "templates_lib" / entry.template.type / "README.md"
        if entry.template.category != "Tests":
            words = readme.read_text()
            assert [name for name in entry.template.parameters_schema["properties"] if f"`{name}`" not in words] == []


_LINK = re.compile(r"\]\(([^)#\s]+)")


def test_decisions_are_numbered_once_and_without_gaps() -> None:
    papers = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(paper.name[:4]) for paper in papers] == list(range(1, len(papers) + 1))
    for paper in papers:
        heading = re.match(r"# (?:(\d+)\. )?\w", paper.read_text())
        assert heading is not None, paper.name
        assert heading[1] in {None, str(int(paper.name[:4]))}, paper.name


def test_links_between_documents_lead_to_files() -> None:
    for paper in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in _LINK.findall(paper.read_text()):
            in_english = Path(str(paper.parent).replace("/docs/de/", "/docs/"))  # for what is not translated
            known = any((folder / target).exists() for folder in (paper.parent, in_english))
            assert known or target.startswith(("http", "mailto:", "/")), f"{paper}: {target}"


def test_paths_of_documents_in_the_code_lead_to_files() -> None:
    for source in sources("app", "web", "templates_lib", "migrations_scripts"):
        for target in re.findall(r"docs/[\w./-]+\.md", source.read_text()):
            assert (ROOT / target).exists(), f"{source}: {target}"


def test_paths_of_tests_in_documents_lead_to_files() -> None:
    for paper in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]:
        for target in re.findall(r"(?<![\w/])tests/[\w/]+\.py", paper.read_text()):
            assert (ROOT / target).exists(), f"{paper}: {target}"
