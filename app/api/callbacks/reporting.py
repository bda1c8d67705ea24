"""Who sends a report, found out before its view is called."""

from __future__ import annotations

from flask import g, request

from app.api.current import services
from app.errors import SignatureRefused, UnknownReportAddress
from app.integrations.callbacks.reports import Reporter


def find_reporter() -> None:
    """Finds out who reports about what, by the token in the address and the signature of the body."""
    token = (request.view_args or {}).get("token", "")
    try:
        g.reporter = services().callbacks.reporter(token, dict(request.headers), request.get_data(cache=True))
    except (UnknownReportAddress, SignatureRefused):
        services().rates.count_stranger(request.remote_addr or "")
        raise


def reporter() -> Reporter:
    """Returns who reports."""
    known: Reporter = g.reporter
    return known
