"""One answer on its way: the thread that runs the application writes it, and the loop sends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.webserver.spool import Spool


class ClientGone(Exception):
    """The client has gone, so the answer is no longer needed."""


@dataclass(frozen=True, slots=True)
class Head:
    """The status and the headers of an answer."""

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]


class Answer:
    """Passes bytes from the thread to the loop. The thread waits for a slow client only when `most` bytes are stored.

    `wake` is called, in any thread, when there is something to send.
    """

    def __init__(self, wake: Callable[[], None], *, most: int) -> None:
        self._wake, self._most, self._spool = wake, most, Spool()
        self._room = threading.Condition()
        self._told = self._gone = False
        self.head: Head | None = None
        self.ended = self.broken = False

    # -- the application's thread ---------------------------------------------------------------------------------

    def begin(self, head: Head) -> None:
        """Sets the head, which is sent with the first bytes, or with the end."""
        self.head = head

    def write(self, data: bytes) -> None:
        """Adds bytes of the body. Raises ClientGone."""
        with self._room:
            self._room.wait_for(lambda: self._gone or self._spool.length < self._most)
            if self._gone:
                raise ClientGone
            self._spool.put(data)
        self._tell()

    def end(self) -> None:
        """Marks the answer as complete."""
        self.ended = True
        self._tell()

    def fail(self) -> None:
        """Marks the answer as broken off, so that the client does not take it for complete."""
        self.broken = True
        self._tell()

    @property
    def is_gone(self) -> bool:
        """True once nobody takes the answer any more."""
        with self._room:
            return self._gone

    # -- the loop -------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Lets `wake` be called again for the next bytes."""
        with self._room:
            self._told = False

    def begun_head(self) -> Head:
        """The head. It is available once there are bytes or an end."""
        if self.head is None:
            raise RuntimeError("the answer has not begun")
        return self.head

    def take(self, most: int) -> bytes:
        """Returns the next bytes, at most so many."""
        with self._room:
            data = b"" if self._gone else self._spool.take(most)
            self._room.notify_all()
        return data

    @property
    def waiting(self) -> int:
        """The number of bytes that wait for the client."""
        with self._room:
            return len(self._spool)

    def abandon(self) -> None:
        """Drops what is stored, after the client has left or has received everything."""
        with self._room:
            self._gone = True
            self._spool.close()
            self._room.notify_all()

    def _tell(self) -> None:
        with self._room:
            known, self._told = self._told, True
        if not known:
            self._wake()
