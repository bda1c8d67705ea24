"""What became of the announcements of alert rules: what pages say of who was notified."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from app.errors import NotFound
from app.notification.delivery import Delivery
from app.notification.message import MessageKind
from app.notification.quiet.batches import end_delivery, message_id
from app.notification.quiet.entry import WORDS, Entry, EntryFilter
from app.queue.execution import Execution
from templates_lib.messages import say
from web.current import actor, services

READ_ANNOUNCEMENTS = 100  # of an incident, the newest ones
KIND_WORDS = {
    MessageKind.FIRING: say("Alert"),
    MessageKind.REMINDER: say("Reminder"),
    MessageKind.RECOVERY: say("Recovery"),
    MessageKind.NOTICE: say("Notice"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """One announcement for one channel, with its message if it is in one."""

    entry: Entry
    delivery: Delivery | None

    @property
    def kind(self) -> str:
        """Returns what the announcement is, in a word."""
        return KIND_WORDS.get(self.entry.kind, "")

    @property
    def why_held(self) -> str:
        """Returns why the announcement is held back; empty if it is not."""
        return WORDS[self.entry.hold.why] if self.entry.hold is not None and self.entry.status == "held" else ""


def told_of_incident(incident_id: str) -> tuple[list[Told], bool]:
    """Returns one announcement of an incident for each channel: the newest that is in a message, or the newest if none is. Returns also
    whether there are more announcements."""
    entries, more = services().announced.page(actor(), EntryFilter(incident_id=incident_id), limit=READ_ANNOUNCEMENTS)
    shown: dict[str, Entry] = {}
    for entry in reversed(entries):
        before = shown.get(entry.target_key)
        if before is None or message_id(entry) is not None or message_id(before) is None:
            shown[entry.target_key] = entry
    rows = sorted(shown.values(), key=lambda entry: entry.created_at, reverse=True)
    return [_told(entry) for entry in rows], more or len(rows) < len(entries)


def told_of_execution(execution: Execution, incidents: Collection[str], shown: Collection[str]) -> list[Told]:
    """Returns what became of the announcements of some incidents that an execution has caused, without reminders, and of what its job tells
    by itself; without those whose delivery is shown."""
    own = [] if execution.is_live else services().announced.of_end(actor(), execution)
    rows = [_told(entry) for entry in own if end_delivery(entry) not in shown]
    rows += [
        _told(entry)
        for incident_id in incidents
        for entry in services().announced.page(actor(), EntryFilter(incident_id=incident_id), limit=READ_ANNOUNCEMENTS)[0]
        if entry.announcement.execution_id == execution.id and entry.kind is not MessageKind.REMINDER and message_id(entry) not in shown
    ]
    return sorted(rows, key=lambda row: row.entry.created_at, reverse=True)


def _told(entry: Entry) -> Told:
    """Returns an announcement with its message. There is none if it waits or is held back, or if the message is no longer kept."""
    delivery_id = message_id(entry)
    try:
        return Told(entry, services().deliveries.get(actor(), delivery_id) if delivery_id is not None else None)
    except NotFound:
        return Told(entry, None)
