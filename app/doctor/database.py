"""The database of the registry: its server, migrations and indexes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from app.factory import Store
from app.findings import Finding, Level
from app.migrations import Migrator, find_migrations
from app.mongo import OLDEST_MONGODB
from app.services import Services
from templates_lib.messages import amount

# The last day of support of each release line (mongodb.com/legal/support-policy/lifecycles).
SUPPORT_ENDS = {(6, 0): "2025-07-31", (7, 0): "2027-08-31", (8, 0): "2029-10-31"}


def check_server(services: Services, store: Store) -> Iterator[Finding]:
    """Yields which server answers, how fast, and whether it is supported."""
    began = time.monotonic()
    hello = store.client.admin.command("hello")
    took = (time.monotonic() - began) * 1000
    server = store.client.server_info()
    major, minor = server["versionArray"][:2]
    nodes = len(hello.get("hosts", ()))
    text = f"{server['version']}, {amount(nodes, 'node')}, answers in {took:.1f} ms"
    ends = SUPPORT_ENDS.get((major, minor))
    if (major, minor) < OLDEST_MONGODB:
        yield Finding("MongoDB", Level.PROBLEM, text, "Upgrade MongoDB. Jobwright needs 6.0 or newer.")
    elif ends is not None and ends < services.clock.now().date().isoformat():
        private = store.mongod is not None
        advice = "For production, set MONGODB_URI to a newer server." if private else "Upgrade MongoDB to a release that is supported."
        yield Finding("MongoDB", Level.WARNING, f"{text}; its support ended on {ends}", advice)
    else:
        yield Finding("MongoDB", Level.OK, text)


def check_migrations(services: Services, store: Store) -> Iterator[Finding]:
    """Yields the migrations that have not run, and those of a newer release."""
    migrator, known = Migrator(store.database, services.clock), [name for name, _ in find_migrations()]
    pending, post, unknown = migrator.pending(), migrator.pending_post(), [name for name in migrator.applied() if name not in known]
    if pending:
        yield Finding("Migrations", Level.PROBLEM, f"not applied: {', '.join(pending)}", "Run `jobwright migrate`.")
    if post:
        advice = "When no process of the version before is left, run `jobwright migrate --post`."
        yield Finding("Migrations", Level.WARNING, f"not applied yet, which ends the upgrade: {', '.join(post)}", advice)
    if unknown:
        yield Finding(
            "Migrations",
            Level.PROBLEM,
            f"applied by a newer release: {', '.join(unknown)}",
            "Run that release, or use it to revert them: `jobwright migrate --down-to`.",
        )
    if not pending and not post and not unknown:
        yield Finding("Migrations", Level.OK, f"all {len(known)} are applied")


def check_indexes(services: Services, store: Store) -> Iterator[Finding]:
    """Yields the indexes that migrations have made and that are missing."""
    expected: set[tuple[str, str]] = set()
    waiting = Migrator(store.database, services.clock).pending_post()
    for module in (module for name, module in find_migrations() if name not in waiting):
        created: Mapping[str, list[Any]] = getattr(module, "INDEXES", {})
        dropped: Mapping[str, list[str]] = getattr(module, "DROPS", {})
        expected -= {(collection, name) for collection, names in dropped.items() for name in names}
        expected |= {(collection, index.document["name"]) for collection, indexes in created.items() for index in indexes}
    collections = {collection for collection, _ in expected}
    present = {(collection, name) for collection in collections for name in store.database[collection].index_information()}
    missing = sorted(f"{collection}.{name}" for collection, name in expected - present)
    if missing:
        yield Finding(
            "Indexes",
            Level.PROBLEM,
            f"missing: {', '.join(missing)}",
            "Unique indexes prevent double runs. Stop all nodes, run `jobwright migrate --down-to zero` and then `jobwright migrate`.",
        )
    else:
        yield Finding("Indexes", Level.OK, f"all {len(expected)} exist")
