"""REST: one flask-smorest blueprint per resource, OpenAPI 3.1 at /api/openapi.json, a page for it at /api/docs."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from flask import Flask
from flask_smorest import Api

from app import correlation
from app.addresses import ShortNumber
from app.api.alert_explanations import routes as alert_explanations
from app.api.alert_rules import routes as alert_rules
from app.api.announcements import routes as announcements
from app.api.approvals import routes as approvals
from app.api.audit import routes as audit
from app.api.base_schemas import ProblemOut
from app.api.body import MAX_BODY_BYTES
from app.api.calendars import routes as calendars
from app.api.callbacks import routes as callbacks
from app.api.channels import routes as channels
from app.api.commands import routes as bus
from app.api.compat.blueprint import register_error_response
from app.api.compat.job_types import routes as typed_runs
from app.api.compat.named_jobs import routes as named_jobs
from app.api.compat.schedule_executions import routes as schedule_executions
from app.api.compat.schedules import routes as schedules
from app.api.connections import routes as connections
from app.api.deliveries import routes as deliveries
from app.api.digests import routes as digests
from app.api.errors import answer_elsewhere
from app.api.exchange import routes as exchange
from app.api.executions import routes as executions
from app.api.health import routes as health
from app.api.imports import routes as imports
from app.api.inbound import routes as inbound
from app.api.incidents import routes as incidents
from app.api.job_history import routes as job_history
from app.api.job_types import routes as job_types
from app.api.jobs import routes as jobs
from app.api.maintenance import routes as maintenance
from app.api.metrics import counting
from app.api.metrics import routes as metrics
from app.api.migrated_jobs import routes as migrated_jobs
from app.api.mutes import routes as mutes
from app.api.nodes import routes as nodes
from app.api.outbox import routes as outbox
from app.api.problem_types import routes as problem_types
from app.api.sample import routes as sample
from app.api.services import routes as service_routes
from app.api.template_moves import routes as template_moves
from app.api.templates import routes as templates
from app.api.tokens import routes as tokens
from app.api.users import routes as users
from app.api.waiting import PLACES, WaitingPlaces
from app.api.webhooks import routes as webhooks
from app.services import EXTENSION, Services

DESCRIPTION = (
    "Jobwright runs jobs that are made from templates. "
    "Send a token: `Authorization: Bearer jw_…`. "
    "Each record in an answer has its identifier as `id`. "
    "Errors are problem documents (RFC 9457); /api/problems describes their types."
)
API_VERSION = "1"  # of the interface, which anybody may read; the version of the program is not public

# In the order in which the OpenAPI document lists them.
RESOURCES = (
    exchange,
    imports,
    migrated_jobs,
    jobs,
    job_history,
    inbound,
    webhooks,
    templates,
    template_moves,
    executions,
    outbox,
    callbacks,
    connections,
    channels,
    deliveries,
    digests,
    mutes,
    announcements,
    alert_rules,
    alert_explanations,
    incidents,
    calendars,
    maintenance,
    nodes,
    approvals,
    audit,
    users,
    tokens,
    service_routes,
    sample,
    job_types,
    problem_types,
    bus,
    named_jobs,
    typed_runs,
    schedules,
    schedule_executions,
    health,
    metrics,
)
PROBES = (health, metrics)  # of a process without a web server


class JobwrightApi(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's API, without its own format of errors."""

    ERROR_SCHEMA = ProblemOut

    def _register_error_handlers(self) -> None:
        """Registers none: blueprints answer their errors, and `register_api` adds the handler for all others."""


def register_api(app: Flask, services: Services) -> None:
    """Adds REST, health and metrics to the application."""
    app.extensions[PLACES] = WaitingPlaces(services.settings)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of a schema's properties is the order of its form
    app.config.update(
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": "/", "description": "This installation"}],
            "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
            "security": [{"token": []}],
        },
    )
    app.url_map.converters["int"] = ShortNumber
    api = _install(app, services, RESOURCES)
    api.register_converter(ShortNumber, lambda _: {"type": "integer", "minimum": 0, "maximum": 999_999_999})
    api.spec.components.schemas.pop("PaginationMetadata", None)  # of flask-smorest's own pages, which no resource has
    _describe_problems(api)
    register_error_response(api.spec.components)


def register_probes(app: Flask, services: Services) -> None:
    """Adds health and metrics alone to the application, without a description."""
    _install(app, services, PROBES)


def _install(app: Flask, services: Services, resources: Sequence[ModuleType]) -> JobwrightApi:
    app.extensions[EXTENSION] = services
    app.config.update(API_TITLE="Jobwright", API_VERSION=API_VERSION, OPENAPI_VERSION="3.1.0", MAX_CONTENT_LENGTH=MAX_BODY_BYTES)
    correlation.install(app, services.traces)
    counting.install(app)
    api = JobwrightApi(app)
    for resource in resources:
        api.register_blueprint(resource.blueprint)
    app.register_error_handler(Exception, answer_elsewhere)
    return api


def _describe_problems(api: JobwrightApi) -> None:
    """Gives the answers to errors the media type `application/problem+json`: flask-smorest describes them as `application/json`."""
    for response in api.spec.components.responses.values():
        content = response.get("content", {})
        if "application/json" in content:
            content["application/problem+json"] = content.pop("application/json")
