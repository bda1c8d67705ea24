"""Arguments and options that several commands of `jobwright import` have: plans, sources, and the address of a store."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from app.imports.entries import Reading
    from app.imports.plan import Plan
    from app.imports.sources import Source, SourceOptions

LARGEST_ADDRESS = 10_000
PLAN = click.argument("plan_file", metavar="PLAN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
ONLY = click.option("--only", multiple=True, metavar="ENTRY", help="Only these entries.")
ADDRESS = click.option(
    "--address-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the address of a store and its password. The variable JOBWRIGHT_IMPORT_ADDRESS holds the same.",
)
_OPTIONS = (
    click.argument("source"),
    click.option("--zone", "timezone", default="", metavar="ZONE", help="The time zone of the machine that the source comes from."),
    click.option("--machine", default="", metavar="NAME", help="The name of that machine. Default: the name of this machine."),
    click.option("--layout", default="", metavar="LAYOUT", help="Of a crontab: user, system (with a column for the user) or scripts."),
    click.option("--home", default="", metavar="FOLDER", help="The home folder of the user whose crontab it is."),
    click.option("--schedule", default="", metavar="TIMES", help="When a folder of scripts runs, such as '25 6 * * *'."),
    click.option("--option", "own", multiple=True, metavar="NAME=VALUE", help="Another option of the source, such as collection=jobs."),
    ADDRESS,
)
_DEDICATED = ("layout", "home", "schedule")


def of_source(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a command: adds the argument SOURCE and the options of sources."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def source_of(text: str, values: Mapping[str, Any], *, calls: str = "") -> tuple[Source, str, SourceOptions]:
    """Returns the source of `TYPE:PLACE`, its place, and its options. Raises SourceError, UsageError."""
    from app.imports.sources import SourceOptions, split_place  # noqa: PLC0415 - `--help` does without it

    kind, place = split_place(text)
    own = {name: values[name] for name in _DEDICATED if values[name]} | _named(values["own"])
    options = SourceOptions(
        machine=values["machine"] or socket.gethostname(),
        timezone=values["timezone"],
        own=own,
        calls=calls,
        address=address(values["address_file"]),
    )
    kind.check(options)
    return kind, place, options


def read_plan_file(path: Path) -> tuple[Plan, Source]:
    """Returns a plan and its source. Raises PlanError."""
    from app.imports.plan import PlanError, read_plan  # noqa: PLC0415 - `--help` does without it
    from app.imports.sources import SOURCES  # noqa: PLC0415 - the same

    planned = read_plan(path.read_text(encoding="utf-8", errors="replace"))
    source = SOURCES.get(planned["source"]["type"])
    if source is None:
        raise PlanError(f"The plan is of a source that this release does not know: {planned['source']['type']}.")
    return planned, source


def read_source(planned: Plan, source: Source, address_file: Path | None) -> Reading:
    """Returns what the source of a plan has now. Raises SourceError, PlanError."""
    from app.imports.plan import read_again  # noqa: PLC0415 - `--help` does without it

    return read_again(planned, source, address(address_file))


def address(file: Path | None) -> str:
    """Returns the address of a store from a file, else from JOBWRIGHT_IMPORT_ADDRESS; "" if there is neither. Raises UsageError."""
    if file is None:
        return os.environ.get("JOBWRIGHT_IMPORT_ADDRESS", "").strip()
    lines = file.read_text(encoding="utf-8", errors="replace")[:LARGEST_ADDRESS].split()
    if len(lines) != 1:
        raise click.UsageError(f"{file} must contain one line: the address of the store.")
    return lines[0]


def _named(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--option {text} is not NAME=VALUE.")
        found[name] = value
    return found
