"""An endpoint of a service, and the last calls to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from app.integrations.callbacks.breaker import Breaker

MOST_CALLS = 10  # of the newest calls, so many are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCall:
    """A call to an endpoint: when it ended, how long it took, the error if it failed, and for which execution of which job it was made."""

    at: datetime
    succeeded: bool
    seconds: float
    error: str | None = None
    execution_id: str = ""
    job_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint of a service: scheme, host and port. `last_calls` are the newest of all nodes, newest first. `version` counts the
    changes, from 0 for one that is not stored; `changed_at` is when its breaker opened or closed last."""

    service: str
    origin: str
    breaker: Breaker = field(default_factory=Breaker)
    last_calls: tuple[LastCall, ...] = ()
    changed_at: datetime | None = None
    version: int = 0

    @property
    def id(self) -> str:
        return endpoint_id(self.service, self.origin)


def endpoint_id(service: str, origin: str) -> str:
    """The `_id` of an endpoint."""
    return f"{service} {origin}"
