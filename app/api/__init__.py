"""REST: one flask-smorest blueprint a resource, OpenAPI 3.1 at /api/openapi.json, a page for it at /api/docs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Flask, current_app, g, request
from flask_smorest import Api
from pymongo.errors import PyMongoError

from app import correlation
from app.addresses import ShortNumber
from app.api import auth
from app.api.approvals import routes as approvals
from app.api.audit import routes as audit
from app.api.base_schemas import ProblemOut
from app.api.calendars import routes as calendars
from app.api.connections import routes as connections
from app.api.current import services as current_services
from app.api.exchange import routes as exchange
from app.api.executions import routes as executions
from app.api.health import routes as health
from app.api.job_history import routes as job_history
from app.api.jobs import routes as jobs
from app.api.maintenance import routes as maintenance
from app.api.problems import from_error
from app.api.template_moves import routes as template_moves
from app.api.templates import routes as templates
from app.api.tokens import routes as tokens
from app.api.users import routes as users
from app.errors import ApprovalNeeded, Forbidden, StoreUnavailable
from app.services import EXTENSION, PAGE_ERRORS, Services

ADMIN = "/api/"
MAX_BODY_BYTES = 2_000_000
API_VERSION = "1"  # of the interface: anybody may read it, and the version of the program is nobody's business
LONGEST_TARGET = 300


RESOURCES = tuple(
    module.blueprint
    for module in (
        exchange,
        jobs,
        job_history,
        templates,
        template_moves,
        executions,
        connections,
        calendars,
        maintenance,
        approvals,
        audit,
        users,
        tokens,
    )
)
for _blueprint in RESOURCES:
    _blueprint.before_request(lambda: auth.authenticate(request))


class JobwrightApi(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest, with errors as problem documents."""

    ERROR_SCHEMA = ProblemOut

    def _register_error_handlers(self) -> None:
        """Errors are answered in `register_api`, for all of /api at once."""


def register_api(app: Flask, services: Services) -> None:
    """Add REST and health to the application."""
    app.extensions[EXTENSION] = services
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of a schema's properties is the order of its form
    app.config.update(
        API_TITLE="Jobwright",
        API_VERSION=API_VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="openapi.json",
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        API_SPEC_OPTIONS={
            "info": {"description": "A template-driven job registry. Errors are RFC 9457 problem documents."},
            "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
            "security": [{"token": []}],
        },
    )
    app.url_map.converters["int"] = ShortNumber
    correlation.install(app)
    api = JobwrightApi(app)
    api.register_converter(ShortNumber, lambda _: {"type": "integer", "minimum": 0, "maximum": 999_999_999})
    for blueprint in RESOURCES:
        api.register_blueprint(blueprint)
    _say_problems(api)
    app.register_blueprint(health.blueprint)
    app.register_error_handler(Exception, _answer)


def _say_problems(api: JobwrightApi) -> None:
    """Errors are `application/problem+json`; flask-smorest describes them as any other answer."""
    for response in api.spec.components.responses.values():
        content = response.get("content", {})
        if "application/json" in content:
            content["application/problem+json"] = content.pop("application/json")


def _answer(error: Exception) -> Any:
    """Errors under /api and of the health pages are problem documents; the web's own handler answers for its pages."""
    if isinstance(error, ApprovalNeeded):
        return _asked(error)
    if isinstance(error, Forbidden) and (who := g.get("actor")) is not None:
        # One place for every face: whoever was not let is in the audit trail.
        what = f"{request.method} {request.path}"[:LONGEST_TARGET]
        with suppress(StoreUnavailable, PyMongoError):  # nothing was done, so nothing is lost but the event
            current_services().audit.refused(who, "request.refuse", kind="request", target_id=what, reason=error.detail)
    pages = current_app.extensions.get(PAGE_ERRORS)
    return from_error(error) if pages is None or _by_program() else pages(error)


def _asked(error: ApprovalNeeded) -> Any:
    """What needs approval is put before the super-admins, in the way of the face; that may fail as everything may."""
    try:
        if _by_program():
            return approvals.answer_asked(error)
        return current_app.extensions[PAGE_ERRORS](error)
    except Exception as failed:
        return _answer(failed)


def _by_program() -> bool:
    return request.path.startswith(ADMIN) or request.blueprint == "health"
