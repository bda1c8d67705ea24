"""Whether texts of settings can be addresses."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

BROKERS = frozenset({"redis", "rediss", "amqp", "amqps"})  # schemes of CELERY_BROKER_URL
NATS = frozenset({"nats", "tls", "ws", "wss"})
WEB = frozenset({"http", "https"})


def is_broker_address(text: str) -> bool:
    """Returns whether a text can be the address of a message broker of Celery."""
    return _address(text, BROKERS) is not None


def is_nats_address(text: str) -> bool:
    """Returns whether a text can be the address of a NATS server: it has no path and no query."""
    parts = _address(text, NATS)
    return parts is not None and not parts.path.strip("/") and not parts.query and not parts.fragment


def is_web_address(text: str) -> bool:
    """Returns whether a text can be an address of HTTP, without spaces and line breaks."""
    return _address(text, WEB) is not None


def _address(text: str, schemes: Collection[str]) -> SplitResult | None:
    """Returns the parts of an address with one of these schemes and a host; None for any other text."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for one that is no number
    except ValueError:
        return None
    return parts if parts.scheme in schemes and parts.hostname and text.isprintable() and " " not in text else None


def is_mail_address(text: str) -> bool:
    """Returns whether a text can be a mail address. Only the mail server knows whether it is one."""
    local, _, domain = text.rpartition("@")
    return bool(local and domain) and text.isprintable() and not set(text) & set(' <>"()[]\\;:') and len(text) <= 254
