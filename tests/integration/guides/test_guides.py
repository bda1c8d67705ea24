"""The four guides and the hour of a new admin: each block of code is run, is a file that a command uses, or says why it is not run.

Blocks of `sh` of a guide are one script, which must not fail. The words after the language of any other block are the name of its file:
```yaml jobs.yaml is written to that file at its place in the script. A block that says "not run: " and a reason is only read.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.integration.guides.machine import Machine
from tests.unit.project.sources import ROOT

PAGES = ("guides/admin", "guides/developer", "guides/operations", "guides/migration", "tutorial/first-hour")
UNRUN = "not run: "
LEAST_REASON = 20  # characters


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the words after it, and the code without its indent."""

    language: str
    words: str
    code: str


def blocks(page: str, language: str = "en") -> Iterator[Block]:
    """Yields the blocks of a page."""
    path = ROOT / "docs" / ("" if language == "en" else language) / f"{page}.md"
    for indent, first, words, code in re.findall(r"^( *)```(\S*)(?: ([^\n]+))?\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL):
        yield Block(first, words, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    for block in blocks(page):
        if block.words.startswith(UNRUN):
            assert len(block.words) >= len(UNRUN) + LEAST_REASON, f"{block.words!r} gives no reason"
        else:
            assert (block.language == "sh") == (block.words == ""), f"a block of {block.language} is neither run nor a file: {block.code}"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_valid_in_its_language(page: str) -> None:
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.code)
        elif block.language == "json":
            json.loads(block.code)
        elif block.language == "yaml":
            assert yaml.safe_load(block.code)
        elif block.language == "toml":
            assert tomllib.loads(block.code)
        else:
            assert block.language in {"sh", "markdown", "text"}, block.language


@pytest.mark.parametrize("page", PAGES)
def test_its_commands_work_one_after_the_other(machine: Machine, page: str) -> None:
    steps = [block for block in blocks(page) if not block.words.startswith(UNRUN)]
    commands = "".join(block.code for block in steps if block.language == "sh")
    if not commands:
        pytest.skip("the page has no commands")
    folder = machine.home / page.replace("/", "-")
    (folder / ".blocks").mkdir(parents=True)
    script = f"trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\ncd {folder}\n"  # a guide that fails leaves no process behind
    for number, block in enumerate(steps):
        if block.language == "sh":
            script += block.code
        else:
            assert block.words.partition("/")[0] in commands, f"no command uses {block.words}"
            (folder / f".blocks/{number}").write_text(block.code)
            script += f"mkdir -p {Path(block.words).parent}\ncp .blocks/{number} {block.words}\n"
    done = machine.run(script)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("page", PAGES)
def test_its_pictures_exist(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    pictures = re.findall(r"!\[([^\]]*)\]\(\.\./pictures/([^)]+)\)", text)
    assert [name for words, name in pictures if not words or not (ROOT / "docs/pictures" / name).exists()] == []
    if page.startswith("guides/") and page != "guides/migration":
        assert pictures, "a guide shows the product"
