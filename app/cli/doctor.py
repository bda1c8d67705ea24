"""`jobwright doctor`."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from app.cli.failures import ExitCode
from app.cli.output import echo, json_line
from app.cli.session import open_registry
from templates_lib.messages import amount

if TYPE_CHECKING:
    from app.findings import Finding

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on each line.")
def doctor(as_json: bool) -> None:
    """Check the installation and say how to fix each problem.

    Checks the database, its indexes, clocks, disks, the key, files with secrets, templates, nodes, connections, the collector of traces,
    jobs, mail and runs. Changes nothing. The exit
    code is 1 if there is a problem.
    """
    from app.doctor import Doctor  # noqa: PLC0415 - `--help` does without it
    from app.factory import build_services  # noqa: PLC0415 - the same
    from app.findings import Level  # noqa: PLC0415 - the same

    counts: Counter[str] = Counter()
    with open_registry(existing=True) as (store, settings):
        for finding in Doctor(build_services(settings, store, make_key=False), store).examine():
            counts[finding.level.value] += 1
            if as_json:
                echo(json_line(asdict(finding)))
            else:
                _print(finding)
    problems, warnings = counts[Level.PROBLEM.value], counts[Level.WARNING.value]
    if not as_json:
        echo(f"\n{amount(problems, 'problem')}, {amount(warnings, 'warning')}.")
    sys.exit(ExitCode.FAILED if problems else ExitCode.OK)


def _print(finding: Finding) -> None:
    level = finding.level.value
    click.echo(click.style(f"{level:<10}", fg=COLOURS[level]), nl=False)
    echo(f"{finding.subject:<24}{finding.text}")
    if finding.advice:
        echo(f"{' ' * 34}{finding.advice}")
