"""Turns drafts into deliveries, so that a node may be killed between any two writes and any number of nodes may do the same.

1. The batch is written, with the ids of the entries that it is to have. Its id is derived from its group, the message before and the first
   entry, so that two nodes that decide the same write one batch.
2. Each entry is given to the batch, unless another batch has it or it is held meanwhile.
3. The batch notes which entries it really has. Only one node can do that; from then on they are fixed.
4. The delivery is written. Its id is derived from the batch, so that it is one delivery however often it is written.
5. The entries are noted as sent. What a late node has given to the batch after step 3 is given back.
6. The batch is done. Until then, any node finds it as open, and goes on from where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.clock import Clock
from app.events import get_logger
from app.notification.announcing import KIND, SubjectKind
from app.notification.composing import Complete, as_it_is
from app.notification.delivery import Delivery, DeliveryStatus, delivery_id
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.quiet.batch_store import Batch, BatchState, BatchStore
from app.notification.quiet.entry import Entry, EntryStatus, digest
from app.notification.quiet.entry_store import EntryStore
from app.notification.quiet.grouping import Pace
from app.notification.quiet.plan import Draft, Situation
from app.notification.quiet.texts import Bundle, message_about
from app.notification.targets import Target
from app.notification.texts import InWords

log = get_logger(__name__)

END = "end"  # of deliveries about one end that a job tells of by itself


class Batches:
    """Writes the messages that a plan wants."""

    def __init__(
        self,
        *,
        entries: EntryStore,
        batches: BatchStore,
        deliveries: NotificationDeliveryStore,
        clock: Clock,
        in_words: InWords,
        public_url: str,
        complete: Complete = as_it_is,
    ) -> None:
        self._entries, self._batches, self._deliveries = entries, batches, deliveries
        self._clock, self._in_words, self._public_url, self._complete = clock, in_words, public_url, complete

    def begin(self, draft: Draft, situation: Situation) -> str:
        """Writes the batch of a draft, unless it is there. Returns its id."""
        last = situation.last.get(draft.group.id)
        ids = tuple(entry.id for entry in draft.entries)
        batch = Batch(
            id=digest(draft.group.id, last.batch if last else "", ids[0]),
            group=draft.group.id,
            target_key=draft.group.target,
            kind=draft.group.kind,
            at=situation.now,
            ids=ids,
            root=draft.root,
        )
        self._batches.begin(batch)
        return batch.id

    def has_room(self, entry: Entry, pace: Pace) -> bool:
        """Returns whether `begin_alone` would write a batch."""
        ids = self._alone(entry, pace)
        return self._batches.count(ids) < len(ids)

    def begin_alone(self, entry: Entry, pace: Pace) -> str | None:
        """Writes a batch for one entry that goes out at once. Returns its id; None if its target has had as many of them in this interval
        as it may have. There are so many ids for each target and interval, so that no number of nodes writes more."""
        ids, group, now = self._alone(entry, pace), digest(entry.target_key, "at once"), self._clock.now()
        for batch_id in ids[self._batches.count(ids) :]:
            batch = Batch(id=batch_id, group=group, target_key=entry.target_key, kind=entry.kind, at=now, ids=(entry.id,))
            if self._batches.begin(batch):
                return batch_id
        return None

    def open(self) -> list[str]:
        """Returns the ids of the batches that are not done, oldest first."""
        return self._batches.open()

    def finish(self, batch_id: str) -> int:
        """Does what is left to do for a batch. Returns the number of entries in its message."""
        batch = self._bound(batch_id)
        if batch is None:
            return 0
        entries = self._entries.of(batch.ids)
        if entries and batch.state is not BatchState.DONE:
            self._deliveries.add([self._delivery(batch, entries)])
        self._entries.note_sent(batch.ids, batch.id, at=batch.at)
        self._batches.set_done(batch.id)
        return len(entries)

    def _alone(self, entry: Entry, pace: Pace) -> list[str]:
        interval = int(self._clock.now().timestamp() // pace.interval.total_seconds())
        return [digest(entry.target_key, "at once", str(interval), str(number)) for number in range(pace.at_once)]

    def _bound(self, batch_id: str) -> Batch | None:
        """Returns a batch whose entries are fixed."""
        batch = self._batches.get(batch_id)
        if batch is not None and batch.state is BatchState.BINDING:
            self._batches.set_ready(batch.id, self._entries.bind(batch.ids, batch.id))
            batch = self._batches.get(batch_id)
        return batch

    def _delivery(self, batch: Batch, entries: list[Entry]) -> Delivery:
        target, root = entries[0].target, next((entry for entry in entries if entry.id == batch.root), None)
        bundle = Bundle(id=batch.id, group=batch.group, kind=batch.kind, at=batch.at, entries=tuple(entries), root=root)
        made_id, now = _delivery_id(batch, entries), self._clock.now()
        subjects = {(entry.announcement.subject, entry.announcement.execution_id) for entry in entries if entry.is_alarm} or {
            (entry.announcement.subject, entry.announcement.execution_id) for entry in entries
        }
        subject, execution_id = next(iter(subjects))
        one_job = len(subjects) == 1 and subject.kind is SubjectKind.JOB
        return Delivery(
            id=made_id,
            channel_id=target.channel_id,
            channel=target.channel,
            type=target.type,
            recipients=target.recipients,
            execution_id=execution_id if one_job else None,
            job_id=subject.id if one_job else None,
            job_name=subject.name if one_job else "",
            message=message_about(
                bundle,
                key=made_id,
                language=target.language,
                in_words=self._in_words,
                public_url=self._public_url,
                complete=self._complete,
            ),
            status=DeliveryStatus.WAITING,
            created_at=now,
            due_at=now,
        )


def message_id(entry: Entry) -> str | None:
    """Returns the id of the delivery that an entry is in; None if it is in none yet."""
    return _message_id(entry.batch, entry.target) if entry.batch is not None and entry.status is EntryStatus.SENT else None


def _message_id(batch_id: str, target: Target) -> str:
    return delivery_id(batch_id, target.channel_id, target.recipients, KIND)


def _delivery_id(batch: Batch, entries: Sequence[Entry]) -> str:
    """Returns the id of the delivery of a batch. That about one end has the same in whatever batch it is."""
    first, target = entries[0], entries[0].target
    if len(entries) == 1 and first.announcement.is_own:
        return end_delivery(first)
    return _message_id(batch.id, target)


def end_delivery(entry: Entry) -> str:
    """Returns the id of the delivery about one end that a job tells of by itself, if it has a message of its own."""
    return delivery_id(entry.announcement.execution_id or "", entry.target.channel_id, entry.target.recipients, END)
