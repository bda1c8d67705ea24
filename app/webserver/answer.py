"""One answer on its way: written by the thread that runs the application, taken by the loop that sends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.webserver.spool import Spool


class ClientGone(Exception):
    """Nobody takes this answer any more."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status and header lines of an answer."""

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]


class Answer:
    """The thread never waits for a slow client before `most` bytes are kept; `wake` is called, in any thread, when there is news."""

    def __init__(self, wake: Callable[[], None], *, most: int) -> None:
        self._wake, self._most, self._spool = wake, most, Spool()
        self._room = threading.Condition()
        self._told = self._gone = False
        self.head: Head | None = None
        self.ended = self.broken = False

    # -- the application's thread ---------------------------------------------------------------------------------

    def begin(self, head: Head) -> None:
        """The head goes out with the first bytes, or with the end."""
        self.head = head

    def write(self, data: bytes) -> None:
        """Raises ClientGone."""
        with self._room:
            self._room.wait_for(lambda: self._gone or self._spool.length < self._most)
            if self._gone:
                raise ClientGone
            self._spool.put(data)
        self._tell()

    def end(self) -> None:
        """All of it has been written."""
        self.ended = True
        self._tell()

    def fail(self) -> None:
        """It ends in the middle: the client must not take it for whole."""
        self.broken = True
        self._tell()

    # -- the loop -------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """From now on news are told again."""
        with self._room:
            self._told = False

    def begun_head(self) -> Head:
        """The head, once there are bytes or an end."""
        if self.head is None:
            raise RuntimeError("the answer has not begun")
        return self.head

    def take(self, most: int) -> bytes:
        """The next bytes, at most so many."""
        with self._room:
            data = b"" if self._gone else self._spool.take(most)
            self._room.notify_all()
        return data

    @property
    def waiting(self) -> int:
        """How many bytes wait for the client."""
        with self._room:
            return len(self._spool)

    def abandon(self) -> None:
        """The client has left, or has everything."""
        with self._room:
            self._gone = True
            self._spool.close()
            self._room.notify_all()

    def _tell(self) -> None:
        with self._room:
            known, self._told = self._told, True
        if not known:
            self._wake()
