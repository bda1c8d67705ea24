"""The connection of a service: which addresses it allows, and its signing keys."""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.validation import SchemaValidator
from templates_lib.base import ConnectionGrant, RunContext, TemplateError
from templates_lib.connections import KINDS
from templates_lib.connections.service import SCHEMA, key_problem, may_call, new_key, open_service, signing_keys
from templates_lib.own import Own

BASE = "https://email.example.com"
KEYS = [
    {"id": "a", "secret": "whsec_" + base64.b64encode(b"a" * 32).decode(), "created_at": "2026-01-01T00:00:00Z"},
    {"id": "b", "secret": "whsec_" + base64.b64encode(b"b" * 32).decode(), "created_at": "2026-02-01T00:00:00Z"},
]
VALIDATOR = SchemaValidator(SCHEMA)


@pytest.mark.parametrize(
    ("settings", "address", "allowed"),
    [
        ({}, "https://email.example.com/api/jobs/a/execute", True),
        ({}, "https://other.example.com/", True),
        ({}, "http://email.example.com/", False),
        ({"plain": True}, "http://email.example.com/", True),
        ({"hosts": ["email.example.com"]}, "https://email.example.com/x", True),
        ({"hosts": ["email.example.com"]}, "https://email.example.com:8443/x", False),
        ({"hosts": ["email.example.com:8443"]}, "https://EMAIL.example.com:8443/x", True),
        ({"hosts": ["*.example.com"]}, "https://pod-1.example.com/", True),
        ({"hosts": ["*.example.com"]}, "https://example.com/", False),
        ({"hosts": ["email"], "plain": True}, "http://email/", True),
        ({}, "ftp://email.example.com/", False),
        ({}, "https://", False),
        ({}, "https://xn--a/", False),
    ],
)
def test_which_addresses_may_be_called(settings: dict[str, Any], address: str, allowed: bool) -> None:
    assert may_call({"address": BASE, **settings}, address) is allowed


@pytest.mark.parametrize(
    ("settings", "pointers"),
    [
        ({"address": BASE}, []),
        ({"address": BASE, "keys": KEYS}, []),
        ({"address": "http://email:7006"}, ["/address"]),
        ({"address": "http://email:7006", "plain": True}, []),
        ({"address": BASE, "hosts": ["other.example.com"]}, ["/address"]),
        ({"address": "https://user@email.example.com"}, ["/address"]),
        ({"address": BASE, "keys": [{**KEYS[0], "secret": "short"}]}, ["/keys/0/secret"]),
        ({"address": BASE, "keys": [{**KEYS[0], "secret": "whsec_***"}]}, ["/keys/0/secret"]),
    ],
)
def test_problems_that_the_schema_does_not_find(settings: dict[str, Any], pointers: list[str]) -> None:
    assert VALIDATOR.errors(settings) == []
    assert [problem.pointer for problem in KINDS["service"].problems(settings, Own())] == pointers


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({}, "/address"),
        ({"address": "email"}, "/address"),
        ({"address": BASE, "keys": KEYS + KEYS}, "/keys"),
        ({"address": BASE, "keys": [{"id": "a b", "secret": "x", "created_at": "2026-01-01T00:00:00Z"}]}, "/keys/0/id"),
        ({"address": BASE, "hosts": ["a b"]}, "/hosts/0"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], pointer: str) -> None:
    assert pointer in [error.pointer for error in VALIDATOR.errors(settings)]


def test_keys_are_random_and_the_newest_comes_first() -> None:
    assert new_key() != new_key()
    assert key_problem(new_key()) is None
    assert signing_keys({"address": BASE, "keys": KEYS}) == [KEYS[1]["secret"], KEYS[0]["secret"]]
    assert signing_keys({"address": BASE}) == []


def test_a_key_without_prefix_or_padding_can_be_used() -> None:
    plain = base64.b64encode(b"k" * 32).decode()
    assert key_problem(plain) is None
    assert key_problem(plain.rstrip("=")) is None
    assert key_problem(base64.b64encode(b"k" * 23).decode()) is not None
    assert key_problem("") is not None


def run_with(settings: dict[str, Any], tmp_path: Path) -> RunContext:
    return RunContext(
        log=logging.getLogger("test"),
        execution_id="e1",
        attempt=1,
        now=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
        files=tmp_path,
        grants={"email": ConnectionGrant("email", "service", settings)},
    )


def test_a_host_that_the_connection_does_not_allow_is_not_called(tmp_path: Path) -> None:
    run = run_with({"address": BASE, "hosts": ["email.example.com"]}, tmp_path)
    client, settings = open_service(run, "email", timeout_seconds=1)
    assert settings["address"] == BASE
    with client, pytest.raises(TemplateError, match=r"does not allow calls to https://other\.example\.com") as refused:
        client.post("https://other.example.com/")
    assert refused.value.permanent


def test_a_private_address_is_called_only_for_hosts_that_are_named(tmp_path: Path) -> None:
    plain = {"address": "http://127.0.0.1:9", "plain": True}
    client, _ = open_service(run_with(plain, tmp_path), "email", timeout_seconds=1)
    with client, pytest.raises(TemplateError, match="private or local"):
        client.post("http://127.0.0.1:9/")
    client, _ = open_service(run_with({**plain, "hosts": ["127.0.0.1:9"]}, tmp_path), "email", timeout_seconds=1)
    with client, pytest.raises(httpx.TransportError):
        client.post("http://127.0.0.1:9/")
