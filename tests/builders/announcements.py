"""Announcements and entries of them, and a memory that does with a plan what the stores do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.notification.announcing import AlertSeverity, Announcement, Subject, SubjectKind
from app.notification.message import MessageKind
from app.notification.quiet.entry import Entry, EntryStatus, entry_id
from app.notification.quiet.grouping import Pace, Root
from app.notification.quiet.plan import RECHECK, Draft, LastMessage, Plan, Situation, group_ids, plan_messages, plan_releases
from app.notification.targets import Target
from templates_lib.messages import say

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
OPS = Target(channel_id="ops", channel="Ops", type="webhook")
PACE = Pace()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def announcement(name: str = "Night", kind: MessageKind = MessageKind.FIRING, *, at: float = 0, **fields: Any) -> Announcement:
    """An announcement about a job, unless `subject` says otherwise. Its incident has the name of the job."""
    made: dict[str, Any] = {
        "key": f"{name} {kind} {at}",
        "incident_id": f"incident of {name}",
        "rule_id": "rule",
        "rule": "Failures",
        "subject": Subject(kind=SubjectKind.JOB, id=f"id of {name}", name=name, group="shop"),
        "severity": AlertSeverity.WARNING,
        "title": say("{job} failed", job=name) if kind is not MessageKind.RECOVERY else say("{job} succeeded", job=name),
        "at": later(at),
        "to": ("channel:Ops",),
        "labels": {"template": "command", "tags": "night,till", "connections": "db"},
    }
    return Announcement(kind=kind, **{**made, **fields})


def cause(name: str = "db", kind: MessageKind = MessageKind.FIRING, *, at: float = 0, **fields: Any) -> Announcement:
    """An announcement about a connection."""
    subject = Subject(kind=SubjectKind.CONNECTION, id=f"id of {name}", name=name)
    title = say("The connection {name} does not answer", name=name)
    return announcement(name, kind, at=at, subject=subject, title=title, rule="Connections", labels={}, **fields)


def root_of(item: Announcement) -> Root:
    return Root.of(item.incident_id, item.subject)


def entry(item: Announcement, target: Target = OPS, *, wait: float = 30, **fields: Any) -> Entry:
    made: dict[str, Any] = {"created_at": item.at, "due_at": item.at + timedelta(seconds=wait)}
    return Entry(id=entry_id(item.key, target.channel_id, target.recipients), announcement=item, target=target, **{**made, **fields})


class Memory:
    """Entries by their ids, and the messages that were made of them. Time is what a test says."""

    def __init__(self, pace: Pace = PACE) -> None:
        self.pace = pace
        self.entries: dict[str, Entry] = {}
        self.messages: list[tuple[datetime, Draft]] = []

    def add(self, *items: Announcement, targets: Sequence[Target] = (OPS,)) -> None:
        for item in items:
            for target in targets:
                made = entry(item, target, wait=self.pace.wait.total_seconds())
                self.entries.setdefault(made.id, made)

    def tick(self, now: datetime, **known: Any) -> list[Draft]:
        """Does what one tick does. Returns the messages."""
        held = [item for item in self.entries.values() if item.status is EntryStatus.HELD and item.due_at and item.due_at <= now]
        self._apply(plan_releases(held, self._situation(now, held, **known), self.pace), now)
        waiting = [item for item in self.entries.values() if item.status is EntryStatus.WAITING]
        due = {item.target_key for item in waiting if item.due_at and item.due_at <= now}
        waiting = [item for item in waiting if item.target_key in due]
        plan = plan_messages(waiting, self._situation(now, waiting, **known), self.pace)
        self._apply(plan, now)
        for draft in plan.drafts:
            self.messages.append((now, draft))
            for item in draft.entries:
                assert self.entries[item.id].status is EntryStatus.WAITING, "an entry is in one message, and is not held meanwhile"
                self.entries[item.id] = replace(item, status=EntryStatus.SENT, due_at=None, batch=str(len(self.messages)))
        return list(plan.drafts)

    def status(self, name: str, kind: MessageKind = MessageKind.FIRING) -> str:
        """How far the entry of an announcement is, and why it is held."""
        (item,) = [item for item in self.entries.values() if (item.announcement.subject.name, item.kind) == (name, kind)]
        held = item.status is EntryStatus.HELD and item.hold
        return f"{item.hold.why}{' for good' if item.hold.final else ''}" if held and item.hold else item.status.value

    def _situation(self, now: datetime, entries: Iterable[Entry], **known: Any) -> Situation:
        sent = [item for item in self.entries.values() if item.status is EntryStatus.SENT]
        groups = group_ids(entries, self.pace)
        over = {item.announcement.incident_id for item in self.entries.values() if item.kind is MessageKind.RECOVERY}
        made: dict[str, Any] = {
            "firing": {item.announcement.incident_id for item in self.entries.values()} - over,
            "told": {item.incident for item in sent if item.is_alarm},
            "last": {
                draft.group.id: LastMessage(batch=str(number), at=at, count=len(draft.entries))
                for number, (at, draft) in enumerate(self.messages)
                if draft.group.id in groups
            },
            "lately": {
                target: sum(1 for at, draft in self.messages if draft.group.target == target and at > now - self.pace.interval)
                for target in {item.target_key for item in self.entries.values()}
            },
        }
        return Situation(now=now, **{**made, **known})

    def _apply(self, plan: Plan, now: datetime) -> None:
        for item, hold in plan.holds:
            stored = self.entries[item.id]
            assert (stored.status, stored.due_at is None) == (item.status, False), "what is settled stays as it is"
            due_at = None if hold.final else min(hold.until or now + RECHECK, now + RECHECK)
            self.entries[item.id] = replace(stored, status=EntryStatus.HELD, hold=hold, due_at=due_at)
        for item, due_at in plan.waits:
            self.entries[item.id] = replace(self.entries[item.id], status=EntryStatus.WAITING, due_at=due_at)
