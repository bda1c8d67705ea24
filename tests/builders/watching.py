"""A store whose database commands a test can read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient, monitoring

from app.factory import Store

_OF_THE_DRIVER = {"hello", "ping", "endSessions", "saslStart", "saslContinue"}


class Commands(monitoring.CommandListener):
    """The commands that were sent: the name of each, and the collection."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def started(self, event: Any) -> None:
        if event.command_name not in _OF_THE_DRIVER:
            self.seen.append((event.command_name, event.command.get(event.command_name)))

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


@contextmanager
def watched(mongod: str, store: Store) -> Iterator[tuple[Store, Commands]]:
    """Yields the same store over a client of its own, with the commands of that client."""
    commands = Commands()
    client: Any = MongoClient(mongod, event_listeners=[commands], tz_aware=True)
    try:
        yield Store(client, client[store.database.name].with_options(codec_options=store.database.codec_options), None), commands
    finally:
        client.close()
