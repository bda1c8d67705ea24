"""`jobwright demo`."""

from __future__ import annotations

import sys

import click


@click.command()
@click.option(
    "--executor",
    type=click.Choice(["local", "celery"]),
    default="local",
    show_default=True,
    help="Where the jobs run. With celery they run on two Celery workers, with a redis-server of their own.",
)
def demo(executor: str) -> None:
    """Run one job of each template on sample data.

    Starts a service for it, prints the outcome of each job and stops the service. The exit code is 1 if an outcome is not the expected one.
    """
    from app.demo.run import run_demo  # noqa: PLC0415 - `--help` does without it

    sys.exit(run_demo(celery=executor == "celery"))
