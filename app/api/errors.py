"""Errors as answers. Each blueprint has an error format; here is what all formats have in common, and that of Jobwright's own API."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Response, current_app, g, jsonify, request, url_for
from pymongo.errors import PyMongoError

from app.api.current import actor, services
from app.api.present import record_json
from app.api.problems import problem_of
from app.correlation import shown_path
from app.errors import ApprovalNeeded, Forbidden, StoreUnavailable
from app.services import PAGE_ERRORS

API_PREFIX = "/api"
LONGEST_TARGET = 300  # characters of a request line in the audit trail

# Makes the answer to any exception. ApprovalNeeded is one of them: the format asks for the approval.
ErrorFormat = Callable[[Exception], Any]


def answers_in(error_format: ErrorFormat) -> Callable[[Exception], Any]:
    """Returns an error handler for Flask that answers in a format. It records refused requests in the audit trail."""

    def handle(error: Exception) -> Any:
        if isinstance(error, ApprovalNeeded):
            try:
                return error_format(error)
            except Exception as failed:  # asking for an approval can fail as any other request can
                return handle(failed)
        _record_refusal(error)
        return error_format(error)

    return handle


def jobwright_errors(error: Exception) -> Response:
    """The format of Jobwright's own API: RFC 9457 problem documents. Work that needs approval is asked for and answered with 202."""
    return _ask_for_approval(error) if isinstance(error, ApprovalNeeded) else problem_of(error)


def answer_elsewhere(error: Exception) -> Any:
    """Answers errors of requests that belong to no blueprint with a format of its own.

    Under /api, unknown addresses and methods are answered with problem documents; everything else by the web's own pages.
    """
    pages: ErrorFormat | None = current_app.extensions.get(PAGE_ERRORS)
    of_api = pages is None or _is_of_api(request.path)
    return answers_in(jobwright_errors if of_api or pages is None else pages)(error)


def _is_of_api(path: str) -> bool:
    return path == API_PREFIX or path.startswith(f"{API_PREFIX}/")


def _record_refusal(error: Exception) -> None:
    who = g.get("actor")
    if not isinstance(error, Forbidden) or who is None:
        return
    target = f"{request.method} {shown_path()}"[:LONGEST_TARGET]
    with suppress(StoreUnavailable, PyMongoError):  # nothing was done, so nothing is lost but the event
        services().audit.refused(who, "request.refuse", kind="request", target_id=target, reason=error.detail)


def _ask_for_approval(error: ApprovalNeeded) -> Response:
    row = services().approvals.ask(actor(), error.ask)
    response: Response = jsonify({"approval": record_json(row), "message": "A super-admin must approve this first"})
    response.status_code = 202
    response.headers["Location"] = url_for("Approvals.get_approval", approval_id=row["_id"])
    return response
