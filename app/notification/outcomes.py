"""Writes the deliveries about the ends of executions: one for each channel that a job names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from app.clock import Clock
from app.jobs.model import Notifications
from app.notification.channel_store import ChannelStore
from app.notification.delivery import Delivery, DeliveryStatus, delivery_id
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.excerpts import Excerpts
from app.notification.targets import Target, targets_of
from app.notification.texts import InWords, about_end
from app.queue.execution import Execution
from app.queue.model import FAILURES, Status
from app.queue.owing import End, EndHandler
from app.signals import Signal

ALARMS = FAILURES | {Status.MISSED}
TOLD = ALARMS | {Status.SUCCESS}  # the ends that people can be notified of: not that a run was cancelled or skipped


def recipients_of(notifications: Notifications, status: str) -> tuple[str, ...]:
    """Returns the recipients of a job for an execution that ended as `status`."""
    if status == Status.SUCCESS:
        return notifications.on_success
    return notifications.on_failure if status in ALARMS else ()


class Notifier(Protocol):
    """Notifies people of the end of an execution."""

    def notify(self, execution: Execution) -> None:
        """Writes the deliveries about the end of an execution. The same call may come again."""


class TellOutcome(EndHandler):
    """Notifies the recipients of a job. It only writes deliveries, which a sender sends."""

    name = "notify"
    statuses = TOLD

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    @classmethod
    def wants(cls, end: End) -> bool:
        return bool(recipients_of(end.notifications, end.status))

    def carry_out(self, record: Execution) -> None:
        self._notifier.notify(record)


class OutcomeNotifier:
    """Writes one delivery for the mail addresses of a job, and one for each channel. `written` is sent when there is something to send."""

    def __init__(
        self,
        *,
        channels: ChannelStore,
        deliveries: NotificationDeliveryStore,
        clock: Clock,
        written: Signal,
        in_words: InWords,
        excerpts: Excerpts,
        public_url: str,
    ) -> None:
        self._channels, self._deliveries, self._clock, self._written = channels, deliveries, clock, written
        self._in_words, self._excerpts, self._public_url = in_words, excerpts, public_url

    def notify(self, execution: Execution) -> None:
        self._deliveries.add(list(self._deliveries_of(execution)))
        self._written.send()

    def _deliveries_of(self, execution: Execution) -> Iterator[Delivery]:
        for target in targets_of(self._channels, recipients_of(execution.notifications, execution.status)):
            yield self._delivery(execution, target)

    def _delivery(self, execution: Execution, target: Target) -> Delivery:
        new_id, now = delivery_id(execution.id, target.channel_id, target.recipients, "end"), self._clock.now()
        message = about_end(
            execution,
            key=new_id,
            language=target.language,
            public_url=self._public_url,
            in_words=self._in_words,
            at=execution.completed_at or now,
            excerpts=self._excerpts.of(execution, target.language, self._in_words),
        )
        return Delivery(
            id=new_id,
            channel_id=target.channel_id,
            channel=target.channel,
            type=target.type,
            recipients=target.recipients,
            execution_id=execution.id,
            job_id=execution.job_id,
            job_name=execution.job_name,
            message=message,
            status=DeliveryStatus.WAITING,
            created_at=now,
            due_at=now,
        )
