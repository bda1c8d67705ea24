"""`jobwright demo`."""

from __future__ import annotations

import sys

import click


@click.command()
def demo() -> None:
    """Run one job of each template on sample data.

    Starts a service for it, prints the outcome of each job and stops the service. The exit code is 1 if an outcome is not the expected one.
    """
    from app.demo.run import run_demo  # noqa: PLC0415 - `--help` does without it

    sys.exit(run_demo())
