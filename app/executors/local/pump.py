"""The thread of the local executor: it waits for messages of all processes at once, and does all that concerns them."""

from __future__ import annotations

import queue
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from app.events import get_logger

log = get_logger(__name__)

FileObject: TypeAlias = socket.socket | int
Work: TypeAlias = Callable[[], object]


class Pump:
    """One thread that calls what was registered for a socket or pipe when there is something to read, and what other threads post.

    Its methods but `post`, `start` and `close` are for that thread, or for the time before its start.
    """

    def __init__(self, *, wait_seconds: Callable[[], float | None], on_turn: Work, on_close: Work) -> None:
        """`on_turn` is called after each round. `wait_seconds` says how long a round waits at most; None: until there is something.

        `on_close` is called by the thread at its end.
        """
        self._wait_seconds, self._on_turn, self._on_close = wait_seconds, on_turn, on_close
        self._inbox: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._loop, name="local-executor", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._take_inbox)
        self._thread.start()

    def post(self, work: Work) -> None:
        """Has the thread do `work` next, after what was posted before."""
        self._inbox.put(work)
        with suppress(OSError):
            self._wake_write.send(b"\0")

    def close(self) -> None:
        """Ends the thread and waits for it."""
        if self._thread.is_alive():
            self.post(self._end)
            self._thread.join()
        for end in (self._wake_read, self._wake_write):
            end.close()
        self._selector.close()

    def watch(self, file: FileObject, on_ready: Work) -> None:
        """Calls `on_ready` whenever `file` has something to read."""
        self._selector.register(file, selectors.EVENT_READ, on_ready)

    def watch_writing(self, file: FileObject, *, on: bool) -> None:
        """Calls the `on_ready` of a watched file also when it can be written to, or no longer."""
        key = self._selector.get_key(file)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if on else 0)
        if key.events != events:
            self._selector.modify(file, events, key.data)

    def unwatch(self, file: FileObject) -> None:
        """Forgets a watched file."""
        self._selector.unregister(file)

    def _loop(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select(self._wait_seconds()):
                self._do(key.data)
                if self._closing.is_set():
                    break
            else:
                self._do(self._on_turn)
        self._do(self._on_close)

    def _take_inbox(self) -> None:
        with suppress(BlockingIOError):
            self._wake_read.recv(4096)
        while not self._closing.is_set():
            try:
                work = self._inbox.get_nowait()
            except queue.Empty:
                return
            self._do(work)

    def _end(self) -> None:
        self._closing.set()

    @staticmethod
    def _do(work: Callable[[], Any]) -> None:
        """Does `work`. An error in the handling of one attempt does not end the thread that all others need; its deadline still holds."""
        try:
            work()
        except Exception:
            log.exception("executor.failed")
