"""Addresses of NATS servers, subjects and names of streams."""

from __future__ import annotations

import pytest

from app.config import load_settings
from app.errors import ConfigError
from app.integrations.nats.connection import servers_of
from app.integrations.nats.messages import commands_subject, events_subject, stream_name


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://a:4222", [("nats://a:4222", {})]),
        ("nats://u:p%40ss@a:4222", [("nats://a:4222", {"user": "u", "password": "p@ss"})]),
        ("tls://t0ken@a", [("tls://a", {"token": "t0ken"})]),
        (
            "nats://u:p@a:1, nats://b:2 ,nats://v:q@c:3",
            [
                ("nats://a:1", {"user": "u", "password": "p"}),
                ("nats://b:2", {"user": "u", "password": "p"}),
                ("nats://c:3", {"user": "v", "password": "q"}),
            ],
        ),
    ],
)
def test_servers(url: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    servers = servers_of(load_settings({"NATS_URL": url}).nats_servers)
    assert [(server.url, server.user) for server in servers] == expected
    assert all("p@ss" not in repr(server) and "t0ken" not in repr(server) for server in servers)
    for server in servers:
        assert server.options("x")["allow_reconnect"] is False


@pytest.mark.parametrize(
    "url", ["localhost:4222", "http://a", "nats://", "nats://a:x", "nats://a/b", "nats://a b", "nats://a?x=1", "nats://u:secret@"]
)
def test_an_address_that_is_none_stops_the_start_and_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="NATS_URL: must be addresses") as failed:
        load_settings({"NATS_URL": url})
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize(
    ("name", "bad"),
    [("JOBWRIGHT_NATS_PREFIX", "a b"), ("JOBWRIGHT_NATS_PREFIX", "a.*"), ("ALLOWED_COMMANDS", "a, b..c"), ("ALLOWED_COMMANDS", "a.>.b")],
)
def test_subjects_in_settings_are_checked(name: str, bad: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings({name: bad})


def test_names() -> None:
    assert commands_subject("shop.jobs") == "shop.jobs.commands.*"
    assert events_subject("shop.jobs") == "shop.jobs.events.>"
    assert stream_name("shop.jobs") == "SHOP_JOBS_EVENTS"
    assert load_settings({"ALLOWED_COMMANDS": "orders.*.cancel, reports.>"}).allowed_commands == ("orders.*.cancel", "reports.>")
