"""A request of Prometheus: whether it may read the metrics, and in which format."""

from __future__ import annotations

from flask import request

from app.api.current import services
from app.metrics.exposition import exposition

# What proxies write about the sender of a request.
FORWARDED = frozenset({"x-forwarded-for", "x-real-ip", "forwarded"})


def check_access() -> None:
    """Raises Forbidden or NotSignedIn if the request at hand may not read the metrics."""
    counted = services().settings.proxy_hops > 0
    services().metrics.access.check(
        address=request.remote_addr or "",
        authorization=request.headers.get("Authorization", ""),
        forwarded=not counted and any(name.lower() in FORWARDED for name in request.headers.keys()),  # noqa: SIM118 - pairs otherwise
    )


def asked_text() -> tuple[bytes, str]:
    """Returns the metrics in the format that the request at hand accepts, and its media type."""
    current = services()
    return exposition(current.metrics, request.headers.get("Accept", ""), engine_age=current.engine_age())
