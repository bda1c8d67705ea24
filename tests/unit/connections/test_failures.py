"""Each cause of a failed connection has its own sentence, whatever library raised the error."""

from __future__ import annotations

import errno
import smtplib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import paramiko
import pytest
from pymongo.errors import AutoReconnect, BulkWriteError, ConfigurationError, OperationFailure, ServerSelectionTimeoutError

from app.connections import trying
from templates_lib.base import TemplateError
from templates_lib.connections import KINDS, failures
from templates_lib.own import Own
from tests.support import eventually

PLACE = "db.example.com:27017"


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


def certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


CASES: list[tuple[Exception, str]] = [
    (
        caused(ServerSelectionTimeoutError("Topology Description: …"), caused(AutoReconnect("x"), ConnectionRefusedError(111, "refused"))),
        "Nothing listens at db.example.com:27017 (connection refused). Check the host and port.",
    ),
    (socket.gaierror(socket.EAI_NONAME, "unknown"), "The host name in db.example.com:27017 was not found. Check its spelling."),
    (socket.gaierror(socket.EAI_AGAIN, "later"), "no name server answered"),
    (caused(httpx.TransportError("x"), certificate()), "is not trusted: self-signed certificate."),
    (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "db.example.com:27017 does not speak TLS as expected"),
    (smtplib.SMTPAuthenticationError(535, b"5.7.8 no such user\nmore"), "refused the sign-in: 5.7.8 no such user. Check the user name"),
    (paramiko.AuthenticationException("Authentication failed."), "refused the sign-in: Authentication failed. Check"),
    (OperationFailure("Authentication failed.", 18), "refused the sign-in"),
    (OperationFailure("not authorized on shop", 13), "but the user lacks a right: not authorized on shop."),
    (RuntimeError("nats: 'Authorization Violation'"), "refused the sign-in"),
    (
        PermissionError("The AWS Access Key Id you provided does not exist"),
        "refused access: The AWS Access Key Id you provided does not exist.",
    ),
    (paramiko.SSHException("Server 'x' not found in known_hosts"), "another host key than the one given here"),
    (OSError(errno.EHOSTUNREACH, "No route to host"), "This machine has no route to db.example.com:27017."),
    (TimeoutError("timed out"), "db.example.com:27017 did not answer within 3 s."),
    (httpx.ReadTimeout("x"), "did not answer within 3 s"),
    (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), "closed the connection without an answer"),
    (PermissionError(errno.EACCES, "Permission denied", "/srv/exports"), "Jobwright may not use /srv/exports"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/dev/null/x"), "/dev/null/x cannot be used: Not a directory."),
    (ConfigurationError("Unknown option foo"), "The settings cannot be used: Unknown option foo."),
    (ModuleNotFoundError("No module named 'psycopg'"), "is not installed: No module named 'psycopg'."),
    (TemplateError("Database 'x' is off limits", permanent=True), "Database 'x' is off limits"),
    (ValueError("first line\nsecond line"), "The connection to db.example.com:27017 failed: first line"),
]


REFUSAL = "PlanExecutor error during aggregation :: caused by :: Failed to parse number 'n/a' in $convert"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationFailure(f"{REFUSAL}, full error: {{'ok': 0.0}}", 241, {"errmsg": REFUSAL}), "Failed to parse number 'n/a' in $convert"),
        (OperationFailure("unknown operator: $x, full error: {'ok': 0.0}", 2), "unknown operator: $x"),
        (OperationFailure("Executor error during find command: shop.orders :: caused by :: Sort needs too much memory."), "Sort needs too"),
        (BulkWriteError({"writeErrors": [{"errmsg": "E11000 duplicate key error"}]}), "E11000 duplicate key error"),
        (OperationFailure(""), "OperationFailure"),
    ],
)
def test_a_refusal_of_mongodb_is_in_the_words_of_the_server(error: Exception, words: str) -> None:
    told = failures.server_words(error)
    assert told.startswith(words)
    assert not told.endswith(".")


def test_a_long_refusal_of_mongodb_ends_with_a_whole_word() -> None:
    words = "word " * 200
    told = failures.server_words(OperationFailure(words, 2, {"errmsg": words}))
    assert len(told) <= failures.MOST_SERVER_WORDS
    assert told.endswith("word …")


@pytest.mark.parametrize(("error", "words"), CASES, ids=lambda value: value[:40] if isinstance(value, str) else type(value).__name__)
def test_each_cause_has_its_sentence(error: Exception, words: str) -> None:
    told = failures.sentence(error, PLACE, 3.0)
    assert words in told
    assert "Topology" not in told
    assert "\n" not in told


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    assert failures.sentence(first, PLACE) == f"The connection to {PLACE} failed: one"


