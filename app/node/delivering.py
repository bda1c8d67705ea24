"""The ticks that decide about announcements and send notifications."""

from __future__ import annotations

from datetime import timedelta

from app.node.ticks import Ticks
from app.notification.quiet.quieting import Quieting
from app.notification.sending import Sender

POLL_SECONDS = 1.0  # for what other nodes have written and what is due again; what this node writes is sent at once
NAME = "notifications"
ANNOUNCEMENTS = "announcements"


class Delivering:
    """Has the sender and the planner of messages look for what is due."""

    def __init__(self, sender: Sender, quieting: Quieting, ticks: Ticks, *, keep_days: int) -> None:
        self._sender, self._quieting, self._ticks, self._keep = sender, quieting, ticks, timedelta(days=keep_days)

    def start(self) -> None:
        """Begins to decide and to send."""
        self._ticks.every(ANNOUNCEMENTS, POLL_SECONDS, self._quieting.tick)
        self._ticks.every(NAME, POLL_SECONDS, self._sender.tick)

    def now(self) -> None:
        """Something is to be sent: looks at once."""
        self._ticks.hurry(NAME)

    def stop(self) -> None:
        """Begins no further try. What is being sent ends; the rest waits for any node."""
        self._sender.stop()

    def forget(self) -> None:
        """Removes old deliveries and announcements, if they are not kept forever."""
        if self._keep:
            self._sender.forget(self._keep)
            self._quieting.forget(self._keep)
