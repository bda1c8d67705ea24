"""The outboxes by who carries out what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from app.config import Settings
from app.factory.handlers import end_handlers, event_handlers

if TYPE_CHECKING:
    from app.factory.stores import Stores
    from app.outbox.store import OutboxStore


def outboxes(settings: Settings, stores: Stores) -> Iterator[tuple[str, OutboxStore[Any]]]:
    """Yields each carrier with the outbox from which it takes."""
    for end_handler in end_handlers(settings):
        yield end_handler.name, stores.owed_by_executions
    for event_handler in event_handlers(settings):
        yield event_handler.name, stores.owed_by_events
