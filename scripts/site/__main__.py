"""Builds the documentation as a static site: `python -m scripts.site SPHINX-BUILD TARGET`.

1. Write the sources of each language to a folder: each page in that language if it is translated, else in English with a note.
2. Build each language with Sphinx, in which warnings are errors: English to TARGET, German to TARGET/de.

The pages, their order and their titles come from where the help of the product has them (web.contents, web.views.help).
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from web.contents import Link, Section, page_in, sections, title_of
from web.language import translated
from web.views.help import DOCS, SECTIONS

HERE = Path(__file__).parent
LANGUAGES = {"en": "", "de": "de"}  # the folder of each, below the target
INDEX = {"en": ("Jobwright", "Documentation"), "de": ("Jobwright", "Dokumentation")}
NOTE = {"de": "Diese Seite gibt es nur auf Englisch."}


def write_sources(language: str, target: Path) -> None:
    """Writes the sources of one language to a folder."""
    listed = sections(DOCS)
    names = {name for section in listed for name, _ in section.pages}
    for name in names:
        page = target / f"{name}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_page(name, names, language), "utf-8")
    (target / "index.md").write_text("\n".join(_index(listed, language)), "utf-8")
    shutil.copytree(DOCS / "pictures", target / "pictures")
    shutil.copytree(HERE / "static", target / "_static")
    shutil.copytree(HERE / "templates", target / "_templates")


def _page(name: str, names: set[str], language: str) -> str:
    text, spoken = page_in(DOCS, name, language, partial(_written, posixpath.dirname(name), names))
    if spoken == language:
        return text
    title = translated(title_of(text), language)
    return re.sub(r"^# .+$", lambda _: f"# {title}\n\n:::{{note}}\n{NOTE[language]}\n:::", text, count=1, flags=re.MULTILINE)


def _written(folder: str, names: set[str], link: Link) -> str:
    """Returns a link to another page of the site, or a picture. A link to anything else becomes plain text."""
    target, ending = posixpath.splitext(link.path)
    if link.is_picture or (ending == ".md" and target in names):
        return f"{'!' * link.is_picture}[{link.words}]({posixpath.relpath(link.path, folder or '.')}{link.anchor})"
    return link.words


def _index(listed: list[Section], language: str) -> Iterator[str]:
    """Yields the lines of the first page: the titles of all pages, by section."""
    yield f"# {' · '.join(INDEX[language])}\n"
    for section in listed:
        title = translated(SECTIONS.get(section.title, section.title), language)
        yield f"## {title}\n\n```{{toctree}}\n:maxdepth: 1\n:caption: {title}\n"
        yield from dict.fromkeys(name for name, _ in section.pages)
        yield "```\n"


def build(sphinx: str, target: Path) -> int:
    """Builds the site anew. Returns the exit code of Sphinx."""
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        for language, place in LANGUAGES.items():
            source = Path(folder) / language
            write_sources(language, source)
            strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
            options = ["-b", "html", "-c", str(HERE), "-d", f"{folder}/{language}-trees", "-D", f"language={language}"]
            words = [sphinx, *strict, *options, str(source), str(target / place)]
            code = subprocess.run(words, check=False).returncode  # noqa: S603 - the tool of `make docs`
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(build(sys.argv[1], Path(sys.argv[2])))
