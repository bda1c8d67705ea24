"""Where an attempt goes that a service does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from app.queue.model import Reason


@dataclass(frozen=True, slots=True)
class Target:
    """The base address of an instance of a service, and the id of the instance ("" for a service without instances)."""

    address: str
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postpone:
    """The service cannot take the attempt before `until`. `words` says why, for people; `counts`: it fails with these words if that is so
    for too long."""

    reason: Reason
    until: datetime
    words: str
    counts: bool = True


def origin_of(address: str) -> str:
    """Returns scheme, host and port of an address: what a circuit breaker is about."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()
