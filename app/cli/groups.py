"""Groups of commands: help in sections, commands in the order of their work, examples."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

DOCUMENTATION = "All commands, exit codes and variables: docs/reference/cli.md, or the page Help of your server."


class OrderedGroup(click.Group):
    """Lists its commands in the order in which they were added; click sorts them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Returns the names of the commands."""
        return list(self.commands)


class SectionedGroup(OrderedGroup):
    """Lists its commands in sections.

    `sections` maps a heading to the names of its commands, and each name to the module and attribute that has the command. A module is
    imported when its command is asked for, or when the help needs its text.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self.sections = sections
        self._places = {name: place for commands in sections.values() for name, place in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Returns the names of the commands."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a command."""
        place = self._places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the command that the arguments name. Raises UsageError, which names commands that are spelled alike."""
        self.commands = {**dict.fromkeys(self._places, _PLACEHOLDER), **self.commands}
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections of the help."""
        longest = max(map(len, self._places))
        for heading, names in self.sections.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                if command is not None:
                    rows.append((name.ljust(longest), command.get_short_help_str(formatter.width)))
            with formatter.section(heading):
                formatter.write_dl(rows)


_PLACEHOLDER = click.Command("placeholder")  # click looks for similar names among `commands`


def examples(*lines: str) -> str:
    """Returns the end of a command's help: examples, each on a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
