"""`jobwright secrets`: the encrypted values in the database."""

from __future__ import annotations

import click

from app.cli.output import echo
from app.cli.session import cli_actor, open_services


@click.group()
def secrets() -> None:
    """Manage the encrypted values in the database."""


@secrets.command("reseal")
def reseal() -> None:
    """Encrypt every secret again, with the current key.

    Run it after JOBWRIGHT_SECRET_KEY was changed. Afterwards only the audit trail still needs JOBWRIGHT_OLD_SECRET_KEYS.
    """
    with open_services(existing=True) as (services, _):
        for collection, count in services.resealing.run(cli_actor()):
            echo(f"{collection}: {count}")
