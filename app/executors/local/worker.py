"""One job process as the executor sees it: its two descriptors, the runs that it was given, and what it said of them."""

from __future__ import annotations

import json
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.executors.base import LogLine, Run
from app.executors.local.parents import Parent
from app.queue.model import Attempt
from templates_lib.bodies import printed_text

READ_BYTES = 262_144
LONGEST_PRINT = 8_000  # characters of one printed line


@dataclass(slots=True)
class Running:
    """A run that was given to a process. `began` (monotonic seconds) is None until the process says that it has begun."""

    run: Run
    began: float | None = None
    last: Mapping[str, Any] | None = None
    kept_bytes: int = 0
    why: str | None = None
    kill_at: float | None = None
    begun: bool = False  # its process said so
    late: bool = False  # its process said that it was too late to begin it

    @property
    def attempt(self) -> Attempt:
        return self.run.attempt


@dataclass(slots=True, eq=False)
class Worker:
    """A process of one attempt, or a reused one that works through several in their order; the first of `runs` is the current one."""

    id: str
    parent: Parent
    reused: bool
    files: Path
    messages: socket.socket
    prints: int
    mark: str = ""
    runs: deque[Running] = field(default_factory=deque)
    unsent: bytearray = field(default_factory=bytearray)
    unread: bytearray = field(default_factory=bytearray)
    unprinted: bytearray = field(default_factory=bytearray)
    ended: dict[str, Any] | None = None  # what the zygote said of its end
    closing: bool = False  # no further run: it ends after what it has
    idle_since: float = field(default_factory=time.monotonic)
    open_ends: list[socket.socket | int] = field(default_factory=list)
    printing: Running | None = None  # whose prints come now

    @property
    def current(self) -> Running | None:
        return self.runs[0] if self.runs else None

    def open(self, selector: selectors.BaseSelector, on_message: Callable[[], None], on_print: Callable[[], None]) -> None:
        """Have `selector` watch both descriptors."""
        for end in (self.messages.fileno(), self.prints):
            os.set_blocking(end, False)
        self.open_ends = [self.messages, self.prints]
        selector.register(self.messages, selectors.EVENT_READ, on_message)
        selector.register(self.prints, selectors.EVENT_READ, on_print)

    def line_up(self, message: Mapping[str, Any]) -> None:
        """A line for the next `send`."""
        self.unsent += json.dumps(message, default=str).encode() + b"\n"

    def send(self, selector: selectors.BaseSelector) -> None:
        """Send what is lined up, as far as the socket takes it; a large line goes on whenever some of it was read."""
        if self.messages not in self.open_ends:
            return
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self.unsent:
                del self.unsent[: self.messages.send(self.unsent)]
        key = selector.get_key(self.messages)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
        if key.events != events:
            selector.modify(self.messages, events, key.data)

    def receive(self) -> bytes | None:
        """What it sent; empty at the end, None where nothing is there."""
        if self.messages not in self.open_ends:
            return None  # closed by what was handled just before, in the same round
        try:
            return self.messages.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def printed(self) -> bytes | None:
        """What it printed; empty at the end, None where nothing is there."""
        if self.prints not in self.open_ends:
            return None  # as above
        try:
            return os.read(self.prints, READ_BYTES)
        except BlockingIOError:
            return None

    def print_lines(self, data: bytes) -> list[tuple[Running, list[LogLine]]]:
        """Whole lines of what was printed so far, with the run that printed them. The rest waits for its end, which no data is."""
        self.unprinted += data
        found: list[tuple[Running, list[LogLine]]] = []
        mark = self.mark.encode()
        while mark and (place := self.unprinted.find(mark)) >= 0:
            end = self.unprinted.find(b"\n", place)
            if end < 0:
                break  # the rest of the mark is still to come
            self._take(self.unprinted[:place], found, whole=True)
            name = self.unprinted[place + len(mark) : end].decode("ascii", errors="replace")
            self.printing = next((one for one in self.runs if one.attempt.execution_id == name), None)
            del self.unprinted[: end + 1]
        begun = self.unprinted.rfind(b"\0") if mark and data else -1
        if begun >= 0 and len(self.unprinted) - begun < len(mark) + 64:  # it may be the beginning of a mark
            self.unprinted[:begun] = self._take(self.unprinted[:begun], found, whole=False)
        else:
            self.unprinted = self._take(self.unprinted, found, whole=not data)
        return found

    def _take(self, text: bytearray, found: list[tuple[Running, list[LogLine]]], *, whole: bool) -> bytearray:
        """Add the lines of `text` to `found`; returns the last one where it has no end yet and may go on."""
        *lines, rest = text.split(b"\n")
        if rest and (whole or len(rest) > LONGEST_PRINT):
            lines, rest = [*lines, rest], bytearray()
        running = self.printing if self.reused else self.current
        if lines and running is not None:
            now = time.time()
            found.append((running, [LogLine(now, "INFO", printed_text(bytes(raw), LONGEST_PRINT)) for raw in lines]))
        return bytearray(rest)

    def drop(self, selector: selectors.BaseSelector, end: socket.socket | int) -> None:
        """Close one end, once: a descriptor's number may belong to another process a moment later."""
        if end not in self.open_ends:
            return
        self.open_ends.remove(end)
        selector.unregister(end)
        if isinstance(end, int):
            os.close(end)
        else:
            end.close()
