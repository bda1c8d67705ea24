"""`jobwright sample`: sample data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from app.cli.output import echo
from app.cli.session import cli_actor, open_services

if TYPE_CHECKING:
    from app.samples.service import Samples


@click.group()
def sample() -> None:
    """Create or remove sample data.

    Sample data is a shop database, jobs that work on it, and a week of their history. All of it is marked as sample data.
    """


@sample.command("create")
def create() -> None:
    """Create the sample data, or what is missing of it."""
    with _samples() as samples:
        standing = samples.create(cli_actor())
        for job in standing.jobs:
            echo(job.definition.name)


@sample.command("remove")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def remove(yes: bool) -> None:
    """Remove the sample data, and the jobs that use it."""
    with _samples() as samples:
        standing = samples.standing(cli_actor())
        if standing.sample is None:
            echo("There is no sample data.")
            return
        for job in (*standing.jobs, *standing.users):
            echo(job.definition.name)
        if not yes:
            click.confirm("Remove the sample data and these jobs?", abort=True, err=True)
        samples.remove(cli_actor())


@contextmanager
def _samples() -> Iterator[Samples]:
    with open_services(existing=True) as (services, _):
        try:
            yield services.samples
        finally:
            services.samples.close()
