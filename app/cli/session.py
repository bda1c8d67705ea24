"""What a command that works on the registry opens first: the database, and the services on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.cli.output import note

if TYPE_CHECKING:
    from app.audit.model import Actor
    from app.config import Settings
    from app.factory import Store
    from app.services import Services


def cli_actor() -> Actor:
    """Returns who a command on the machine of the registry acts as: it may do everything."""
    from app.accounts.model import Role  # noqa: PLC0415 - `--help` does without it
    from app.audit.model import Actor  # noqa: PLC0415 - the same

    return Actor(id="cli", email="command line", role=Role.SUPER_ADMIN.value, via="cli")


def names_database() -> bool:
    """Returns whether the settings name a MongoDB, so that no private one is used."""
    from app.config import load_settings  # noqa: PLC0415 - `--help` does without it

    return bool(load_settings().mongodb_uri)


@contextmanager
def open_registry(*, existing: bool = False, restoring: bool = False, database: str | None = None) -> Iterator[tuple[Store, Settings]]:
    """Yields the database of the registry and the settings. `database` is used in place of JOBWRIGHT_DATABASE.

    With `existing`, a registry must be there already, and the command creates neither a folder nor a database. Raises ConfigError or
    StartError, which name the setting to change; StartError while a restore is not finished, unless `restoring`.
    """
    from dataclasses import replace  # noqa: PLC0415 - `--help` does without it

    from app.config import load_settings  # noqa: PLC0415 - `--help` does without it
    from app.events import configure_logging  # noqa: PLC0415 - the same
    from app.factory import open_store  # noqa: PLC0415 - the same
    from app.premises import errors_name_settings  # noqa: PLC0415 - the same

    if os.environ.get("JOBWRIGHT_SERVER"):
        note("jobwright: this command works on the registry of this machine, not on JOBWRIGHT_SERVER.")
    settings = load_settings()
    if database is not None:
        settings = replace(settings, database=database)
    configure_logging(level="WARNING", style=settings.log_format)
    with errors_name_settings(settings):
        store = open_store(settings, existing=existing, restoring=restoring)
        try:
            yield store, settings
        finally:
            store.close()


@contextmanager
def open_services(*, existing: bool = False) -> Iterator[tuple[Services, Store]]:
    """Yields the services and the database.

    With `existing`, see `open_registry`; pending migrations raise StartError. Otherwise they are applied, if JOBWRIGHT_MIGRATE allows it.
    """
    from app.factory import build_services, migrate, require_migrated  # noqa: PLC0415 - `--help` does without it

    with open_registry(existing=existing) as (store, settings):
        if existing or settings.migrate == "never":
            require_migrated(store)
        else:
            migrate(store)
        yield build_services(settings, store, make_key=not existing), store
