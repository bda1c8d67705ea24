"""What tests of services share: a service account, its clients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from app.accounts.model import AccountKind, Role, Scope
from app.audit.model import SYSTEM, Actor
from app.config import Settings
from app.services import Services
from tests.conftest import Api
from tests.support import KEY

BOT = "bot@example.com"


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
