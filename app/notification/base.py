"""What a notifier promises, and who is to be told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from app.jobs.model import Notifications
from app.queue.execution import Execution
from app.queue.model import FAILURES, Status

# Ends of which somebody may be told. A cancelled or skipped run is nobody's alarm.
ALARMS = FAILURES | {Status.MISSED}
TOLD = ALARMS | {Status.SUCCESS}


class Notifier(ABC):
    """Delivers the outcome of one execution."""

    @abstractmethod
    def send(self, execution: Execution, recipients: Sequence[str]) -> None:
        """Tell `recipients`. Raises any exception where that did not work; the same call is then made again later."""


def recipients_of(notifications: Notifications, status: str) -> tuple[str, ...]:
    """Whom a job's `notifications` name for an execution that ended as `status`."""
    if status == Status.SUCCESS:
        return notifications.on_success
    return notifications.on_failure if status in ALARMS else ()
