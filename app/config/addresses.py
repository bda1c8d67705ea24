"""Addresses in settings: whether they can be some."""

from __future__ import annotations

from urllib.parse import urlsplit

BROKERS = ("redis", "rediss", "amqp", "amqps")  # schemes of CELERY_BROKER_URL


def is_broker_address(text: str) -> bool:
    """Returns whether a text can be the address of a message broker of Celery."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for one that is no number
    except ValueError:
        return False
    return parts.scheme in BROKERS and bool(parts.hostname) and text.isprintable() and " " not in text


def is_nats_address(text: str) -> bool:
    """Returns whether a text can be the address of a NATS server."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for one that is no number
    except ValueError:
        return False
    plain = not parts.path.strip("/") and not parts.query and not parts.fragment
    return parts.scheme in {"nats", "tls", "ws", "wss"} and bool(parts.hostname) and plain and text.isprintable() and " " not in text


def is_web_address(text: str) -> bool:
    """Returns whether a text can be an address of HTTP, without spaces and line breaks."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for one that is no number
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and text.isprintable() and " " not in text


def is_mail_address(text: str) -> bool:
    """Returns whether a text can be a mail address. Only the mail server knows whether it is one."""
    local, _, domain = text.rpartition("@")
    return bool(local and domain) and text.isprintable() and not set(text) & set(' <>"()[]\\;:') and len(text) <= 254
