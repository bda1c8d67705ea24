"""Backfill: runs for due times that have passed, asked for by a person or a program."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.clock import Clock
from app.errors import FieldError, ValidationFailed
from app.execution.backfill_runs import BackfillRuns
from app.instants import InstantRefused, parse_bound
from app.jobs.model import ScheduleType
from app.jobs.service import JobRegistry
from app.scheduling.triggers import Triggers
from app.validation import SchemaValidator
from app.validation.together import sound
from templates_lib.messages import say

MOST = 1000  # runs of one backfill
FIRST_DUE = datetime(1970, 1, 1, tzinfo=UTC)  # a due time before it was never kept: the queries of the registry begin there
_TICK = timedelta(milliseconds=1)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["from", "to"],
    "additionalProperties": False,
    "properties": {
        "from": {"type": "string", "format": "date-time", "title": "From", "description": "The first due time that may be made up for."},
        "to": {"type": "string", "format": "date-time", "title": "To", "description": "Not included; not later than now."},
        "again": {
            "type": "boolean",
            "title": "Also what has run already",
            "default": False,
            "description": "Without it, due times with a successful run, or one that is still to end, are left out.",
        },
    },
}


# What a program sends: `dry_run` only asks which due times that would be.
BODY_SCHEMA: dict[str, Any] = {**SCHEMA, "properties": {**SCHEMA["properties"], "dry_run": {"type": "boolean", "default": False}}}


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """The due times that would be run, ascending, and how many of the range are left out, with a run already or in a blackout."""

    due_times: tuple[datetime, ...]
    done: int
    blackout: int


class Backfills:
    """Works out which due times of a job a range holds and has them run, one after the other, behind everything else."""

    def __init__(self, *, registry: JobRegistry, runs: BackfillRuns, triggers: Triggers, clock: Clock) -> None:
        self._registry, self._runs, self._triggers, self._clock = registry, runs, triggers, clock
        self._validator = SchemaValidator(BODY_SCHEMA)

    def plan(self, actor: Actor, job_id: str, body: Any) -> BackfillPlan:
        """What `body` {from, to, again?, dry_run?} would run of the job; nothing is written. Raises ValidationFailed, NotFound."""
        require(actor, May.RUN_JOBS)
        job = self._registry.visible(actor, job_id)
        begin, end, again = self._checked(body)
        schedule = job.definition.schedule
        if schedule.type in {ScheduleType.MANUAL, ScheduleType.ONCE}:
            raise ValidationFailed([FieldError("", "is not possible: a job without a repeating schedule has no due times to make up for")])
        if schedule.type is ScheduleType.INTERVAL and schedule.start_at is None:
            why = "is not possible: the interval has no start_at, so what was due before the job was made is not defined"
            raise ValidationFailed([FieldError("", why)])
        wrong = self._triggers.not_computable(schedule)
        if wrong is not None:
            raise ValidationFailed([FieldError("", wrong.message)])
        total = self._triggers.count(schedule, begin - _TICK, end - _TICK)
        if total > MOST:
            raise ValidationFailed(
                [FieldError("/to", say("{total:,} due times lie in the range; a backfill is at most {most:,}", total=total, most=MOST))]
            )
        due = list(takewhile(lambda moment: moment < end, self._triggers.iter_after(schedule, begin - _TICK)))
        blackouts = self._triggers.blackouts(schedule)
        opens = [moment for moment in due if blackouts.at(moment) is None]
        done = set() if again else self._runs.made_up_for(job_id, begin, end)
        wanted = tuple(moment for moment in opens if moment not in done)
        return BackfillPlan(wanted, len(opens) - len(wanted), len(due) - len(opens))

    def start(self, actor: Actor, job_id: str, body: Any) -> BackfillPlan:
        """Queues what `plan` says, unless `body` has `dry_run`, and returns the plan.

        Raises what `plan` raises, Forbidden, LimitReached, or ValidationFailed where nothing is left to run.
        """
        plan = self.plan(actor, job_id, body)
        if body.get("dry_run", False):
            return plan
        if not plan.due_times:
            raise ValidationFailed([FieldError("/from", "nothing in the range is left to run")])
        self._runs.start(actor, job_id, plan.due_times)
        return plan

    def _checked(self, body: Any) -> tuple[datetime, datetime, bool]:
        errors = self._validator.errors(body)
        instants = {name: _instant(text) for name, text in sound(body, errors).items() if name in {"from", "to"}}
        errors += [FieldError(f"/{name}", found) for name, found in instants.items() if isinstance(found, str)]
        begin, end = (found if isinstance(found := instants.get(name), datetime) else None for name in ("from", "to"))
        begin, now = begin and max(begin, FIRST_DUE), self._clock.now()
        if begin is not None and end is not None and end <= begin:
            errors.append(FieldError("/to", "must be later than from"))
        elif end is not None and end > now:
            errors.append(FieldError("/to", say("lies in the future; it is {now:%Y-%m-%d %H:%M:%S} UTC", now=now)))
        if errors or begin is None or end is None:
            raise ValidationFailed(errors)
        return begin, end, bool(body.get("again", False))


def _instant(text: str) -> datetime | str:
    """The instant that a text gives, or why it gives none."""
    try:
        return parse_bound(text)
    except InstantRefused as error:
        return str(error)
