"""Backfill: runs for due times of the past that a person or a program asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.clock import Clock
from app.errors import FieldError, ValidationFailed
from app.execution.backfill_runs import BackfillRuns
from app.instants import INSTANT, InstantRefused, parse_bound
from app.jobs.service import JobRegistry
from app.scheduling.triggers import Triggers
from app.validation import SchemaValidator
from app.validation.together import sound
from templates_lib.messages import say

MOST_RUNS = 1000  # of one backfill
FIRST_DUE = datetime(1970, 1, 1, tzinfo=UTC)  # no due time before it was ever stored: the queries of the registry begin there

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["from", "to"],
    "additionalProperties": False,
    "properties": {
        "from": {"type": "string", "format": "date-time", "title": "From", "description": "The first scheduled time to run for."},
        "to": {
            "type": "string",
            "format": "date-time",
            "title": "To",
            "description": "Runs are created for scheduled times before this time. It must not be later than now.",
        },
        "again": {
            "type": "boolean",
            "title": "Include times that have already run",
            "default": False,
            "description": "Otherwise, scheduled times with a successful or unfinished run are skipped.",
        },
    },
}


# What a program sends. With `dry_run` the answer lists the due times, and nothing is queued.
BODY_SCHEMA: dict[str, Any] = {**SCHEMA, "properties": {**SCHEMA["properties"], "dry_run": {"type": "boolean", "default": False}}}


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """`due_times` are to be run, ascending. Of the range, `done` have a run already and `blackout` lie in a blackout; both are left out."""

    due_times: tuple[datetime, ...]
    done: int
    blackout: int


class Backfills:
    """Finds the due times of a job in a range and queues a run for each. The runs start one after the other, behind all other runs."""

    def __init__(self, *, registry: JobRegistry, runs: BackfillRuns, triggers: Triggers, clock: Clock) -> None:
        self._registry, self._runs, self._triggers, self._clock = registry, runs, triggers, clock
        self._validator = SchemaValidator(BODY_SCHEMA)

    def plan(self, actor: Actor, job_id: str, body: Any) -> BackfillPlan:
        """The due times that `body` {from, to, again?, dry_run?} asks to run; nothing is written. Raises ValidationFailed, NotFound."""
        require(actor, May.RUN_JOBS)
        job = self._registry.visible(actor, job_id)
        begin, end, again = self._read(body)
        schedule = job.definition.schedule
        trigger = schedule.trigger
        refusal = trigger.backfill_refusal()
        if refusal is not None:
            raise ValidationFailed([FieldError("", refusal)])
        wrong = trigger.not_computable()
        if wrong is not None:
            raise ValidationFailed([FieldError("", wrong.message)])
        total = trigger.count(begin - INSTANT, end - INSTANT)
        if total > MOST_RUNS:
            too_many = say(
                "the range has {total:,} scheduled times; a backfill can have at most {most:,} runs", total=total, most=MOST_RUNS
            )
            raise ValidationFailed([FieldError("/to", too_many)])
        due_times = list(trigger.between(begin, end))
        blackouts = self._triggers.blackouts(schedule)
        open_times = [due for due in due_times if blackouts.at(due) is None]
        done = set() if again else self._runs.made_up_for(job_id, begin, end)
        wanted = tuple(due for due in open_times if due not in done)
        return BackfillPlan(wanted, len(open_times) - len(wanted), len(due_times) - len(open_times))

    def start(self, actor: Actor, job_id: str, body: Any) -> BackfillPlan:
        """Queues the runs that `plan` returns, unless `body` has `dry_run`, and returns the plan.

        Raises what `plan` raises, Forbidden, LimitReached, or ValidationFailed if nothing is left to run.
        """
        plan = self.plan(actor, job_id, body)
        if body.get("dry_run", False):
            return plan
        if not plan.due_times:
            raise ValidationFailed([FieldError("/from", "every scheduled time in this range has already run")])
        self._runs.start(actor, job_id, plan.due_times)
        return plan

    def _read(self, body: Any) -> tuple[datetime, datetime, bool]:
        """(begin, end, again) of a body. Raises ValidationFailed."""
        errors = self._validator.errors(body)
        instants: dict[str, datetime] = {}
        for name, text in sound(body, errors).items():
            if name in {"from", "to"}:
                try:
                    instants[name] = parse_bound(text)
                except InstantRefused as error:
                    errors.append(FieldError(f"/{name}", str(error)))
        begin, end, now = instants.get("from"), instants.get("to"), self._clock.now()
        begin = begin and max(begin, FIRST_DUE)
        if begin is not None and end is not None and end <= begin:
            errors.append(FieldError("/to", "must be later than from"))
        elif end is not None and end > now:
            errors.append(FieldError("/to", say("must not be in the future; it is now {now:%Y-%m-%d %H:%M:%S} UTC", now=now)))
        if errors or begin is None or end is None:
            raise ValidationFailed(errors)
        return begin, end, bool(body.get("again", False))