SILENT_SETTINGS: dict[str, dict[str, Any]] = {
    "mongodb": {"uri": "mongodb://user:canary@127.0.0.1:{port}/?authSource=admin", "database": "shop"},
    "smtp": {"host": "127.0.0.1", "port": 0, "security": "none", "sender": "a@example.com"},
    "http": {"hosts": ["127.0.0.1:{port}"], "proof": "none", "plain": True},
    "nats": {"servers": ["nats://127.0.0.1:{port}"], "subjects": [">"]},
    "sql": {"url": "postgresql+psycopg://user:canary@127.0.0.1:{port}/shop"},
    "s3": {"where": "s3", "path": "bucket", "endpoint": "http://127.0.0.1:{port}", "key_id": "a", "key": "canary"},
    "sftp": {
        "where": "sftp",
        "path": "/srv",
        "host": "127.0.0.1",
        "port": 0,
        "username": "a",
        "password": "canary",
        "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfIh3ROOFGqsF+7wb5IzzNYDVDcbWZL+1VqFCnVYTGx",
    },
}


def with_port(value: Any, port: int) -> Any:
    if isinstance(value, str):
        return value.replace("{port}", str(port))
    if isinstance(value, Mapping):
        return {name: port if name == "port" else with_port(item, port) for name, item in value.items()}
    return [with_port(item, port) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", SILENT_SETTINGS)
def test_every_kind_says_that_nothing_listens_at_once_and_without_a_secret(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    kind, settings = KINDS[name if name in KINDS else "file_store"], with_port(SILENT_SETTINGS[name], port)
    began = time.monotonic()
    works, message = trying.try_to_open(kind, settings, Own(), seconds=20.0)
    assert (works, message) == (False, f"Nothing listens at 127.0.0.1:{port} (connection refused). Check the host and port.")
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("name", [name for name in SILENT_SETTINGS if name != "sql"])  # a driver for SQL may not be installed
def test_every_kind_ends_in_time_where_the_server_is_silent(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        kind, settings = KINDS[name if name in KINDS else "file_store"], with_port(SILENT_SETTINGS[name], port)
        works, message = trying.try_to_open(kind, settings, Own(), seconds=0.3)
    assert not works
    assert message == f"127.0.0.1:{port} did not answer within 0.3 s. Check the host and port, and whether a firewall blocks the way."


def test_silent_servers_do_not_take_more_than_so_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(trying, "_running", Counter())
    asked, answered = threading.Event(), threading.Event()

    def probe(settings: Mapping[str, Any], own: Own, seconds: float = 1.0) -> str:
        asked.set()
        answered.wait(60)
        return "late"

    kind = replace(KINDS["secret"], probe=probe, place=lambda settings: "somewhere")
    assert "somewhere did not answer within 0.1 s" in trying.try_to_open(kind, {}, Own(), seconds=0.1)[1]
    assert asked.is_set()
    assert "Too many connections are being tested" in trying.try_to_open(KINDS["secret"], {"value": "x"}, Own(), seconds=5.0)[1]
    answered.set()
    eventually(lambda: trying.try_to_open(KINDS["secret"], {"value": "x"}, Own(), seconds=5.0)[0])


def test_a_server_that_never_stops_answering_does_not_keep_others_from_being_tested() -> None:
    asked, answered = threading.Semaphore(0), threading.Event()

    def probe(settings: Mapping[str, Any], own: Own, seconds: float = 1.0) -> str:
        asked.release()
        answered.wait(60)
        return "late"

    kind = replace(KINDS["secret"], probe=probe, place=lambda settings: "drip:25")
    try:
        for _ in range(trying.MOST_AT_ONCE):
            assert "drip:25 did not answer" in trying.try_to_open(kind, {}, Own(), seconds=0.01)[1]
        threads = sum(asked.acquire(blocking=False) for _ in range(trying.MOST_AT_ONCE))
        assert threads <= trying.MOST_AT_ONE_PLACE
        assert trying.try_to_open(KINDS["secret"], {"value": "x"}, Own(), seconds=5.0)[0]
    finally:
        answered.set()


@pytest.mark.parametrize("address", ["user:s3cr/et@db.invalid/shop", "user:s3cr?et@db.invalid/shop", "s3cr:et/x@db.invalid:99999/shop"])
def test_no_part_of_a_password_is_in_the_sentence_about_a_connection_string_that_is_not_valid(address: str) -> None:
    settings = {"uri": f"mongodb://{address}", "database": "shop"}
    works, message = trying.try_to_open(KINDS["mongodb"], settings, Own(), seconds=1.0)
    assert not works
    assert "s3cr" not in message
    assert "et@" not in message
    assert "s3cr" not in KINDS["mongodb"].place(settings)


def test_settings_that_name_no_place_end_in_a_sentence() -> None:
    works, message = trying.try_to_open(KINDS["sql"], {"url": "postgresql://h:1x/shop"}, Own(), seconds=5.0)
    assert (works, bool(message)) == (False, True)
