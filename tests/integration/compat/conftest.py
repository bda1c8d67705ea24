"""A person's client and a service's client: only what the service says about whom it acts for is believed."""

from __future__ import annotations

import pytest
from flask import Flask

from app.accounts.model import Scope
from app.audit.model import SYSTEM, Actor
from app.services import Services
from tests.conftest import Api

SERVICE = "notification-service@example.com"


@pytest.fixture
def service_api(app: Flask, services: Services) -> Api:
    """The client of a service account with the role admin."""
    services.accounts.add(SYSTEM, {"email": SERVICE, "role": "admin", "kind": "service"})
    return Api(app, services.tokens.create(SYSTEM, email=SERVICE, name="t", scopes=(Scope.READ, Scope.WRITE, Scope.RUN)))


@pytest.fixture
def bus(services: Services, super_admin: Actor) -> str:
    """The id of the connection `default` of the kind NATS, which allows the commands of the document."""
    settings = {"servers": ["nats://127.0.0.1:4222"], "subjects": ["cmd.>"]}
    connection_id: str = services.connections.create(super_admin, name="default", kind="nats", settings=settings)["_id"]
    return connection_id
