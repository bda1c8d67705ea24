"""Threads that do one thing again and again beside the scheduler's ticks."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import ClassVar

from app.node.guard import guarded


class Loop(ABC):
    """A thread that calls `turn` every `pause_seconds`, the first time after that pause or, with `starts_at_once`, without one. An error in
    a turn is logged, and the next turn comes all the same.

    At a stop the thread is waited for up to `close_seconds`; one that a hanging server holds ends with the process.
    """

    name: ClassVar[str]
    pause_seconds: ClassVar[float]
    starts_at_once: ClassVar[bool] = False
    close_seconds: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @abstractmethod
    def turn(self) -> None:
        """Do it once."""

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(self.close_seconds)

    @property
    def is_closing(self) -> bool:
        return self._closing.is_set()

    def _run(self) -> None:
        if self.starts_at_once:
            guarded(self.name, self.turn)
        while not self._closing.wait(self.pause_seconds):
            guarded(self.name, self.turn)
