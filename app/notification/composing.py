"""What a message about one alert has besides its built-in words: excerpts of the log, and the texts of its rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from app import instants
from app.notification.announcing import Announcement, SubjectKind
from app.notification.excerpts import Excerpts, Extract, shown
from app.notification.message import LONGEST_TEXT, Link, Message, MessageKind, cut
from app.notification.rules.expressions import event_of
from app.notification.rules.rule import AlertRule, JobFacts
from app.notification.rules.texts import Fault, Texts, Written, written
from app.notification.texts import InWords
from app.queue.execution import Execution
from app.validation.terminal import one_line, plain
from templates_lib.messages import Said, say

LONGEST_TITLE = 200  # characters of a title that is sent
LONGEST_RESULT = 1_000  # characters of the message of a result
Complete: TypeAlias = Callable[[Message, Announcement], Message]


def as_it_is(message: Message, announcement: Announcement) -> Message:  # noqa: ARG001 - the signature of Complete
    """Leaves a message with its built-in words."""
    return message


class Composer:
    """Completes messages. `rule_of` and `find` return a rule and an execution, or None if it is not kept any more; `note_fault` notes at a
    rule that its texts could not be used. `public_url` is that of this installation, or empty."""

    def __init__(
        self,
        *,
        rule_of: Callable[[str], AlertRule | None],
        find: Callable[[str], Execution | None],
        excerpts: Excerpts,
        in_words: InWords,
        note_fault: Callable[[AlertRule, Fault, datetime], None],
        public_url: str,
    ) -> None:
        self._rule_of, self._find, self._excerpts, self._in_words = rule_of, find, excerpts, in_words
        self._note_fault, self._public_url = note_fault, public_url.rstrip("/")

    def complete(self, message: Message, announcement: Announcement) -> Message:
        """Returns the message about one announcement with all that belongs to it. Where a text of the rule cannot be used, the built-in
        words stay, and the message says so."""
        rule = self._rule_of(announcement.rule_id)
        completed, result = self.composed(message, announcement, None if rule is None else rule.texts)
        if rule is not None and result.fault is not None:
            self._note_fault(rule, result.fault, announcement.at)
        return completed

    def composed(self, message: Message, announcement: Announcement, texts: Texts | None) -> tuple[Message, Written]:
        """Returns the message with these texts, and what became of them. Nothing is noted."""
        execution = self._find(announcement.execution_id) if announcement.execution_id else None
        message = self._with_link(message, announcement)
        extract = Extract() if execution is None else self._excerpts.extract(execution)
        if texts is None or not _are_meant(announcement):
            return replace(message, excerpts=shown(extract, message.language, self._in_words)), Written()
        result = written(texts, self._values(message, announcement, execution, extract))
        excerpts = () if texts.shows_log and result.text is not None else shown(extract, message.language, self._in_words)
        return self._with_texts(replace(message, excerpts=excerpts), announcement, result), result

    def _with_link(self, message: Message, announcement: Announcement) -> Message:
        """Returns the message with a link to the execution that it is about."""
        if not announcement.execution_id or not self._public_url or any(link.url == self._link(announcement) for link in message.links):
            return message
        words = self._in_words(say("Show the execution"), message.language)
        return replace(message, links=(Link(words=words, url=self._link(announcement)), *message.links))

    def _with_texts(self, message: Message, announcement: Announcement, result: Written) -> Message:
        title, text = message.title, message.text
        if result.title is not None and (own := cut(one_line(result.title), LONGEST_TITLE)):
            title = own if message.title in own else self._marked(own, announcement, message.language)
        if result.text is not None and (own := plain(result.text).strip()):
            text = cut(own, LONGEST_TEXT)
        if result.fault is not None:
            line = self._in_words(fault_words(result.fault), message.language)
            text = f"{cut(text, LONGEST_TEXT - len(line) - 2)}\n\n{line}"
        return replace(message, title=title, text=text)

    def _values(self, message: Message, announcement: Announcement, execution: Execution | None, extract: Extract) -> Mapping[str, Any]:
        """Returns the values of NAMES, as far as there are any."""
        subject, event, language = announcement.subject, announcement.event, message.language
        values = {
            "log.error": extract.error,
            "log.lines": "\n".join(extract.lines),
            "rule": one_line(announcement.rule),
            "severity": announcement.severity.value,
            "kind": announcement.kind.value,
            "subject": one_line(subject.name),
            "count": event.get("count"),
            "since": instants.parse(event["since"]) if event.get("since") else None,
            "title": message.title,
            "why": self._in_words(announcement.text[0], language) if announcement.text else "",
            "link": self._link(announcement),
            "now": announcement.at,
        }
        if subject.kind is SubjectKind.JOB:
            values |= _of_job(announcement, execution)
        return values

    def _marked(self, title: str, announcement: Announcement, language: str) -> str:
        """Returns a title that says of a reminder and of an escalation what it is."""
        if announcement.event.get("escalated"):
            return self._in_words(say("Nobody has acknowledged: {title}", title=title), language)
        return self._in_words(say("Reminder: {title}", title=title), language) if announcement.kind is MessageKind.REMINDER else title

    def _link(self, announcement: Announcement) -> str:
        if not self._public_url:
            return ""
        if announcement.execution_id:
            return f"{self._public_url}/executions/{announcement.execution_id}"
        return f"{self._public_url}/incidents/{announcement.incident_id}"


def fault_words(fault: Fault) -> Said:
    """Returns the line by which a message says that a text of its rule could not be used."""
    if fault.field == "title":
        return say("The title that the alert rule defines could not be used: {error}.", error=fault.error)
    return say("The text that the alert rule defines could not be used: {error}.", error=fault.error)


def _are_meant(announcement: Announcement) -> bool:
    """Returns whether a message has the texts of its rule: not that of a recovery, nor the one which says that an incident changes back and
    forth."""
    return announcement.kind is not MessageKind.RECOVERY and not announcement.event.get("flapping")


def _of_job(announcement: Announcement, execution: Execution | None) -> dict[str, Any]:
    subject, labels = announcement.subject, announcement.labels
    tags = frozenset(filter(None, labels.get("tags", "").split(",")))
    job = JobFacts(id=subject.id, name=one_line(subject.name), group=subject.group, template=labels.get("template", ""), tags=tags)
    if execution is None:
        return {"job.id": job.id, "job.name": job.name, "job.group": job.group, "job.template": job.template, "job.tags": sorted(tags)}
    values: dict[str, Any] = {
        f"{part}.{name}": value for part, members in event_of(job, execution).items() for name, value in members.items()
    }
    result = execution.result or {}
    return {
        **values,
        "execution.scheduled_for": execution.scheduled_for,
        "execution.started_at": execution.started_at,
        "execution.ended_at": execution.completed_at,
        "execution.duration_seconds": None if execution.duration_seconds is None else round(execution.duration_seconds, 1),
        "execution.message": str(result.get("message") or "")[:LONGEST_RESULT],
    }
