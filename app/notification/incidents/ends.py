"""Applies rules to the ends of executions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from app.execution.end_store import EndStore
from app.execution.ends import EndedRun, ended_run
from app.notification.announcing import Announcement, Announcer, Subject, SubjectKind
from app.notification.incidents.applying import Incidence
from app.notification.incidents.deciding import AlertEvent
from app.notification.incidents.incident import Mark
from app.notification.message import Fact, MessageKind
from app.notification.rules.book import RuleBook
from app.notification.rules.conditions import BY_TIME, MOMENTS, MOST_RUNS, Condition
from app.notification.rules.expressions import event_of, holds
from app.notification.rules.judging import Judgement, Verdict, judge
from app.notification.rules.rule import AlertRule, JobFacts, covering
from app.notification.rules.timing import usual_limit, was_overdue
from app.queue.execution import Execution
from app.queue.model import ENDED, RAN, Status
from app.queue.owing import End, EndHandler
from templates_lib.messages import say

NEEDED_RUNS = MOST_RUNS + 50  # some of the newest executions may have ended before others, or were left out


class AlertEnds(EndHandler):
    """Applies the rules to an end, and then to the latest end of the same job, if that is later: so a failure that is followed at once by a
    success is told, and that it is over too.

    `idle_until` is an instant of the monotonic clock until which this process may go by there being no rules; ends that it writes until
    then owe nothing. A process that does not look for rules, or that cannot, is never idle.
    """

    name = "alert"
    statuses = ENDED - {Status.CANCELLED}
    idle_until: ClassVar[float] = float("-inf")

    def __init__(
        self,
        *,
        book: RuleBook,
        ends: EndStore,
        facts_of: Callable[[Execution], JobFacts],
        incidence: Incidence,
        announcer: Announcer,
        find: Callable[[str], Execution | None],
        jitter_of: Callable[[str], float] = lambda job_id: 0.0,
    ) -> None:
        self._find = find
        self._jitter_of = jitter_of
        self._book, self._ends, self._facts_of, self._incidence, self._announcer = book, ends, facts_of, incidence, announcer

    @classmethod
    def wants(cls, end: End) -> bool:
        return not end.dry

    @classmethod
    def rests(cls) -> bool:
        return time.monotonic() < cls.idle_until

    def wants_still(self, record: Execution) -> bool:
        return record.status in self.statuses and not record.dry

    def carry_out(self, record: Execution) -> None:
        run, rules = ended_run(record), self._book.all()
        if run is None or not rules:
            return
        job = self._facts_of(record)
        covered = covering(rules, job)
        if covered:
            self.apply(covered, job, run)

    def apply(self, rules: Sequence[AlertRule], job: JobFacts, run: EndedRun) -> None:
        """Applies these rules to one end, and to the latest one."""
        runs = self._ends.latest(run.job_id, NEEDED_RUNS)
        if run.id not in {other.id for other in runs}:  # its record is older than what is read
            runs = sorted([*runs, run], key=lambda other: other.place, reverse=True)
        here = next(place for place, other in enumerate(runs) if other.id == run.id)
        for rule in rules:
            if rule.type in BY_TIME:
                self._apply_past(rule, job, runs[here:])
                continue
            self._apply_one(rule, job, runs[here:])
            if here and rule.type not in MOMENTS:
                self._apply_one(rule, job, runs)

    def _apply_one(self, rule: AlertRule, job: JobFacts, runs: Sequence[EndedRun]) -> None:
        run, judgement = runs[0], judge(rule.condition, runs)
        if judgement.verdict is Verdict.HOLDS and not self._is_meant(rule, job, run):
            judgement = Judgement(verdict=Verdict.NOTHING, why=say("The expression of the rule is not fulfilled."))
        if rule.type in MOMENTS:
            if judgement.verdict is Verdict.HOLDS:
                self._announcer.announce([moment_of(rule, job, run, judgement.why)])
            return
        ran = tuple(other.completed_at for other in runs if other.status in RAN)
        event = AlertEvent(mark=Mark(run.completed_at, run.id), judgement=judgement, execution_id=run.id, runs=ran)
        self._incidence.apply(rule, subject_of(job), event)

    def _is_meant(self, rule: AlertRule, job: JobFacts, run: EndedRun) -> bool:
        """Returns whether the end of a run fulfils the expression of a rule."""
        execution = self._find(run.id) if rule.where else None
        return execution is None or holds(rule.where, event_of(job, execution))

    def _apply_past(self, rule: AlertRule, job: JobFacts, runs: Sequence[EndedRun]) -> None:
        """Applies a rule by time to what has ended: nobody may have looked while it went on."""
        run, subject = runs[0], subject_of(job)
        if rule.type == Condition.DEADLINE:
            if run.status == Status.SUCCESS:
                self._incidence.apply(rule, subject, _event(run, Mark(run.completed_at, run.id), Verdict.OVER, say("The run succeeded.")))
            return
        usual = usual_limit(runs[1:]) if rule.type == Condition.RUNNING_LONGER_THAN_USUAL else None
        past = was_overdue(rule.condition, run, jitter_seconds=self._jitter_of(job.id), usual_seconds=usual)
        if past is None:
            return
        overdue, settled = past
        if self._incidence.knows(rule, subject, Mark(overdue.at, overdue.id)):
            return
        self._incidence.apply(rule, subject, _event(run, Mark(overdue.at, overdue.id), Verdict.HOLDS, overdue.why))
        self._incidence.apply(rule, subject, _event(run, Mark(settled, run.id), Verdict.OVER, say("It is over.")))


def _event(run: EndedRun, mark: Mark, verdict: Verdict, why: str) -> AlertEvent:
    return AlertEvent(mark=mark, judgement=Judgement(verdict=verdict, why=why), execution_id=run.id)


def subject_of(job: JobFacts) -> Subject:
    """Returns a job as what an incident is about."""
    return Subject(kind=SubjectKind.JOB, id=job.id, name=job.name, group=job.group)


def moment_of(rule: AlertRule, job: JobFacts, run: EndedRun, why: str) -> Announcement:
    """Returns the message about something that is no incident."""
    labels: Mapping[str, str] = {"template": job.template, "tags": ",".join(sorted(job.tags))}
    return Announcement(
        key=f"{rule.id}:{run.id}",
        incident_id=run.id,
        rule_id=rule.id,
        rule=rule.name,
        subject=subject_of(job),
        kind=MessageKind.NOTICE,
        severity=rule.severity,
        title=say("{subject} ({rule})", subject=job.name, rule=rule.name),
        at=run.completed_at,
        to=rule.to,
        text=(why,),
        facts=(Fact(label=say("Rule"), value=rule.name),),
        labels=labels,
        event={"type": "run.notice", "rule": rule.name, "execution_id": run.id, "job_id": job.id, "job_name": job.name},
        execution_id=run.id,
    )
