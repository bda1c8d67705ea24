"""The ticks that carry out what ends and events owe."""

from __future__ import annotations

import threading
from typing import Any

from app.node.ticks import Ticks
from app.outbox.carrier import Carrier

POLL_SECONDS = 2.0  # for what other nodes left; what this node owes is carried out at once


class Carrying:
    """One tick for each carrier, so that a slow one (a mail server) keeps no other waiting."""

    def __init__(self, carrier: Carrier[Any], ticks: Ticks) -> None:
        self._carrier, self._ticks = carrier, ticks
        self._owed, self._stopping = threading.Event(), threading.Event()
        self._name = f"outbox.{carrier.name}"

    def start(self) -> None:
        """Begin to carry out."""
        self._ticks.every(self._name, POLL_SECONDS, self.tick)

    def stop(self) -> None:
        """Begin no further item. What is at work ends; the rest is owed on, to any node."""
        self._stopping.set()

    def now(self) -> None:
        """Something is owed: carry it out at once."""
        self._owed.set()
        self._ticks.hurry(self._name)

    def tick(self) -> None:
        """Carry out all that is owed by now, and what comes to be owed meanwhile: a tick that runs is not started beside itself."""
        self._owed.set()
        while self._owed.is_set() and not self._stopping.is_set():
            self._owed.clear()
            self._carrier.tick(stopped=self._stopping.is_set)
