"""`jobwright serve`, `web`, `scheduler` and `worker`: the long-running processes."""

from __future__ import annotations

import re

import click

from app.config import ROUTE


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


@click.command()
@click.option("--routes", default="default", show_default=True, help="Routes whose runs it takes, separated by commas.")
def worker(routes: str) -> None:
    """Run jobs that Celery announces, and nothing else.

    It needs JOBWRIGHT_EXECUTOR=celery and CELERY_BROKER_URL. Any number of workers can share one database and one broker.
    """
    names = tuple(dict.fromkeys(name.strip() for name in routes.split(",") if name.strip()))
    wrong = [name for name in names if not re.fullmatch(ROUTE, name)]
    if wrong or not names:
        raise click.BadParameter("must be names of small letters, digits, '_' and '-', separated by commas", param_hint="--routes")
    _run(web=False, engine=True, routes=names)


def _run(*, web: bool, engine: bool, routes: tuple[str, ...] = ()) -> None:
    from app.process import run_service  # noqa: PLC0415 - `--help` does without it

    run_service(web=web, engine=engine, routes=routes)
