"""The thread that moves the messages of all job processes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from app.executors.local.pump import Pump
from tests.support import eventually


class Bench:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.turns, self.closed = 0, False
        self.pump = Pump(wait_seconds=lambda: 0.05, on_turn=self._turn, on_close=self._close)

    def _turn(self) -> None:
        self.turns += 1

    def _close(self) -> None:
        self.closed = True


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.pump.close()


def test_what_is_posted_is_done_in_order_by_its_thread(bench: Bench) -> None:
    names: set[str] = set()
    bench.pump.start()
    for number in range(100):
        bench.pump.post(lambda number=number: bench.done.append(str(number)))
    bench.pump.post(lambda: names.add(threading.current_thread().name))
    eventually(lambda: names)
    assert bench.done == [str(number) for number in range(100)]
    assert names == {"local-executor"}


def test_what_was_posted_before_the_start_is_done_after_it(bench: Bench) -> None:
    bench.pump.post(lambda: bench.done.append("x"))
    assert bench.done == []
    bench.pump.start()
    eventually(lambda: bench.done == ["x"])


def test_it_reads_what_it_watches_and_forgets_what_it_no_longer_watches(bench: Bench) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bench.pump.watch(ours, lambda: bench.done.append(ours.recv(10).decode()))
        bench.pump.start()
        theirs.sendall(b"a")
        eventually(lambda: bench.done == ["a"])
        bench.pump.post(lambda: bench.pump.unwatch(ours))
        bench.pump.post(lambda: theirs.sendall(b"b"))
        bench.pump.post(lambda: bench.done.append("end"))
        eventually(lambda: bench.done[-1] == "end")
        turns = bench.turns
        eventually(lambda: bench.turns > turns + 2)
        assert bench.done == ["a", "end"]


def test_an_error_ends_neither_the_thread_nor_what_follows(bench: Bench) -> None:
    bench.pump.start()
    bench.pump.post(lambda: 1 / 0)
    bench.pump.post(lambda: bench.done.append("x"))
    eventually(lambda: bench.done == ["x"])


def test_a_round_comes_without_messages_too(bench: Bench) -> None:
    bench.pump.start()
    eventually(lambda: bench.turns > 3)


def test_the_close_does_what_was_posted_before_and_nothing_after(bench: Bench) -> None:
    bench.pump.start()
    bench.pump.post(lambda: bench.done.append("before"))
    bench.pump.close()
    bench.pump.post(lambda: bench.done.append("after"))
    assert (bench.done, bench.closed) == (["before"], True)
    assert "local-executor" not in {thread.name for thread in threading.enumerate()}


def test_one_that_was_never_started_can_be_closed() -> None:
    Bench().pump.close()
