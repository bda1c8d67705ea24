"""The help of the command line: complete sentences, the same commands and options as the reference page, and a short way to it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from app.cli import cli

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs/reference/cli.md").read_text()
# Two commands with the same name as a group are told apart by the words before: "user create", "token create".
COMMANDS: dict[str, click.Command] = {
    f"{name} {inner}".strip(): command
    for name, outer in cli.commands.items()
    for inner, command in (outer.commands.items() if isinstance(outer, click.Group) else [("", outer)])
}
SENTENCES = re.compile(r"[A-Z].*[.]", re.DOTALL)
# What a command needs only when it runs. Each would make `--help` slower by a tenth of a second or more.
HEAVY = ("app.factory", "app.services", "app.exchange", "app.jobtemplates", "flask", "apscheduler", "httpx", "structlog")


@pytest.mark.parametrize("words", COMMANDS)
def test_the_reference_has_a_row_with_every_option(words: str) -> None:
    row = next((line for line in REFERENCE.splitlines() if re.match(rf"\| `jobwright {words}[ `]", line)), "")
    options = [option for parameter in COMMANDS[words].params for option in (*parameter.opts, *parameter.secondary_opts)]
    assert [option for option in options if option.startswith("--") and option not in row] == []
    assert row


def test_the_reference_names_no_other_command() -> None:
    named = re.findall(r"^\| `jobwright ([a-z ]+)", REFERENCE, re.MULTILINE)
    assert sorted(name.strip() for name in named) == sorted(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_text_is_made_of_sentences(words: str) -> None:
    command = COMMANDS[words]
    assert SENTENCES.fullmatch((command.help or "").strip())
    texts = [parameter.help for parameter in command.params if isinstance(parameter, click.Option) and parameter.help]
    assert [text for text in texts if not SENTENCES.fullmatch(text)] == []


def test_the_help_imports_nothing_that_only_a_command_needs() -> None:
    script = f"import sys, app.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
