"""Looks at the message broker: whether it answers, what it is, and whether it may delete messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.broker.base import BrokerAway, masked, require_celery, without_secrets
from app.config import Settings
from app.findings import Finding, Level

KEEPS = "noeviction"
SUBJECT = "Celery"
FRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """`text` says what answers, and where. `eviction` is the policy by which Redis deletes keys when its memory is full; empty if it
    deletes none."""

    text: str
    eviction: str = ""

    @property
    def problem(self) -> str:
        """What is wrong with a broker that answers; empty if nothing is."""
        return f"It deletes messages when its memory is full (maxmemory-policy {self.eviction}), which delays runs" if self.eviction else ""


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


@dataclass(frozen=True, slots=True)
class BrokerState:
    """`address` has no password. `problem` says why it does not answer, or that it deletes messages; it is empty if all is well, and may
    name the address."""

    address: str
    problem: str = ""


class BrokerLook:
    """One look at a broker, in a thread of its own."""

    def __init__(self, url: str, inspect: Callable[[str], BrokerFacts]) -> None:
        self._url, self._inspect = url, inspect
        self._began, self._ended_at = time.monotonic(), float("inf")
        self._ended, self._problem = threading.Event(), ""
        threading.Thread(target=self._run, name="broker look", daemon=True).start()

    @property
    def is_old(self) -> bool:
        """Whether it ended so long ago that somebody should look again."""
        return time.monotonic() - self._ended_at > FRESH_SECONDS

    def state(self, within_seconds: float) -> BrokerState:
        """Returns what it has shown, or that the broker has not answered so many seconds after the look began."""
        if not self._ended.wait(max(0.0, self._began + within_seconds - time.monotonic())):
            return BrokerState(masked(self._url), f"No answer within {within_seconds:g} s")
        return BrokerState(masked(self._url), self._problem)

    def _run(self) -> None:
        try:
            self._problem = self._inspect(self._url).problem
        except Exception as error:  # it was not reached, or its driver failed
            self._problem = without_secrets(str(error) or type(error).__name__, self._url)
        self._ended_at = time.monotonic()
        self._ended.set()


class BrokerLooks:
    """Looks at a broker for the health pages. Anybody may ask for those, as often as they like: one look at most is on its way, and it
    serves all who ask until FRESH_SECONDS after its end."""

    def __init__(self, url: str, inspect: Callable[[str], BrokerFacts] = inspect_broker) -> None:
        self._url, self._inspect = url, inspect
        self._lock = threading.Lock()
        self._look: BrokerLook | None = None

    def begin(self) -> BrokerLook:
        """Returns a look that has begun; from any thread."""
        with self._lock:
            if self._look is None or self._look.is_old:
                self._look = BrokerLook(self._url, self._inspect)
            return self._look


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
