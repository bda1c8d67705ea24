"""Carries out what many records owe to one handler at once, where one by one would be too slow."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from app.clock import Clock
from app.mongo import is_permanent
from app.outbox.carrier import Carrier
from app.outbox.handler import Handler, Later, Record
from app.outbox.model import Owed
from app.outbox.store import OutboxStore


@dataclass(frozen=True, slots=True)
class Carried:
    """How it went with one record: `error` is None where all was carried out. `told` are the words for what was told of the record, which
    it keeps; they may be some where another part failed."""

    told: tuple[str, ...] = ()
    error: Exception | None = None


class BatchHandler(Handler[Record]):
    """Carries out what up to `most_at_once` records owe in one call."""

    most_at_once: ClassVar[int] = 500

    def ready(self) -> bool:
        """Whether anything can be carried out now. While it cannot, nothing is claimed and no try is counted."""
        return True

    @abstractmethod
    def carry_out_all(self, records: Sequence[Record]) -> Mapping[str, Carried]:
        """Do it. Returns how it went by the id of the record; an error is Later where it cannot be done yet. May raise as `carry_out`: then
        it went so with each record."""

    def carry_out(self, record: Record) -> None:
        """As `carry_out_all`, with one record."""
        error = self.carry_out_all([record])[record.id].error
        if error is not None:
            raise error


class BatchCarrier(Carrier[Record]):
    """Claims items by the hundred. Killed at any line, they are due again when the claim is over."""

    def __init__(
        self,
        store: OutboxStore[Record],
        handler: BatchHandler[Record],
        clock: Clock,
        note: Callable[[str, str], None] = lambda name, result: None,
    ) -> None:
        super().__init__(store, handler, clock, note)
        self._handler: BatchHandler[Record] = handler

    def _take(self, stopped: Callable[[], bool]) -> int:
        done = 0
        with ThreadPoolExecutor(1, thread_name_prefix="outbox-claim") as ahead:
            claimed = self._claim(stopped)
            while claimed:
                # More than one batch waits: the next one is claimed while this one is carried out.
                following = ahead.submit(self._claim, stopped) if len(claimed) == self._handler.most_at_once else None
                done += self._carry_out_all(claimed)
                claimed = following.result() if following is not None else self._claim(stopped)
        return done

    def _claim(self, stopped: Callable[[], bool]) -> list[tuple[Record, Owed]]:
        if stopped() or not self._handler.ready():
            return []
        now = self._clock.now()
        until, limit = now + self._handler.claim_for, self._handler.most_at_once
        return self._store.claim_many(self._handler.name, now=now, until=until, limit=limit)

    def _carry_out_all(self, claimed: Sequence[tuple[Record, Owed]]) -> int:
        """Returns how many were carried out."""
        wanted = [record for record, _ in claimed if self._handler.wants_still(record)]
        try:
            went = self._handler.carry_out_all(wanted) if wanted else {}
        except Exception as error:
            if not isinstance(error, Later) and not is_permanent(error):
                raise
            went = {record.id: Carried(error=error) for record in wanted}
        done = [(record.id, item, went.get(record.id, Carried()).told) for record, item in claimed if _is_done(record, went)]
        self._store.settle_many(done)
        for record_id, item, _ in done:
            self._note(item.what, "done" if record_id in went else "unneeded")
        for record, item in claimed:
            if not _is_done(record, went):
                self._put_off(record, item, went[record.id])
        return sum(record_id in went for record_id, _, _ in done)

    def _put_off(self, record: Record, item: Owed, went: Carried) -> None:
        if went.told:
            self._store.note_told(record.id, went.told)
        if isinstance(went.error, Later):
            self._store.put_off(record.id, item, at=self._clock.now() + went.error.delay, error=None, counts=False)
            self._note(item.what, "later")
        elif went.error is not None:
            self._note_failure(record, item, went.error)


def _is_done(record: Record, went: Mapping[str, Carried]) -> bool:
    return record.id not in went or went[record.id].error is None
