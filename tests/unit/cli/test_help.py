"""The help of the command line: complete sentences, the same commands and options as the reference page, and a short way to it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli import cli
from app.cli.connect import SERVER_OPTIONS
from app.cli.failures import ExitCode
from app.cli.root import SECTIONS

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs/reference/cli.md").read_text()
CONTEXT = click.Context(cli)
ROOT_COMMANDS = {name: cli.get_command(CONTEXT, name) for name in cli.list_commands(CONTEXT)}
# Two commands with the same name as a group are told apart by the words before: "user create", "token create".
COMMANDS: dict[str, click.Command] = {
    f"{name} {inner}".strip(): command
    for name, outer in ROOT_COMMANDS.items()
    for inner, command in (outer.commands.items() if isinstance(outer, click.Group) else [("", outer)])
    if command is not None
}
OF_SERVER = {option for decorate in SERVER_OPTIONS for option in decorate(click.Command("x")).params[-1].opts}
SENTENCES = re.compile(r"[A-Z].*[.]", re.DOTALL)
# What a command needs only when it runs. Each would make `--help` slower by a tenth of a second or more.
HEAVY = (
    "app.factory",
    "app.services",
    "app.exchange",
    "app.jobtemplates",
    "app.validation",
    "pymongo",
    "flask",
    "apscheduler",
    "httpx",
    "structlog",
)


@pytest.mark.parametrize("words", COMMANDS)
def test_the_reference_has_a_row_with_every_option(words: str) -> None:
    row = next((line for line in REFERENCE.splitlines() if re.match(rf"\| `jobwright {words}[ `]", line)), "")
    options = [option for parameter in COMMANDS[words].params for option in (*parameter.opts, *parameter.secondary_opts)]
    assert [option for option in options if option.startswith("--") and option not in row and option not in OF_SERVER] == []
    assert row


@pytest.mark.parametrize("option", sorted(OF_SERVER))
def test_the_options_that_name_a_server_stand_once_in_the_reference(option: str) -> None:
    assert len(re.findall(rf"^\| `{option}[ `]", REFERENCE, re.MULTILINE)) == 1


def test_the_exit_codes_stand_in_the_reference() -> None:
    stated = re.findall(r"^\| ([0-9]+) \| ", REFERENCE, re.MULTILINE)
    assert stated == [str(code.value) for code in ExitCode]


def test_every_command_stands_in_a_section_of_the_help() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    for heading, names in SECTIONS.items():
        assert f"{heading}:" in shown
        assert all(re.search(rf"^  {name} +[A-Z].*[.]$", shown, re.MULTILINE) for name in names)


def test_a_command_that_is_spelled_wrong_has_a_suggestion() -> None:
    assert "job" in CliRunner().invoke(cli, ["jobb"]).output


def test_the_reference_names_no_other_command() -> None:
    named = re.findall(r"^\| `jobwright ((?: ?[a-z]+(?:-[a-z]+)*)+)", REFERENCE, re.MULTILINE)
    assert sorted(name.strip() for name in named) == sorted(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_text_is_made_of_sentences(words: str) -> None:
    command = COMMANDS[words]
    assert SENTENCES.fullmatch((command.help or "").strip())
    texts = [parameter.help for parameter in command.params if isinstance(parameter, click.Option) and parameter.help]
    assert [text for text in texts if not SENTENCES.fullmatch(text)] == []


def test_the_help_imports_nothing_that_only_a_command_needs() -> None:
    script = f"import sys, click, app.cli; app.cli.cli.get_help(click.Context(app.cli.cli)); print([name for name in {HEAVY!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"
