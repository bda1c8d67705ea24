"""What announces runs to workers through Celery, and what hears of them there. Celery itself is imported where it is used."""

from __future__ import annotations

from app.broker.base import HintConsumer, OnHint, ProbePublisher, require_celery
from app.clock import Clock
from app.config import Settings
from app.factory.stores import Stores
from app.node.hearing import Hearing
from app.node.releasing import Releaser, Releasing
from app.node.runner import Runner
from app.node.work_source import PushedSource
from app.services import Services


def build_releasing(settings: Settings, stores: Stores, services: Services) -> Releasing | None:
    """The loop that announces runs; None where nodes run their jobs themselves."""
    if not settings.by_celery:
        return None
    publisher = _publisher(settings)
    releaser = Releaser(
        store=stores.releases,
        nodes=stores.nodes.all,
        publisher=publisher,
        routes=dict(settings.celery_routes),
        stopped=services.maintenance.reason,
        clock=services.clock,
    )
    return Releasing(releaser, publisher)


def build_hearing(
    settings: Settings, stores: Stores, source: PushedSource, runner: Runner, *, name: str, routes: tuple[str, ...], clock: Clock
) -> Hearing:
    """The watch of a worker over its consumer."""

    def on_hint(execution_id: str) -> bool:
        hint = source.push(execution_id)
        hearing.on_hint()
        return hint.wait()

    hearing = Hearing(
        worker=name,
        routes=routes,
        labels=settings.node_labels,
        source=source,
        consumer=_consumer(settings, name, on_hint),
        publisher=_publisher(settings),
        needs=stores.releases.needs_of_waiting,
        rests=lambda: runner.draining or runner.asked_to_drain or not runner.permit.holds,
        clock=clock,
    )
    return hearing


def _publisher(settings: Settings) -> ProbePublisher:
    require_celery()
    from app.broker.publisher import Publisher  # noqa: PLC0415 - Celery is installed where it is asked for

    return Publisher(settings.celery_broker_url)


def _consumer(settings: Settings, name: str, on_hint: OnHint) -> HintConsumer:
    require_celery()
    from app.broker.consumer import CeleryConsumer  # noqa: PLC0415 - as above

    return CeleryConsumer(settings.celery_broker_url, name=name, slots=settings.pool_size, on_hint=on_hint)
