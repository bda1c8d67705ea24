"""The bus of a node, where NATS_URL is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.config import Settings
from app.integrations.nats.bus import Bus
from app.integrations.nats.messages import Answer
from app.services import Services

if TYPE_CHECKING:
    from flask import Flask


def build_bus(settings: Settings, services: Services) -> Bus | None:
    """The bus, not started; None where none is set."""
    if not settings.nats_url:
        return None
    return Bus(
        settings.nats_servers,
        prefix=settings.nats_prefix,
        answer=_answer(services),
        on_return=services.owed.send,
        clock=services.clock,
    )


def _answer(services: Services) -> Answer:
    # A node without a bus needs no web framework.
    from app.api.commands.desk import CommandDesk  # noqa: PLC0415

    def make_app() -> Flask:
        from app.factory.faces import create_api  # noqa: PLC0415

        return create_api(services)

    return CommandDesk(make_app).answer
