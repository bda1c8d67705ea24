"""Looks at the message broker: what it is, and whether it may delete messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.broker.base import BrokerAway, masked, require_celery
from app.config import Settings
from app.findings import Finding, Level

KEEPS = "noeviction"
SUBJECT = "Celery"


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """`text` says what answers, and where. `eviction` is the policy by which Redis deletes keys when its memory is full; empty if it
    deletes none."""

    text: str
    eviction: str = ""


def inspect_broker(url: str) -> BrokerFacts:
    """Raises BrokerAway if it does not answer, and StartError if Celery is not installed."""
    require_celery()
    from app.broker.publisher import Publisher  # noqa: PLC0415 - Celery is installed where it is asked for

    publisher = Publisher(url)
    try:
        product, version, policy = publisher.product()
    finally:
        publisher.close()
    return BrokerFacts(f"{product} {version} at {masked(url)} answers", "" if policy in {"", KEEPS} else policy)


def broker_findings(settings: Settings) -> Iterator[Finding]:
    """Yields what `jobwright doctor` says of the broker; nothing where nodes run their jobs themselves."""
    if not settings.by_celery:
        return
    try:
        facts = inspect_broker(settings.celery_broker_url)
    except BrokerAway as error:
        text = f"CELERY_BROKER_URL cannot be reached: {error}"
        yield Finding(SUBJECT, Level.PROBLEM, text, "Start the broker, or correct CELERY_BROKER_URL. Runs wait until it answers.")
        return
    if facts.eviction:
        text = f"{facts.text}, but deletes messages when its memory is full ({facts.eviction})"
        yield Finding(SUBJECT, Level.PROBLEM, text, f"Set `maxmemory-policy {KEEPS}` in Redis.")
    else:
        yield Finding(SUBJECT, Level.OK, facts.text)
