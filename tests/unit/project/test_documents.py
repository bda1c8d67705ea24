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
        default = ",".join(item.default) if isinstance(item.default, tuple) else item.default  # as a variable has it
        assert f"`{default}`" in line or default == "", f"{item.metadata['name']}: the docs give another default than {default}"
    named = set(re.findall(r"^\| `([A-Z_<>]+)`", papers, re.M))
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


def test_decisions_have_one_form() -> None:
    """`# N. Title`, and the same three sections, none of them empty."""
    for paper in sorted((ROOT / "docs/decisions").glob("*.md")):
        head, *sections = re.split(r"^## (.+)\n", paper.read_text(), flags=re.MULTILINE)
        assert re.fullmatch(rf"# {int(paper.name[:4])}\. [^\n]+\n\n", head), paper.name
        assert sections[::2] == ["Context", "Decision", "Consequences"], paper.name
        assert all(text.strip() for text in sections[1::2]), paper.name


def test_the_index_names_every_page_with_its_title() -> None:
    index = (ROOT / "docs/README.md").read_text()
    listed = {target: title for title, target in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", index)}
    pages = {path.relative_to(ROOT / "docs").as_posix(): path for path in (ROOT / "docs").rglob("*.md")}
    assert set(listed) == set(pages) - {"README.md"}
    decisions = [target for target in listed if target.startswith("decisions/")]
    assert decisions == sorted(decisions)
    for target, title in listed.items():
        assert target.startswith("de/") or pages[target].read_text().startswith(f"# {title}\n"), target


def test_every_status_reason_and_cause_stands_in_the_glossary() -> None:
    from app.queue.model import Reason, Status, Trigger

    glossary = (ROOT / "docs/explanation/glossary.md").read_text()
    assert [one.value for one in (*Status, *Reason, *Trigger) if f"\n| `{one.value}` |" not in glossary] == []


def test_the_words_of_the_glossary_are_sorted() -> None:
    glossary = (ROOT / "docs/explanation/glossary.md").read_text()
    words = re.findall(r"^\| ([^|`]+?) ", glossary.partition("## Words")[2].partition("## Status")[0], re.MULTILINE)
    words = [word for word in words if word not in {"word", "---"}]
    assert words == sorted(words, key=str.lower)


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
