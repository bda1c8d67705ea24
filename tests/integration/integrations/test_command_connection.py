"""The NATS connection that NATS_URL and ALLOWED_COMMANDS describe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services
from app.jobtemplates.catalogue import Catalogue
from app.services import Services

URL = "nats://jobs:s3cret@nats-1:4222, nats://nats-2"
COMMAND = {
    "name": "n",
    "template_type": "message_command",
    "parameters": {"subject": "cmd.a"},
    "schedule": {"type": "interval", "interval_seconds": 60},
}
Start = Callable[..., Services]


@pytest.fixture
def start(store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, super_admin: Actor) -> Iterator[Start]:
    """Starts an installation with these settings, as often as it is called."""
    started: list[Services] = []

    def start_with(**changes: Any) -> Services:
        chosen = replace(settings, **{"nats_url": URL, "allowed_commands": ("cmd.>",), **changes})
        services = build_services(chosen, store, clock=clock, catalogue=catalogue)
        started.append(services)
        services.command_connection.keep()
        return services

    yield start_with
    for services in started:
        services.samples.close()


def connections(services: Services, actor: Actor) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in services.connections.all(actor) if row["kind"] == "nats"}


def test_the_settings_make_a_connection_that_commands_go_through(start: Start, super_admin: Actor) -> None:
    services = start()
    stored = connections(services, super_admin)["default-nats"]["settings"]
    assert (stored["servers"], stored["subjects"], stored["username"]) == (["nats://nats-1:4222", "nats://nats-2"], ["cmd.>"], "jobs")
    assert "s3cret" not in str(stored)
    assert services.connections.grant(["default-nats"])["default-nats"].settings["password"] == "s3cret"
    job, _ = services.jobs.create(super_admin, COMMAND)
    assert job.definition.parameters["connection"] == "default-nats"


def test_a_token_is_no_user(start: Start, super_admin: Actor) -> None:
    services = start(nats_url="tls://t0ken@nats:4222")
    granted = services.connections.grant(["default-nats"])["default-nats"].settings
    assert granted == {"servers": ["tls://nats:4222"], "subjects": ["cmd.>"], "token": "t0ken"}


@pytest.mark.parametrize("changes", [{"nats_url": ""}, {"allowed_commands": ()}])
def test_without_one_of_the_settings_there_is_none(start: Start, super_admin: Actor, changes: dict[str, Any]) -> None:
    assert connections(start(**changes), super_admin) == {}


def test_the_next_start_follows_the_settings(start: Start, super_admin: Actor) -> None:
    start()
    assert connections(start(), super_admin)["default-nats"]["version"] == 1, "nothing has changed, so nothing is written"
    services = start(nats_url="nats://jobs:other@elsewhere:4222", allowed_commands=("cmd.a", "cmd.b"))
    row = connections(services, super_admin)["default-nats"]
    assert (row["version"], row["settings"]["servers"], row["settings"]["subjects"]) == (2, ["nats://elsewhere:4222"], ["cmd.a", "cmd.b"])
    assert services.connections.grant(["default-nats"])["default-nats"].settings["password"] == "other"


def test_what_a_person_has_changed_stays(start: Start, super_admin: Actor) -> None:
    services = start(nats_url="nats://nats-1:4222")
    row = connections(services, super_admin)["default-nats"]
    settings = {"servers": ["nats://mine:4222"], "subjects": ["cmd.mine"]}
    services.connections.update(super_admin, row["_id"], name="default-nats", settings=settings)
    assert connections(start(), super_admin)["default-nats"]["settings"] == settings


def test_a_default_connection_of_a_person_is_enough(start: Start, services: Services, super_admin: Actor) -> None:
    settings = {"servers": ["nats://mine:4222"], "subjects": ["cmd.mine"]}
    services.connections.create(super_admin, name="default", kind="nats", settings=settings)
    assert list(connections(start(), super_admin)) == ["default"]


def test_a_name_that_is_taken_does_not_stop_the_start(start: Start, services: Services, super_admin: Actor) -> None:
    services.connections.create(super_admin, name="default-nats", kind="file_store", settings={"path": "/nowhere"})
    assert connections(start(), super_admin) == {}


def test_a_setting_that_makes_no_connection_is_logged(start: Start, super_admin: Actor, caplog: pytest.LogCaptureFixture) -> None:
    assert connections(start(nats_url=f"nats://{'x' * 400}:4222"), super_admin) == {}
    assert "bus.no_command_connection" in caplog.text
