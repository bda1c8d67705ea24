"""Takes announcements, and has what follows from them decided and written: one message for many of them, later, or none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from app.clock import Clock
from app.events import get_logger
from app.notification.announcing import Announcement
from app.notification.channel_store import ChannelStore
from app.notification.quiet.batch_store import BatchStore
from app.notification.quiet.batches import Batches
from app.notification.quiet.entry import Entry, EntryStatus, entry_id
from app.notification.quiet.entry_store import EntryStore
from app.notification.quiet.grouping import Pace, Root
from app.notification.quiet.hours import hours_from
from app.notification.quiet.mute_store import MuteStore
from app.notification.quiet.plan import RECHECK, Plan, Situation, group_ids, hold_of, plan_messages, plan_releases
from app.notification.targets import targets_of
from app.notification.turn_store import Turns
from app.signals import Signal

log = get_logger(__name__)

TURN = timedelta(seconds=30)  # after which another node goes on, if the one that plans has been killed
NAME = "quiet"

Count = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietStores:
    """What is read and written to decide about announcements."""

    entries: EntryStore
    batches: BatchStore
    mutes: MuteStore
    channels: ChannelStore
    turns: Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What other parts know: which of some incidents are not resolved, the open incidents about what jobs use, the reason of the
    maintenance that is on, and which of some deliveries nobody got, not even in place of the recipient."""

    firing: Callable[[Sequence[str]], Iterable[str]]
    roots: Callable[[], Sequence[Root]]
    maintenance: Callable[[], str | None]
    lost: Callable[[Sequence[str]], frozenset[str]]


class QuietAnnouncer:
    """Stores announcements, one entry for each channel. A channel gets them when they are due."""

    def __init__(self, *, entries: EntryStore, channels: ChannelStore, clock: Clock, wait: timedelta) -> None:
        self._entries, self._channels, self._clock, self._wait = entries, channels, clock, wait

    def announce(self, announcements: Sequence[Announcement]) -> None:
        self._add(announcements)

    def _add(self, announcements: Sequence[Announcement]) -> list[str]:
        """Writes entries, unless they are there. Returns their ids."""
        now = self._clock.now()
        entries = [
            Entry(
                id=entry_id(announcement.key, target.channel_id, target.recipients),
                announcement=announcement,
                target=target,
                created_at=now,
                due_at=now + self._wait,
            )
            for announcement in announcements
            for target in targets_of(self._channels, announcement.to)
        ]
        self._entries.add(entries)
        return [entry.id for entry in entries]


class PromptAnnouncer(QuietAnnouncer):
    """Sends the first announcements to a channel at once, each by itself. The others wait as those of rules do."""

    def __init__(self, *, quieting: Quieting, entries: EntryStore, channels: ChannelStore, clock: Clock, wait: timedelta) -> None:
        super().__init__(entries=entries, channels=channels, clock=clock, wait=wait)
        self._quieting = quieting

    def announce(self, announcements: Sequence[Announcement]) -> None:
        self._quieting.send_at_once(self._add(announcements))


