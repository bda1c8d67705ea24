"""Carries out what the records of one collection owe to one handler."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Generic

from app.clock import Clock
from app.events import get_logger
from app.mongo import is_permanent
from app.outbox.handler import LONGEST_DELAY, Handler, Later, Record
from app.outbox.model import Owed
from app.outbox.store import OutboxStore
from app.validation.storable import whole_text
from templates_lib.messages import parts_of, restored

log = get_logger(__name__)

LOOK_SECONDS = 60.0  # so often it is looked for what a node with a wrong clock has written
SLACK = timedelta(minutes=3)  # between the clocks of nodes, and for a look that comes late
LONGEST_ERROR = 500  # characters


class Carrier(Generic[Record]):
    """Claims the items of one handler one by one and has them carried out, on any number of nodes.

    Killed at any line, the item is due again when its claim is over. A database that is away ends the tick, and the item is due again too.
    """

    def __init__(
        self,
        store: OutboxStore[Record],
        handler: Handler[Record],
        clock: Clock,
        note: Callable[[str, str], None] = lambda name, result: None,
    ) -> None:
        """`note` is told how each try went: the name of the handler, and `done`, `unneeded`, `later`, `failed` or `given_up`."""
        self._store, self._handler, self._clock, self._note = store, handler, clock, note
        self._next_look = float("-inf")

    @property
    def name(self) -> str:
        """What the records owe."""
        return self._handler.name

    def tick(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Carry out what is owed by now, until `stopped` says that no further item is to be begun; returns how many were carried out."""
        if self._clock.monotonic() >= self._next_look:
            self._next_look = self._clock.monotonic() + LOOK_SECONDS
            self._bring_forward()
        return self._take(stopped)

    def _take(self, stopped: Callable[[], bool]) -> int:
        """Claim and carry out until nothing is due; returns how many were carried out."""
        done = 0
        while not stopped():
            now = self._clock.now()
            claimed = self._store.claim(self._handler.name, now=now, until=now + self._handler.claim_for)
            if claimed is None:
                break
            done += self._carry_out(*claimed)
        return done

    def _bring_forward(self) -> None:
        """What is put off for longer than anything ever is was written by a node whose clock was ahead: it is due now."""
        now, longest = self._clock.now(), self._handler.longest_wait
        untried_from, tried_from = now + longest, now + max(longest, LONGEST_DELAY + SLACK)
        self._store.bring_forward(self._handler.name, now=now, untried_from=untried_from, tried_from=tried_from)

    def _carry_out(self, record: Record, item: Owed) -> bool:
        """True where it was carried out, False where another try follows or none."""
        try:
            wanted = self._handler.wants_still(record)
            if wanted:
                self._handler.carry_out(record)
        except Later as later:
            self._store.put_off(record.id, item, at=self._clock.now() + later.delay, error=None, counts=False)
            self._note(item.what, "later")
            return False
        except Exception as error:
            if not is_permanent(error):
                raise
            self._note_failure(record, item, error)
            return False
        self._store.settle(record.id, item)
        self._note(item.what, "done" if wanted else "unneeded")
        return wanted

    def _note_failure(self, record: Record, item: Owed, error: Exception) -> None:
        now, words = self._clock.now(), str(error) or type(error).__name__
        reason = restored(whole_text(words[:LONGEST_ERROR]), parts_of(words))
        last = item.tries >= self._handler.most_tries
        log.warning("outbox.failed", what=item.what, id=record.id, tries=item.tries, given_up=last, reason=reason[:200])
        self._note(item.what, "given_up" if last else "failed")
        if last:
            self._store.give_up(record.id, item, now=now, error=reason)
        else:
            self._store.put_off(record.id, item, at=now + self._handler.delay_after(item), error=reason)
