"""Tells whoever listens, in this process, that something has happened."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Signal:
    """Made before those that send it and those that listen to it, and given to both."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], object]] = []

    def connect(self, listener: Callable[[], object]) -> None:
        """Call `listener` each time the signal is sent, in the sender's thread: it must return at once and raise nothing."""
        self._listeners.append(listener)

    def send(self) -> None:
        """Call all listeners."""
        for listener in self._listeners:
            listener()


class Leaving:
    """Says that the process stops, from the beginning of its drain on."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def begin(self) -> None:
        """The process stops."""
        self._event.set()

    def has_begun(self) -> bool:
        """Returns whether the process stops."""
        return self._event.is_set()
