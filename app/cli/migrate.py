"""`jobwright migrate`."""

from __future__ import annotations

import click

from app.cli.output import echo
from app.cli.session import names_database, open_registry


@click.command()
@click.option("--down-to", metavar="ID", help="Revert each migration after the one with this id; `zero` reverts all.")
@click.option("--check", is_flag=True, help="Apply nothing; print the pending migrations. The exit code is 1 if there are any.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for another process that migrates. Default: 600 s, and 0 s with --check.",
)
def migrate(down_to: str | None, check: bool, wait: float | None) -> None:
    """Apply the pending database migrations, or revert some.

    Prints the migrations that were applied or reverted. The service applies pending migrations itself when it starts, unless
    JOBWRIGHT_MIGRATE is `never`. Several processes can migrate at the same time: one does the work, the others wait.
    """
    from app.clock import SystemClock  # noqa: PLC0415 - `--help` does without it
    from app.migrations import Migrator  # noqa: PLC0415 - the same

    if check and down_to:
        raise click.UsageError("Use either --check or --down-to.")
    # A check creates nothing. A database of MONGODB_URI that is still empty has pending migrations; a private one is not started for that.
    with open_registry(existing=check and not names_database()) as (store, _):
        migrator = Migrator(store.database, SystemClock())
        if check:
            names = migrator.wait_until_applied(wait or 0)
            echo("\n".join(names) if names else "There is nothing to migrate.")
            raise SystemExit(1 if names else 0)
        names = migrator.downgrade(down_to, wait_seconds=wait) if down_to else migrator.upgrade(wait_seconds=wait)
        echo("\n".join(names) if names else "There is nothing to migrate.")
