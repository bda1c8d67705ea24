"""Pickles that attack their reader: each would leave a trace if anything of it ran, or would take all memory or time."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apscheduler.triggers.date import DateTrigger


@dataclass(frozen=True)
class Call:
    """Pickles to a call of a function."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def state(**values: Any) -> dict[str, Any]:
    """The state of a job, as APScheduler pickles it."""
    return {
        "version": 1,
        "id": "a",
        "func": "os:getcwd",
        "trigger": DateTrigger(datetime(2030, 1, 1, tzinfo=UTC)),
        "executor": "default",
        "args": (),
        "kwargs": {},
        "name": "a",
        "misfire_grace_time": 1,
        "coalesce": True,
        "max_instances": 1,
        "next_run_time": None,
        **values,
    }


def pickles(canary: Path, port: int) -> dict[str, bytes]:
    """Hostile pickles by what they try. What runs makes the file `canary`, or connects to the port."""
    touch, shell = f"touch {canary}", f"import pathlib; pathlib.Path({str(canary)!r}).touch()"
    return {**dict(_calls(canary, port, touch, shell)), **dict(_by_hand(touch, shell)), **dict(_states(touch, shell)), **dict(_bombs())}


def _calls(canary: Path, port: int, touch: str, shell: str) -> Iterator[tuple[str, bytes]]:
    import os
    import socket
    import subprocess

    for protocol in range(6):
        yield f"os.system, protocol {protocol}", pickle.dumps(Call(os.system, (touch,)), protocol)
    yield "eval", pickle.dumps(Call(eval, (f"__import__('os').system({touch!r})",)))
    yield "exec", pickle.dumps(Call(exec, (shell,)))
    yield "a process", pickle.dumps(Call(subprocess.check_output, (["touch", str(canary)],)))
    yield "a connection", pickle.dumps(Call(socket.create_connection, (("127.0.0.1", port),)))
    yield "a file", pickle.dumps(Call(open, (str(canary), "w")))
    yield "a call of a call", pickle.dumps(Call(map, (os.system, [touch])))


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _by_hand(touch: str, shell: str) -> Iterator[tuple[str, bytes]]:
    yield "INST", b"(" + f"S'{touch}'\nios\nsystem\n.".encode()
    yield "OBJ", b"(cos\nsystem\n" + _text(touch) + b"o."
    yield "STACK_GLOBAL", b"\x80\x04" + _text("os") + _text("system") + b"\x93" + _text(touch) + b"\x85R."
    yield "NEWOBJ", b"\x80\x02csubprocess\nPopen\n" + _text(touch) + b"\x85\x81."
    yield "NEWOBJ_EX", b"\x80\x04csubprocess\nPopen\n" + _text(touch) + b"\x85}" + _text("shell") + b"\x88s\x92."
    yield "a module that is imported", b"cjobwright_canary\nvalue\n."
    yield "a dotted name", b"\x80\x04" + _text("jobwright_canary") + _text("value.real") + b"\x93."
    yield "getattr", b"cbuiltins\ngetattr\n(cos\nsystem\n" + _text("__call__") + b"tR" + _text(touch) + b"\x85R."
    yield "setattr through BUILD", b"cos\nsystem\n" + b"}" + _text("__setstate__") + b"cos\nsystem\nsb."
    yield "BUILD of a dict", b"}" + _text(touch) + b"b."
    yield "a persistent id", b"P" + touch.encode() + b"\n."
    yield "a persistent id of a value", _text(touch) + b"Q."
    yield "a code of copyreg", b"\x82\x01."
    yield "a large code of copyreg", b"\x84\x01\x00\x00\x00."
    yield "a buffer from outside", b"\x80\x05\x97."
    yield "a name for the terminal", b"cos\n\x1b]0;owned\x07\n" + _text(touch) + b"\x85R."


def _states(touch: str, shell: str) -> Iterator[tuple[str, bytes]]:
    import os

    yield "among the arguments", pickle.dumps(state(args=("a", Call(os.system, (touch,)))))
    yield "among the named arguments", pickle.dumps(state(kwargs={"a": [Call(exec, (shell,))]}))
    yield "as the trigger", pickle.dumps(state(trigger=Call(os.system, (touch,))))
    yield "as the function", pickle.dumps(state(func=Call(os.system, (touch,))))
    yield "as the id", pickle.dumps(state(id=Call(os.system, (touch,)), trigger=None))
    yield "as the time zone", pickle.dumps(state(trigger=Call(DateTrigger, (Call(os.system, (touch,)),))))


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield "a place of the memory that is far away", b"Nr\xff\xff\xff\x7f."
    yield "a text of 2**62 characters", b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a."
    yield "bytes of 2**40 bytes", b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"a."
    yield "a frame of 2**60 bytes", b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N."
    yield "a number of 2**31 bytes", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01."
    yield "a number of 900,000 digits", b"L" + b"9" * 900_000 + b"L\n."
    yield "lists that double", _in_state(b"]" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60)))
    yield "100,000 lists inside each other", _in_state(b"]" * 100_000 + b"a" * 99_999)
    yield "a deep tuple as a key", b"}" + b")" + b"\x85" * 100_000 + b"Ns."
    yield "a list in itself", _in_state(b"]q\x00h\x00a")
    yield (
        "numbers with equal hashes as keys",
        b"}" + b"".join(b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"Ns" for n in range(30_000)) + b".",
    )
    yield "too many bytes", pickle.dumps(b"a" * 2_000_000)
    yield "too many operations", b"N0" * 300_000 + b"N."
    yield "an end that is missing", pickle.dumps(state())[:-20]
    yield "no pickle", b"\xff\xfe hello"
    yield "nothing", b""
    yield "a mark in place of a value", b"(."
    yield "an empty stack", b"0."


def _in_state(value: bytes) -> bytes:
    """A pickle of the state of a job whose only argument is made by some operations."""
    plain = pickle.dumps(DateTrigger(datetime(2030, 1, 1, tzinfo=UTC)), 2)[2:-1]
    fields = {"func": _text("os:getcwd"), "id": _text("a"), "trigger": plain, "args": value + b"\x85", "kwargs": b"}"}
    return b"\x80\x02}" + b"".join(_text(name) + made + b"s" for name, made in fields.items()) + b"."
