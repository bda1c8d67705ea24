"""`jobwright migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from app.cli.output import echo, note
from app.cli.session import names_database, open_registry

if TYPE_CHECKING:
    from app.migrations import Migrator


@click.command()
@click.option("--post", is_flag=True, help="Apply also what removes or rewrites what only the version before needs. It ends an upgrade.")
@click.option("--force", is_flag=True, help="With --post: although nodes of another version are online.")
@click.option("--down-to", metavar="ID", help="Revert each migration after the one with this id; `zero` reverts all.")
@click.option("--check", is_flag=True, help="Apply nothing; print the pending migrations. The exit code is 1 if any has to run now.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for another process that migrates. Default: 600 s, and 0 s with --check.",
)
def migrate(post: bool, force: bool, down_to: str | None, check: bool, wait: float | None) -> None:
    """Apply the pending database migrations, or revert some.

    Prints the migrations that were applied or reverted. The service applies pending migrations itself when it starts, unless
    JOBWRIGHT_MIGRATE is `never`. Several processes can migrate at the same time: one does the work, the others wait.

    Some migrations are not needed to start, and would disturb processes of the version before. When none of them is left, nodes and web
    servers, run `jobwright migrate --post`. It refuses while nodes or web servers of another
    version are online.
    """
    from app.clock import SystemClock  # noqa: PLC0415 - `--help` does without it
    from app.factory import migrate as apply  # noqa: PLC0415 - the same
    from app.migrations import Migrator  # noqa: PLC0415 - the same

    if down_to and (check or post):
        raise click.UsageError("Use --down-to without --check and --post.")
    if force and (check or not post):
        raise click.UsageError("Use --force with --post.")
    # A check creates nothing. A database of MONGODB_URI that is still empty has pending migrations; a private one is not started for that.
    with open_registry(existing=check and not names_database()) as (store, _):
        migrator = Migrator(store.database, SystemClock())
        if check:
            names = migrator.wait_until_applied(wait or 0, post=post)
            _print([*names, *(f"{name} (post)" for name in migrator.pending_post() if name not in names)])
            raise SystemExit(1 if names else 0)
        if down_to:
            _print(migrator.downgrade(down_to, wait_seconds=wait))
            return
        _print(apply(store, post=post, force=force, wait_seconds=wait))
        _note_pending(migrator)


def _print(names: list[str]) -> None:
    echo("\n".join(names) if names else "There is nothing to migrate.")


def _note_pending(migrator: Migrator) -> None:
    """Says what is left for the end of the upgrade."""
    if names := migrator.pending_post():
        note(f"jobwright: {', '.join(names)} can run when no process of the version before is left: `jobwright migrate --post`.")
