"""What became of announcements, for people: in which message each is, or why it is held back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.clock import Clock
from app.notification.channel_store import ChannelStore
from app.notification.outcomes import key_of_end, recipients_of
from app.notification.quiet.entry import Entry, EntryFilter, Why, entry_id
from app.notification.quiet.entry_store import EntryStore
from app.notification.targets import targets_of
from app.queue.execution import Execution

LATELY = timedelta(days=7)
READ_AT_ONCE, MOST_READS = 201, 20  # records of which those that the actor may not see are left out


class Announced:
    """Who is limited to groups sees what is about jobs of these groups."""

    def __init__(self, *, entries: EntryStore, channels: ChannelStore, clock: Clock) -> None:
        self._entries, self._channels, self._clock = entries, channels, clock

    def page(self, actor: Actor, wanted: EntryFilter, *, limit: int) -> tuple[list[Entry], bool]:
        """Returns up to `limit` entries, newest first, and whether there are more."""
        require(actor, May.SEE_EXECUTIONS)
        shown: list[Entry] = []
        for _ in range(MOST_READS):
            rows = self._entries.page(wanted, limit=READ_AT_ONCE)
            shown += [row for row in rows if _sees(actor, row)]
            if len(shown) > limit or len(rows) < READ_AT_ONCE:
                break
            wanted = replace(wanted, before=(rows[-1].created_at, rows[-1].id))
        return shown[:limit], len(shown) > limit

    def of_end(self, actor: Actor, execution: Execution) -> list[Entry]:
        """Returns what its job tells by itself of the end of an execution, one entry for each channel."""
        require(actor, May.SEE_EXECUTIONS)
        targets = targets_of(self._channels, recipients_of(execution.notifications, execution.status))
        ids = [entry_id(key_of_end(execution.id), target.channel_id, target.recipients) for target in targets]
        return [entry for entry in self._entries.of(ids) if _sees(actor, entry)] if ids else []

    def held_lately(self, actor: Actor) -> Mapping[Why, int]:
        """Returns how many entries of the last days are held, by reason."""
        require(actor, May.SEE_EXECUTIONS)
        return self._entries.counts_held(self._clock.now() - LATELY, groups=actor.groups)


def _sees(actor: Actor, entry: Entry) -> bool:
    return actor.groups is None or entry.announcement.subject.group in actor.groups