class Quieting:
    """Decides about entries on one node at a time. `written` is sent when there is a message to send, and `count` is told how many entries
    were sent and held, by reason."""

    def __init__(
        self,
        *,
        stores: QuietStores,
        batches: Batches,
        outlook: Outlook,
        clock: Clock,
        pace: Pace,
        owner: str,
        written: Signal,
        count: Count,
    ) -> None:
        self._stores, self._batches, self._outlook, self._clock, self._pace = stores, batches, outlook, clock, pace
        self._owner, self._written, self._count = owner, written, count

    def tick(self) -> int:
        """Does what is due. Returns the number of messages that were written."""
        now, unfinished = self._clock.now(), self._batches.open()
        if not unfinished and not self._stores.entries.is_due(now):
            return 0
        if not self._stores.turns.take(NAME, self._owner, now=now, lasts=TURN):
            return 0
        written = self._finish(unfinished)
        self._release()
        return written + self._send()

    def send_at_once(self, ids: Collection[str]) -> None:
        """Sends waiting entries, each in a message of its own. Those that something holds, or whose channel has had enough of such
        messages in this interval, wait on. If this node is killed meanwhile, a tick goes on."""
        for entry in self._stores.entries.of(ids):
            if (
                entry.status is EntryStatus.WAITING
                and entry.batch is None
                and self._batches.has_room(entry, self._pace)
                and self._is_free(entry)
            ):
                batch_id = self._batches.begin_alone(entry, self._pace)
                self._finish([batch_id] if batch_id else [])

    def forget(self, age: timedelta) -> None:
        """Removes some of what is older and settled."""
        before = self._clock.now() - age
        self._stores.entries.forget(before)
        self._stores.batches.forget(before)
        self._stores.mutes.forget(before)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _is_free(self, entry: Entry) -> bool:
        """Returns whether nothing holds an entry, and no message about a cause will have it."""
        situation = self._situation([entry])
        return hold_of(entry, situation) is None and not any(root.takes(entry.announcement) for root in situation.roots)

    def _finish(self, batches: Iterable[str]) -> int:
        """Finishes batches. Each is a message."""
        count = 0
        for batch_id in batches:
            entries = self._batches.finish(batch_id)
            count += bool(entries)
            if entries:
                self._count("sent", entries)
                self._written.send()
        return count

    def _release(self) -> None:
        held = self._stores.entries.held_due(self._clock.now())
        if held:
            self._apply(plan_releases(held, self._situation(held), self._pace))

    def _send(self) -> int:
        waiting = self._free(self._stores.entries.waiting(self._clock.now()))
        if not waiting:
            return 0
        situation = self._situation(waiting)
        plan = plan_messages(waiting, situation, self._pace)
        self._apply(plan)
        return self._finish([self._batches.begin(draft, situation) for draft in plan.drafts])

    def _free(self, waiting: Sequence[Entry]) -> list[Entry]:
        """Returns the entries that no batch has. A node that was killed may have given some to a batch that is done."""
        for batch_id in {entry.batch for entry in waiting if entry.batch is not None}:
            self._batches.finish(batch_id)
        return [entry for entry in waiting if entry.batch is None]

    def _apply(self, plan: Plan) -> None:
        self._stores.entries.hold(plan.holds, recheck_at=self._clock.now() + RECHECK)
        self._stores.entries.wait(plan.waits)
        newly = [hold.why for entry, hold in plan.holds if entry.hold is None]
        for why in sorted(set(newly)):
            self._count(why.value, newly.count(why))

    def _delivered(self, told: Mapping[tuple[str, str], Collection[str]]) -> frozenset[tuple[str, str]]:
        """Returns what was told, without that of which each message was refused or given up."""
        lost = self._outlook.lost(sorted({message for messages in told.values() for message in messages})) if told else frozenset()
        return frozenset(place for place, messages in told.items() if not lost.issuperset(messages))

    def _situation(self, entries: Sequence[Entry]) -> Situation:
        now, stores = self._clock.now(), self._stores
        roots = tuple(self._outlook.roots())
        # What a job tells by itself is told each time.
        incidents = sorted({entry.announcement.incident_id for entry in entries if not entry.announcement.is_own})
        channels = {channel["_id"]: hours_from(channel.get("quiet")) for channel in stores.channels.all()}
        targets = {entry.target_key for entry in entries}
        situation = Situation(
            now=now,
            mutes=tuple(stores.mutes.active(now)),
            hours={name: hours for name, hours in channels.items() if hours is not None},
            maintenance=self._outlook.maintenance(),
            roots=roots,
            told=self._delivered(stores.entries.told([*incidents, *(root.incident_id for root in roots)])),
            last=stores.batches.last_of(group_ids(entries, self._pace), since=now - self._pace.longest),
            lately=stores.batches.lately(targets, since=now - self._pace.interval),
        )
        freed = {entry.announcement.incident_id for entry in entries if entry.hold is not None and hold_of(entry, situation) is None}
        return replace(situation, firing=frozenset(self._outlook.firing(sorted(freed)) if freed else ()))
