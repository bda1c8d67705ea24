"""What the executor makes of the bytes that one job process sends and prints."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.executors.base import LogLine
from app.executors.local.pump import Pump
from app.executors.local.worker import LONGEST_PRINT, Assignment, Worker
from app.executors.reports import LogBudget
from app.sandbox.handles import ZygoteHandle
from app.sandbox.protocol import Begun, End, Log, StopRun, encode
from tests.unit.executors.local.test_backlog import make_run

MARK = "\0mark "


class Bench:
    """A worker with two runs, and the ends that its process would have."""

    def __init__(self, *, reused: bool) -> None:
        ours, self.child = socket.socketpair()
        control, self.zygote = socket.socketpair()
        prints, self.printer = os.pipe()
        handle = ZygoteHandle("m:A", control)
        self.worker = Worker("p1", handle, reused, Path("/nowhere"), ours, prints, MARK if reused else "")
        self.worker.runs.extend(Assignment(make_run(n), LogBudget(1_000)) for n in range(2))
        self.pump = Pump(wait_seconds=lambda: None, on_turn=lambda: None, on_close=lambda: None)
        self.worker.open(self.pump, on_message=lambda: None, on_print=lambda: None)

    def lines(self, data: bytes) -> list[tuple[str, str]]:
        return [(assignment.attempt.execution_id, line.message) for assignment, lines in self.worker.print_lines(data) for line in lines]

    def close(self) -> None:
        for end in tuple(self.worker.open_ends):
            self.worker.close(self.pump, end)
        self.pump.close()
        for sock in (self.child, self.zygote, self.worker.zygote.control):
            sock.close()
        os.close(self.printer)


@pytest.fixture
def single() -> Iterator[Bench]:
    bench = Bench(reused=False)
    yield bench
    bench.close()


@pytest.fixture
def reused() -> Iterator[Bench]:
    bench = Bench(reused=True)
    yield bench
    bench.close()


def test_messages_are_read_however_they_arrive(single: Bench) -> None:
    messages = [Begun("e0"), Log("a", "INFO", 1.0), End("e0", result={})]
    data = b"".join(encode(message) + b"\n" for message in messages)
    read = [message for n in range(len(data)) for message in single.worker.read_messages(data[n : n + 1], 10_000) or ()]
    assert read == messages


def test_a_line_that_is_no_message_is_none(single: Bench) -> None:
    assert single.worker.read_messages(b"x\n" + encode(Begun("e0")) + b"\n\n", 100) == [None, Begun("e0"), None]


def test_a_message_without_an_end_is_dropped_when_it_is_too_long(single: Bench) -> None:
    assert single.worker.read_messages(b"x" * 90, 100) == []
    assert single.worker.read_messages(b"x" * 90, 100) is None
    assert single.worker.read_messages(encode(Begun("e0")) + b"\n", 100) == [Begun("e0")]


def test_what_is_queued_is_sent_as_the_socket_takes_it(single: Bench) -> None:
    line = encode(StopRun("e0")) + b"\n"
    for _ in range(40_000):
        single.worker.queue_message(StopRun("e0"))
    single.worker.send(single.pump)
    assert single.worker.has_unsent()
    received = bytearray()
    while len(received) < 40_000 * len(line):
        received += single.child.recv(1 << 20)
        single.worker.send(single.pump)
    assert received == line * 40_000
    assert not single.worker.has_unsent()


def test_ends_are_seen_and_closed_once(single: Bench) -> None:
    assert (single.worker.receive(), single.worker.receive_prints()) == (None, None)
    single.child.sendall(b"x")
    os.write(single.printer, b"y")
    assert (single.worker.receive(), single.worker.receive_prints()) == (b"x", b"y")
    single.child.close()
    assert single.worker.receive() == b""
    single.worker.close(single.pump, single.worker.messages)
    single.worker.close(single.pump, single.worker.messages)
    assert single.worker.receive() is None
    single.worker.send(single.pump)  # there is nobody any more


def test_prints_are_lines_of_the_one_run(single: Bench) -> None:
    assert single.lines(b"one\ntw") == [("e0", "one")]
    assert single.lines(b"o\nlast") == [("e0", "two")]
    assert single.lines(b"") == [("e0", "last")]


def test_a_line_that_goes_on_is_cut(single: Bench) -> None:
    (line,) = single.lines(b"x" * (LONGEST_PRINT * 2))
    assert len(line[1]) <= LONGEST_PRINT + 100
    assert single.lines(b"") == []


def test_prints_of_a_reused_process_belong_to_the_run_before_whose_mark_they_do_not_stand(reused: Bench) -> None:
    data = f"before\n{MARK}e0\nfirst\nopen{MARK}e1\nsecond\n".encode()
    whole = reused.lines(data)
    assert whole == [("e0", "first"), ("e0", "open"), ("e1", "second")]


def test_a_mark_in_pieces_is_a_mark(reused: Bench) -> None:
    data = f"{MARK}e0\nfirst\nopen{MARK}e1\nsecond\n".encode()
    pieces = [line for n in range(len(data)) for line in reused.lines(data[n : n + 1])]
    assert pieces == [("e0", "first"), ("e0", "open"), ("e1", "second")]


def test_what_follows_the_mark_of_an_unknown_run_belongs_to_nobody(reused: Bench) -> None:
    assert reused.lines(f"{MARK}e0\na\n{MARK}e9\nb\n".encode()) == [("e0", "a")]


def test_a_nul_that_begins_no_mark_is_printed(reused: Bench) -> None:
    printed = reused.lines(f"{MARK}e0\na\0b\n".encode()) + reused.lines(b"x" * 200 + b"\n")
    assert [run for run, _ in printed] == ["e0", "e0"]


def test_a_full_log_says_so_once() -> None:
    budget = LogBudget(100)
    line = LogLine(1.0, "INFO", "x" * 30)
    assert budget.admit([line]) == [line]
    admitted = budget.admit([line, line])
    assert [entry.level for entry in admitted] == ["INFO", "WARNING"]
    assert admitted[1].message.startswith("The log is full (100 bytes")
    assert budget.admit([line]) == []
