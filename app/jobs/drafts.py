"""Unfinished forms of new jobs: kept as they were posted, without secrets, for two weeks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.clock import Clock
from app.errors import FieldError, ValidationFailed
from app.jobs.draft_store import DraftStore
from templates_lib.messages import say

KEPT = timedelta(days=14)
LARGEST = 200_000  # characters of all fields
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Draft:
    """The fields of a form, in their order, and when they were kept."""

    pairs: list[tuple[str, str]]
    at: datetime


class Drafts:
    """One draft a person and template."""

    def __init__(self, store: DraftStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def keep(self, actor: Actor, kind: str, pairs: Pairs) -> None:
        """Keeps the fields of a form in place of an earlier draft. The caller leaves secrets out. Raises ValidationFailed if they are too
        large."""
        require(actor, May.CHANGE_JOBS)
        if sum(len(name) + len(value) for name, value in pairs) > LARGEST:
            raise ValidationFailed([FieldError("", say("must have at most {most:,} characters", most=LARGEST))])
        self._store.put(actor.id, kind, [list(pair) for pair in pairs], self._clock.now())

    def find(self, actor: Actor, kind: str) -> Draft | None:
        """Returns the actor's draft of a job of that template; None if there is none from the last KEPT."""
        row = self._store.get(actor.id, kind)
        if row is None or row["at"] < self._clock.now() - KEPT:
            return None
        return Draft([(name, value) for name, value in row["pairs"]], row["at"])

    def drop(self, actor: Actor, kind: str) -> None:
        """Removes the draft, if there is one."""
        require(actor, May.CHANGE_JOBS)
        self._store.remove(actor.id, kind)
