"""The messages between the executor, the zygotes and job processes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from app.sandbox import protocol
from app.sandbox.protocol import (
    Begun,
    Broken,
    Dropped,
    End,
    Ended,
    Fork,
    Log,
    MakeZygote,
    Message,
    Progress,
    ProtocolError,
    Ready,
    Start,
    Stop,
    StopReason,
    StopRun,
    TooLate,
    decode,
    encode,
)

MESSAGES: list[Message] = [
    MakeZygote("module:Class"),
    Fork("p1", 5.0, 1.0, files="/f", stores=True),
    Fork("p2", None, 1.0, files="/f", stores=False, reused=True, most_runs=10, mark="\0abc "),
    Stop("p1", 0.0, StopReason.CANCEL),
    Ready(4, mounts=True, network=False),
    Broken("ImportError: é"),
    Ended("p1", 9, StopReason.TIMEOUT, {"cpu_seconds": 0.1}),
    Ended("p1", 0, None, {}),
    Start("e1", 1, "2026-03-02T12:00:00+00:00", {"a": [1, None]}, {}, "/f", [], ["host:1"], ["db", "/data"], False, 1.5),  # type: ignore[arg-type]
    Start(
        "e1",
        1,
        "2026-03-02T12:00:00+00:00",
        {},
        {},
        "/f",
        [],
        [],
        ["db", "/data"],
        False,
        1.5,
        "api",
        "u",
        60.0,
        ["http://a", "i"],
        ["u", "t"],
    ),  # type: ignore[arg-type]
    StopRun("e1"),
    Begun("e1"),
    TooLate("e1"),
    Dropped("e1"),
    Log("a line\nof two", "INFO", 1.5),
    Progress(1, None, "note"),
    End("e1", result={"message": "ok"}),
    End("e1", deferred={"heartbeat_seconds": 60}),
    End("e1", error={"type": "X"}, seconds=1.0, usage={}, reusable=False),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    line = encode(message)
    assert b"\n" not in line
    arrived = decode(line)
    assert (type(arrived), arrived) == (type(message), message)


def test_every_message_has_a_case_here() -> None:
    classes = {name for name, value in vars(protocol).items() if hasattr(value, "_fields")} - {"Limits"}
    assert {type(message).__name__ for message in MESSAGES} == classes == set(protocol._CLASSES)


def test_a_reason_is_one_again_after_the_way() -> None:
    arrived = decode(encode(Ended("p1", 9, StopReason.FLOOD, {})))
    assert isinstance(arrived, Ended)
    assert isinstance(arrived.reason, StopReason)


def test_what_json_does_not_know_becomes_text() -> None:
    assert decode(encode(Log("half \ud800", "INFO", object))) == Log("half ?", "INFO", str(object))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"[]",
        b"1",
        b'"Log"',
        b"null",
        b"{",
        b"{}",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b"9" * 10_000,
        b'{"x": ' + b"9" * 5000 + b"}",
        b'{"message": "Unknown"}',
        b'{"message": ["Log"]}',
        b'{"message": "Begun"}',
        b'{"message": "Begun", "execution_id": "e", "more": 1}',
        b'{"message": "Ended", "process_id": "p", "status": 0, "reason": "no such reason", "usage": {}}',
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def modules_of(statement: str) -> set[str]:
    """The modules that an interpreter has after a statement."""
    command = [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_a_job_process_has_nothing_of_the_service_but_the_sandbox() -> None:
    """It is forked from a process that has imported the zygote and the template, and no more."""
    modules = modules_of("import app.sandbox.zygote")
    ours = {name for name in modules if name.split(".")[0] in {"app", "web"}}
    assert {name for name in ours if name != "app" and not name.startswith("app.sandbox")} == set()
    assert "app.sandbox.handles" not in modules
    foreign: Any = {"pymongo", "bson", "flask", "structlog", "marshmallow", "apscheduler", "asyncio"}
    assert not modules & foreign
