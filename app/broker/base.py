"""What the rest of Jobwright knows of a message broker. Nothing here needs Celery."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from app.errors import StartError

INSTALL = "pip install -r requirements-celery.lock"


class BrokerAway(Exception):
    """The broker did not answer, or refused. The text names no password."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How a consumer is. `at` is when it last took a message, in seconds of the monotonic clock; None if it took none since it connected.
    `since` is when it connected; None while it is not connected."""

    since: float | None
    at: float | None


class HintPublisher(Protocol):
    """Puts ids of executions into queues. One thread uses it."""

    def publish(self, hints: Sequence[tuple[str, str]]) -> None:
        """Publishes (queue, id of an execution). Raises BrokerAway; then some may have been published."""

    def ping(self) -> None:
        """Connects anew. Raises BrokerAway if the broker does not answer."""

    def product(self) -> tuple[str, str, str]:
        """Returns the name and the version of the broker, and how Redis deletes keys when its memory is full. Raises BrokerAway."""
        ...

    def close(self) -> None:
        """Closes the connection."""


class ProbePublisher(HintPublisher, Protocol):
    """Also publishes the probes of one worker."""

    def probe(self, worker: str, text: str) -> None:
        """Publishes a message that the worker of this name is to take. Raises BrokerAway."""

    def forget(self, worker: str) -> None:
        """Removes the queue of the probes of a worker that ends."""


class HintConsumer(Protocol):
    """Takes messages in threads of its own."""

    def start(self) -> None:
        """Begins, and connects again each second while the broker is away."""

    def consume(self, queues: Collection[str]) -> None:
        """These are the queues from now on."""

    def heard(self) -> Heard:
        """Returns how it is."""
        ...

    def restart(self, timeout_seconds: float) -> bool:
        """Connects anew. Returns False if the consumer does not let go of the old connection in time."""
        ...

    def stop(self, timeout_seconds: float) -> bool:
        """Ends. Returns False if it does not end in time."""
        ...


# Takes the id of an execution and returns once the claim of it was tried; False if it is to go back into its queue.
OnHint = Callable[[str], bool]


def masked(url: str) -> str:
    """Returns an address of a broker without its password."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        user = parts.username or ""
    except ValueError:
        return "***"
    secret = f"{user}:***@" if "@" in parts.netloc else ""
    return urlunsplit((parts.scheme, secret + host, parts.path, "", ""))


def without_secrets(text: str, url: str) -> str:
    """Returns a text in which the password of a broker does not stand, in whatever form it was given."""
    text = text.replace(url, masked(url))
    try:
        parts = urlsplit(url)
    except ValueError:
        return text
    for secret in filter(None, (parts.netloc.rpartition("@")[0], parts.password, unquote(parts.password or ""))):
        text = text.replace(secret, "***")
    return text


def require_celery() -> None:
    """Raises StartError with what to do if Celery is not installed."""
    if find_spec("celery") is None:
        raise StartError(f"JOBWRIGHT_EXECUTOR is celery, but Celery is not installed. Install it: {INSTALL}")
