"""Addresses of NATS servers, subjects and names of streams."""

from __future__ import annotations

import pytest

from app.config import load_settings
from app.errors import ConfigError
from app.integrations.nats.bus import retry_delay
from app.integrations.nats.connection import servers_of
from app.integrations.nats.messages import commands_subject, events_subject, is_inbox, stream_name


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


@pytest.mark.parametrize(
    ("subject", "may"),
    [
        ("_INBOX.abc.1", True),
        ("_INBOX_planner.abc", True),
        ("answers.7", True),
        ("jobwright-answers.7", True),
        ("", False),
        ("jobwright.events.execution.success", False),
        ("jobwright.commands.delete", False),
        ("$JS.API.STREAM.DELETE.JOBWRIGHT_EVENTS", False),
        ("$SYS.REQ.SERVER.PING", False),
    ],
)
def test_no_answer_goes_where_only_jobwright_may_send(subject: str, may: bool) -> None:
    assert is_inbox("jobwright", subject) is may


def test_tries_to_connect_become_rarer_up_to_a_limit() -> None:
    assert [retry_delay(tries, longest=5.0) for tries in range(7)] == [0.5, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert retry_delay(10**6, longest=30.0) == 30.0
