"""Applies rules by time: what is late, takes too long, or never happens. Any number of nodes may do it, as often as they like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from app.clock import Clock
from app.execution.end_store import EndStore
from app.execution.ends import LiveRun
from app.jobs.model import Cause, Job
from app.notification.announcing import SubjectKind
from app.notification.incidents.applying import Incidence
from app.notification.incidents.deciding import AlertEvent
from app.notification.incidents.ends import subject_of
from app.notification.incidents.incident import Mark
from app.notification.incidents.store import IncidentStore
from app.notification.rules.book import RuleBook
from app.notification.rules.conditions import BY_TIME, Condition
from app.notification.rules.judging import Judgement, Verdict
from app.notification.rules.rule import AlertRule, JobFacts
from app.notification.rules.timing import USUAL_RUNS, Overdue, deadlines, missed_deadline, overdue_runs, unplanned, usual_limit
from app.queue.model import Status
from templates_lib.messages import say

MOST_RUNS, MOST_JOBS = 5_000, 5_000
SCAN_SECONDS = 15.0  # between looks at all jobs
OF_RUNS = frozenset({Condition.LATE, Condition.QUEUED_LONG, Condition.RUNNING_LONG, Condition.RUNNING_LONGER_THAN_USUAL})
OF_JOBS = frozenset({Condition.NEVER_RAN, Condition.PAUSED_BY_ITSELF, Condition.DEADLINE})
Found = tuple[Job, Overdue]


class Registry(Protocol):
    """What this asks of jobs and calendars."""

    def get(self, job_id: str) -> Job | None:
        """Returns a job; None if it is deleted."""

    def due(self, before: datetime) -> list[Job]:
        """Returns the jobs whose due time is before then, and which nobody has planned."""

    def enabled(self) -> list[Job]:
        """Returns the jobs that are enabled."""

    def is_closed(self, calendars: Sequence[str], at: datetime) -> bool:
        """Returns whether a blackout of one of these calendars keeps jobs from starting at an instant."""

    def facts(self, job: Job) -> JobFacts:
        """Returns what rules know of a job."""


class OverdueJobs:
    """Looks at jobs and at runs that have not ended."""

    def __init__(
        self, *, book: RuleBook, incidents: IncidentStore, incidence: Incidence, ends: EndStore, registry: Registry, clock: Clock
    ) -> None:
        self._book, self._incidents, self._incidence = book, incidents, incidence
        self._ends, self._registry, self._clock = ends, registry, clock
        self._next_scan = float("-inf")
        self._checked: dict[tuple[str, str], datetime] = {}  # by rule and job: the deadline that was looked at last

    def tick(self) -> None:
        """Applies the rules by time."""
        rules = [rule for rule in self._book.all() if rule.type in BY_TIME]
        if not rules:
            return
        now = self._clock.now()
        runs = [rule for rule in rules if rule.type in OF_RUNS]
        live = self._live() if runs else {}
        for rule in runs:
            self._apply(rule, self._found_in_runs(rule, live, now), now)
        if self._clock.monotonic() >= self._next_scan:
            self._next_scan = self._clock.monotonic() + SCAN_SECONDS
            self._scan([rule for rule in rules if rule.type in OF_JOBS], now)

    def _scan(self, rules: Sequence[AlertRule], now: datetime) -> None:
        jobs = self._registry.enabled() if rules else []
        for rule in rules:
            covered = [job for job in jobs if rule.scope.covers(self._registry.facts(job))]
            if rule.type == Condition.DEADLINE:
                self._apply_deadline(rule, covered, now)
            else:
                self._apply(rule, list(_found_in_jobs(rule, covered, now)), now)

    # -- runs -----------------------------------------------------------------------------------------------------

    def _live(self) -> Mapping[str, list[LiveRun]]:
        by_job: dict[str, list[LiveRun]] = defaultdict(list)
        for run in self._ends.live(MOST_RUNS):
            by_job[run.job_id].append(run)
        return by_job

    def _found_in_runs(self, rule: AlertRule, live: Mapping[str, Sequence[LiveRun]], now: datetime) -> list[Found]:
        found: list[Found] = []
        for job_id, runs in live.items():
            if not self._may_be_overdue(rule, runs, now):
                continue
            job = self._registry.get(job_id)
            if job is not None and rule.scope.covers(self._registry.facts(job)):
                usual = self._usual(job_id) if rule.type == Condition.RUNNING_LONGER_THAN_USUAL else None
                jitter = job.definition.schedule.jitter_seconds
                overdue = overdue_runs(rule.condition, runs, now, jitter_seconds=jitter, usual_seconds=usual)
                found += [(job, item) for item in overdue]
        return found + (list(self._unplanned(rule, now)) if rule.type == Condition.LATE else [])

    def _may_be_overdue(self, rule: AlertRule, runs: Sequence[LiveRun], now: datetime) -> bool:
        """Returns whether it is worth to read the job: most runs have just begun."""
        return bool(overdue_runs(rule.condition, runs, now, usual_seconds=0))

    def _unplanned(self, rule: AlertRule, now: datetime) -> Iterator[Found]:
        for job in self._registry.due(now - timedelta(seconds=rule.condition["grace_seconds"])):
            due, schedule = job.next_run_at, job.definition.schedule
            if due is None or job.paused is not None or job.shadow is not None or not rule.scope.covers(self._registry.facts(job)):
                continue
            overdue = unplanned(rule.condition, due, now, jitter_seconds=schedule.jitter_seconds)
            if overdue is not None and not (schedule.calendars and self._registry.is_closed(schedule.calendars, due)):
                yield job, overdue

    def _usual(self, job_id: str) -> float | None:
        return usual_limit(self._ends.latest(job_id, USUAL_RUNS * 2))

    # -- deadlines ------------------------------------------------------------------------------------------------

    def _apply_deadline(self, rule: AlertRule, jobs: Sequence[Job], now: datetime) -> None:
        deadline, before = deadlines(rule.condition, now)
        changed_at = rule.updated_at
        calendars = [rule.condition["calendar"]] if rule.condition.get("calendar") else []
        if (changed_at is not None and deadline <= changed_at) or (calendars and self._registry.is_closed(calendars, deadline)):
            return
        for job in jobs:
            place = (rule.id, job.id)
            if self._checked.get(place) == deadline or job.created_at > before or job.paused is not None:
                continue
            successes = [run for run in self._ends.latest(job.id, MOST_RUNS // 10) if run.status == Status.SUCCESS]
            overdue = missed_deadline(rule.condition, [run.completed_at for run in successes], now)
            if overdue is not None:
                subject = subject_of(self._registry.facts(job))
                self._incidence.apply(rule, subject, _holds(overdue))
                if successes and successes[0].completed_at > deadline:
                    over = Judgement(verdict=Verdict.OVER, why=say("The run succeeded."))
                    mark = Mark(successes[0].completed_at, successes[0].id)
                    self._incidence.apply(rule, subject, AlertEvent(mark=mark, judgement=over, execution_id=successes[0].id))
            self._checked[place] = deadline

    # -- incidents ------------------------------------------------------------------------------------------------

    def _apply(self, rule: AlertRule, found: Sequence[Found], now: datetime) -> None:
        for job, overdue in sorted(found, key=lambda item: item[1]):
            self._incidence.apply(rule, subject_of(self._registry.facts(job)), _holds(overdue))
        self._end_others(rule, {job.id for job, _ in found}, now)

    def _end_others(self, rule: AlertRule, holding: Collection[str], now: datetime) -> None:
        for incident in self._incidents.open_of([rule.id]):
            if incident.subject.kind is SubjectKind.JOB and incident.subject.id not in holding:
                judgement = Judgement(verdict=Verdict.OVER, why=OVER_WORDS[rule.type])
                self._incidence.apply(rule, incident.subject, AlertEvent(mark=Mark(now, ""), judgement=judgement))


OVER_WORDS: Mapping[str, str] = {
    Condition.LATE: say("No run of the job is late any more."),
    Condition.QUEUED_LONG: say("No run of the job waits for too long any more."),
    Condition.RUNNING_LONG: say("No run of the job takes too long any more."),
    Condition.RUNNING_LONGER_THAN_USUAL: say("No run of the job takes longer than usual any more."),
    Condition.NEVER_RAN: say("The job has run, or is disabled."),
    Condition.PAUSED_BY_ITSELF: say("The job is not paused by itself any more."),
}


def _holds(overdue: Overdue) -> AlertEvent:
    judgement = Judgement(verdict=Verdict.HOLDS, why=overdue.why)
    return AlertEvent(mark=Mark(overdue.at, overdue.id), judgement=judgement, execution_id=overdue.execution_id)


def _found_in_jobs(rule: AlertRule, jobs: Iterable[Job], now: datetime) -> Iterator[Found]:
    for job in jobs:
        pause = job.paused
        if rule.type == Condition.PAUSED_BY_ITSELF and pause is not None and pause.cause is Cause.PERSON and pause.by == "system":
            yield job, Overdue(pause.at, f"paused:{pause.at.isoformat()}", say("The job has paused itself: {reason}", reason=pause.reason))
        if rule.type == Condition.NEVER_RAN and job.last_run_at is None and pause is None:
            at = job.created_at + timedelta(seconds=rule.condition["after_seconds"])
            if at <= now:
                yield job, Overdue(at, "never", say("The job has never run."))
