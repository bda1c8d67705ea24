"""`jobwright serve`, `web` and `scheduler`: the long-running processes."""

from __future__ import annotations

import click


@click.command()
def serve() -> None:
    """Run the web server, scheduler and executor together.

    They run in one process, which suits an installation on one machine.
    """
    _run(web=True, engine=True)


@click.command()
def web() -> None:
    """Run only the web server.

    Any number of web servers can share one database.
    """
    _run(web=True, engine=False)


@click.command()
def scheduler() -> None:
    """Run only the scheduler and the executor.

    Any number of schedulers can share one database.
    """
    _run(web=False, engine=True)


def _run(*, web: bool, engine: bool) -> None:
    from app.process import run_service  # noqa: PLC0415 - `--help` does without it

    run_service(web=web, engine=engine)
