"""What jobs tell by themselves: the end of an execution, to whom the job names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from app.clock import Clock
from app.execution.end_store import EndStore
from app.jobs.model import Notifications
from app.notification.announcing import AlertSeverity, Announcement, Announcer, Subject, SubjectKind
from app.notification.composing import Complete
from app.notification.excerpts import Excerpts
from app.notification.message import LONGEST_TEXT, Fact, Link, Message, MessageKind, cut
from app.notification.texts import LONGEST_VALUE, InWords, about_end, event_of_end, facts_of_end, parts_of_end, title_of
from app.queue.execution import Execution
from app.queue.model import FAILURES, Status
from app.queue.owing import End, EndHandler
from app.validation.terminal import one_line
from templates_lib.messages import say

ALARMS = FAILURES | {Status.MISSED}
TOLD = ALARMS | {Status.SUCCESS}  # the ends that people can be notified of: not that a run was cancelled or skipped
LOOKED_AT = 20  # ends of a job, the latest ones, of which one says whether it still fails
_OF_JOB = "ends:"  # what the failures of one job have instead of an incident


def recipients_of(notifications: Notifications, status: str) -> tuple[str, ...]:
    """Returns the recipients of a job for an execution that ended as `status`."""
    if status == Status.SUCCESS:
        return notifications.on_success
    return notifications.on_failure if status in ALARMS else ()


def key_of_end(execution_id: str) -> str:
    """Returns the key of the announcement of an end."""
    return f"{execution_id}:end"


class Notifier(Protocol):
    """Notifies people of the end of an execution."""

    def notify(self, execution: Execution) -> None:
        """Has people told of the end of an execution. The same call may come again."""


class TellOutcome(EndHandler):
    """Notifies the recipients of a job. It only writes what is to be sent, which a sender sends."""

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
    """Announces ends. `labels` returns by what announcements about a job can be grouped."""

    def __init__(self, *, announcer: Announcer, labels: Callable[[str], Mapping[str, str]], clock: Clock, public_url: str) -> None:
        self._announcer, self._labels, self._clock, self._public_url = announcer, labels, clock, public_url

    def notify(self, execution: Execution) -> None:
        self._announcer.announce([self._announcement(execution)])

    def _announcement(self, execution: Execution) -> Announcement:
        good, name = execution.status == Status.SUCCESS, one_line(execution.job_name)
        labels = dict(self._labels(execution.job_id))
        if execution.error is not None:
            labels["error"] = execution.error.type
        url = f"{self._public_url.rstrip('/')}/executions/{execution.id}" if self._public_url else ""
        return Announcement(
            key=key_of_end(execution.id),
            incident_id=f"{_OF_JOB}{execution.job_id}",
            rule_id="",
            rule="",
            subject=Subject(kind=SubjectKind.JOB, id=execution.job_id, name=execution.job_name, group=execution.group or ""),
            kind=MessageKind.NOTICE if good else MessageKind.FIRING,
            severity=AlertSeverity.INFO if good else AlertSeverity.WARNING,
            title=title_of(execution.status, name),
            at=execution.completed_at or self._clock.now(),
            to=recipients_of(execution.notifications, execution.status),
            text=tuple(cut(part, LONGEST_TEXT) for part in parts_of_end(execution)),
            facts=tuple(Fact(label=label, value=value[:LONGEST_VALUE]) for label, value in facts_of_end(execution)),
            links=(Link(words=say("Show the execution"), url=url),) if url else (),
            labels=labels,
            event=event_of_end(execution),
            execution_id=execution.id,
        )


class StillFailing:
    """Says which jobs still fail that have told so by themselves."""

    def __init__(self, ends: EndStore) -> None:
        self._ends = ends

    def among(self, incidents: Iterable[str]) -> Collection[str]:
        """Returns those of the ids that stand for a job whose last end was no success."""
        return [item for item in incidents if item.startswith(_OF_JOB) and self._fails(item.removeprefix(_OF_JOB))]

    def _fails(self, job_id: str) -> bool:
        told = (run.status for run in self._ends.latest(job_id, LOOKED_AT) if run.status in TOLD)
        return next(told, "") != Status.SUCCESS


class EndTexts:
    """Writes messages about one end. `others` completes those about alerts of rules."""

    def __init__(
        self, *, find: Callable[[str], Execution | None], excerpts: Excerpts, in_words: InWords, public_url: str, others: Complete
    ) -> None:
        self._find, self._excerpts, self._in_words, self._public_url, self._others = find, excerpts, in_words, public_url, others

    def complete(self, message: Message, announcement: Announcement) -> Message:
        """Returns the message about an end with the end of its log, as long as the execution is kept."""
        if not announcement.is_own:
            return self._others(message, announcement)
        execution = self._find(announcement.execution_id or "")
        if execution is None:
            return message
        return about_end(
            execution,
            key=message.key,
            language=message.language,
            public_url=self._public_url,
            in_words=self._in_words,
            at=announcement.at,
            excerpts=self._excerpts.of(execution, message.language, self._in_words),
        )
