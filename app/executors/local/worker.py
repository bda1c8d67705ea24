"""One job process as the executor sees it: its socket, its output pipe, and the runs that it was given."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.executors.base import LogLine, Run
from app.executors.local.pump import Pump, Work
from app.executors.outcomes import ProcessEnd
from app.executors.reports import LogBudget
from app.queue.model import Attempt
from app.sandbox.handles import ZygoteHandle
from app.sandbox.protocol import End, Message, ProtocolError, StopReason, decode, encode
from templates_lib.bodies import printed_text

READ_BYTES = 262_144
LONGEST_PRINT = 8_000  # characters of one printed line
MARK_BYTES = 64  # a mark is followed by an execution id and the end of the line, which are shorter than this


@dataclass(slots=True, eq=False)
class Assignment:
    """A run that was given to a process. Times are seconds of time.monotonic."""

    run: Run
    log_budget: LogBudget
    began: float | None = None  # None in a reused process until that has begun it
    begun: bool = False  # its process has reported that it begins
    too_late: bool = False  # its process has reported that it may not begin any more
    end: End | None = None  # the last message about it
    reason: StopReason | None = None  # why the executor stopped it

    @property
    def attempt(self) -> Attempt:
        return self.run.attempt


@dataclass(slots=True, eq=False)
class Worker:
    """A process for one attempt, or a reused one that runs several in their order. The first of `runs` is the current one."""

    id: str
    zygote: ZygoteHandle
    reused: bool
    files: Path  # its own folder
    messages: socket.socket
    prints: int  # the descriptor of its output pipe
    mark: str = ""  # a reused process prints it, an execution id and the end of the line before each attempt
    runs: deque[Assignment] = field(default_factory=deque)
    end: ProcessEnd | None = None  # once its zygote has reported its end, or has died
    zygote_died: bool = False
    closing: bool = False  # it takes no further run, and ends after those that it has
    idle_since: float = field(default_factory=time.monotonic)
    open_ends: list[socket.socket | int] = field(default_factory=list)
    printing: Assignment | None = None  # the run that what is printed now belongs to
    _unsent: bytearray = field(default_factory=bytearray)
    _unread: bytearray = field(default_factory=bytearray)
    _unprinted: bytearray = field(default_factory=bytearray)

    @property
    def load(self) -> str:
        """The class of its template."""
        return self.zygote.load

    @property
    def current(self) -> Assignment | None:
        return self.runs[0] if self.runs else None

    def find(self, execution_id: object) -> Assignment | None:
        """Returns the run of an execution; None if the process does not have it."""
        return next((assignment for assignment in self.runs if assignment.attempt.execution_id == execution_id), None)

    # -- its socket and its pipe ---------------------------------------------------------------------------------------

    def open(self, pump: Pump, *, on_message: Work, on_print: Work) -> None:
        """Has both ends watched."""
        for end in (self.messages.fileno(), self.prints):
            os.set_blocking(end, False)
        self.open_ends = [self.messages, self.prints]
        pump.watch(self.messages, on_message)
        pump.watch(self.prints, on_print)

    def close(self, pump: Pump, end: socket.socket | int) -> None:
        """Closes one end, once: the number of a closed descriptor may belong to another process a moment later."""
        if end not in self.open_ends:
            return
        self.open_ends.remove(end)
        pump.unwatch(end)
        if isinstance(end, int):
            os.close(end)
        else:
            end.close()

    def queue_message(self, message: Message) -> None:
        """Adds a message to what the next `send` sends."""
        self._unsent += encode(message) + b"\n"

    def send(self, pump: Pump) -> None:
        """Sends what is queued as far as the socket takes it. The rest is sent when the process has read some of it."""
        if self.messages not in self.open_ends:
            return
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self._unsent:
                del self._unsent[: self.messages.send(self._unsent)]
        pump.watch_writing(self.messages, on=bool(self._unsent))

    def has_unsent(self) -> bool:
        """Returns whether messages are queued that the socket did not take."""
        return bool(self._unsent)

    def receive(self) -> bytes | None:
        """Returns what it sent: nothing at the end, None if there is nothing now."""
        if self.messages not in self.open_ends:
            return None  # closed by what was handled before it in the same round
        try:
            return self.messages.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def receive_prints(self) -> bytes | None:
        """Returns what it printed: nothing at the end, None if there is nothing now."""
        if self.prints not in self.open_ends:
            return None  # as above
        try:
            return os.read(self.prints, READ_BYTES)
        except BlockingIOError:
            return None

    # -- what they carry -----------------------------------------------------------------------------------------------

    def read_messages(self, data: bytes, most_bytes: int) -> list[Message | None] | None:
        """Returns the messages that `data` completes, None for each line that is none.

        Returns None for a message that is longer than `most_bytes` and has not ended: what there is of it is dropped.
        """
        self._unread += data
        if len(self._unread) > most_bytes and b"\n" not in data:
            self._unread.clear()
            return None
        *lines, rest = self._unread.split(b"\n")
        self._unread = bytearray(rest)
        return [_decoded(line) for line in lines]

    def print_lines(self, data: bytes) -> list[tuple[Assignment, list[LogLine]]]:
        """Returns the whole lines of what was printed so far, with the run that printed them. No `data` means that nothing follows."""
        self._unprinted += data
        printed: list[tuple[Assignment, list[LogLine]]] = []
        mark = self.mark.encode()
        while mark and (start := self._unprinted.find(mark)) >= 0:
            end = self._unprinted.find(b"\n", start)
            if end < 0:
                break  # the rest of the mark is still to come
            self._take_lines(self._unprinted[:start], printed, whole=True)
            self.printing = self.find(self._unprinted[start + len(mark) : end].decode("ascii", errors="replace"))
            del self._unprinted[: end + 1]
        nul = self._unprinted.rfind(b"\0") if mark and data else -1
        if nul >= 0 and len(self._unprinted) - nul < len(mark) + MARK_BYTES:  # it may be the beginning of a mark
            self._unprinted[:nul] = self._take_lines(self._unprinted[:nul], printed, whole=False)
        else:
            self._unprinted = self._take_lines(self._unprinted, printed, whole=not data)
        return printed

    def _take_lines(self, text: bytearray, printed: list[tuple[Assignment, list[LogLine]]], *, whole: bool) -> bytearray:
        """Adds the lines of `text` to `printed`. Returns the last one if it may go on: it has no end, and `text` is not `whole`."""
        *lines, rest = text.split(b"\n")
        if rest and (whole or len(rest) > LONGEST_PRINT):
            lines, rest = [*lines, rest], bytearray()
        assignment = self.printing if self.reused else self.current
        if lines and assignment is not None:
            now = time.time()
            printed.append((assignment, [LogLine(now, "INFO", printed_text(bytes(line), LONGEST_PRINT)) for line in lines]))
        return bytearray(rest)


def _decoded(line: bytes | bytearray) -> Message | None:
    try:
        return decode(line)
    except ProtocolError:
        return None
