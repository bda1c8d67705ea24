"""What tests of services share: a service account, its clients, and the template of registered jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from flask import Flask

from app.accounts.model import AccountKind, Role, Scope
from app.audit.model import SYSTEM, Actor
from app.config import Settings
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from templates_lib import fields
from templates_lib.base import JobResult, JobTemplate, RunContext
from tests.conftest import Api
from tests.support import KEY

BOT = "bot@example.com"


class StandIn(JobTemplate):
    type = "service_job"
    name = "Job of a service"
    description = "Run a job that one of your services has registered"
    category = "Integration"
    icon = "server"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "service": fields.connection("service", "Service"),
            "path": {"type": "string", "title": "Path", "pattern": r"^/[^\s?#]*(\?[^\s#]*)?$", "maxLength": 1000},
            "job_name": {"type": "string", "title": "Job name"},
            "config": {"type": "object", "title": "Settings", "x-widget": "json"},
            "config_schema": {"type": "object", "title": "Schema", "x-widget": "json"},
            "on_failed_items": {"title": "If items fail", "default": "warn", "enum": ["fail", "warn", "succeed"]},
            "heartbeat_seconds": {"type": "integer", "title": "Longest silence", "default": 60},
        },
        "required": ["service", "job_name"],
        "additionalProperties": False,
    }

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        return JobResult("done")


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    found = Catalogue.discover()
    if "service_job" in found.types():
        return found
    return Catalogue({**{entry.type: entry.template for entry in found.code()}, "service_job": StandIn()})


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(
        data_dir=str(tmp_path / "data"),
        secret_key=KEY,
        max_jobs=50_000,
        max_jobs_per_creator=50_000,
        api_rate=1_000_000,
        allowed_hosts=("email-service:7006", "email-service:7007"),
        service_addresses=(("crawler", "http://crawler:7004"),),
    )


def account(services: Services, email: str, *, groups: tuple[str, ...] = ()) -> Actor:
    """A service account with the role admin."""
    user, _ = services.accounts.add(
        SYSTEM, {"email": email, "kind": AccountKind.SERVICE.value, "role": Role.ADMIN.value, "groups": list(groups)}
    )
    return Actor(id=user.id, email=email, role=user.role.value, via="api", is_service=True)


@pytest.fixture
def bot(services: Services) -> Actor:
    """A service account whose token may register jobs, not enable them."""
    return replace(account(services, BOT), scopes=frozenset({"services"}))


@pytest.fixture
def bot_api(app: Flask, services: Services, bot: Actor) -> Api:
    return Api(app, services.tokens.create(SYSTEM, email=BOT, name="t", scopes=[Scope.SERVICES]))


@pytest.fixture
def enabling_api(app: Flask, services: Services, bot: Actor) -> Api:
    return Api(app, services.tokens.create(SYSTEM, email=BOT, name="e", scopes=[Scope.SERVICES, Scope.ENABLE]))
