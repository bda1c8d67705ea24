"""`jobwright doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from app.cli.output import echo, json_line
from app.cli.session import open_registry


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on each line.")
def doctor(as_json: bool) -> None:
    """Check the installation and say how to fix each problem.

    Checks the database, its indexes, clocks, disks, the key, templates, nodes, jobs and runs. Changes nothing. The exit code is 1 if there
    is a problem.
    """
    from app.doctor import Doctor, Level  # noqa: PLC0415 - `--help` does without it
    from app.factory import build_services  # noqa: PLC0415 - the same

    problems = 0
    with open_registry(existing=True) as (store, settings):
        for finding in Doctor(build_services(settings, store, make_key=False), store).examine():
            problems += finding.level is Level.PROBLEM
            if as_json:
                echo(json_line(asdict(finding)))
            else:
                advice = f"\n{' ' * 34}{finding.advice}" if finding.advice else ""
                echo(f"{finding.level:<10}{finding.subject:<24}{finding.text}{advice}")
    sys.exit(1 if problems else 0)
