"""The tick that sends notifications."""

from __future__ import annotations

from datetime import timedelta

from app.node.ticks import Ticks
from app.notification.sending import Sender

POLL_SECONDS = 1.0  # for what other nodes have written and what is due again; what this node writes is sent at once
NAME = "notifications"


class Delivering:
    """Has the sender look for what is due."""

    def __init__(self, sender: Sender, ticks: Ticks, *, keep_days: int) -> None:
        self._sender, self._ticks, self._keep = sender, ticks, timedelta(days=keep_days)

    def start(self) -> None:
        """Begins to send."""
        self._ticks.every(NAME, POLL_SECONDS, self._sender.tick)

    def now(self) -> None:
        """Something is to be sent: looks at once."""
        self._ticks.hurry(NAME)

    def stop(self) -> None:
        """Begins no further try. What is being sent ends; the rest waits for any node."""
        self._sender.stop()

    def forget(self) -> None:
        """Removes old deliveries, if they are not kept forever."""
        if self._keep:
            self._sender.forget(self._keep)
