"""Tells people how executions ended."""

from __future__ import annotations

from app.notification.base import TOLD, Notifier, recipients_of
from app.queue.execution import Execution
from app.queue.owing import End, EndHandler


class TellOutcome(EndHandler):
    """Has the recipients told whom a job names. What was sent and could not be recorded is sent again, with the same message id."""

    name = "notify"
    statuses = TOLD

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    @classmethod
    def wants(cls, end: End) -> bool:
        return bool(recipients_of(end.notifications, end.status))

    def carry_out(self, record: Execution) -> None:
        self._notifier.send(record, recipients_of(record.notifications, record.status))
