"""`jobwright migrate`."""

from __future__ import annotations

import click

from app.cli.output import echo
from app.cli.session import open_registry


@click.command()
@click.option("--down-to", help="Revert each migration after the one with this id; `zero` reverts all.")
def migrate(down_to: str | None) -> None:
    """Apply the pending database migrations, or revert some.

    Prints the migrations that were applied or reverted. The service applies pending migrations itself when it starts.
    """
    from app.clock import SystemClock  # noqa: PLC0415 - `--help` does without it
    from app.migrations import Migrator  # noqa: PLC0415 - the same

    with open_registry() as (store, _):
        migrator = Migrator(store.database, SystemClock())
        names = migrator.downgrade(down_to) if down_to else migrator.upgrade()
        echo("\n".join(names) if names else "There is nothing to migrate.")
