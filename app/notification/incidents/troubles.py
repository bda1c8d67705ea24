"""Applies the rules about the installation, and about the rates of many jobs. Any number of nodes may do it, as often as they like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.clock import Clock
from app.execution.end_store import EndStore
from app.notification.announcing import Subject, SubjectKind
from app.notification.incidents.applying import Incidence
from app.notification.incidents.deciding import AlertEvent
from app.notification.incidents.incident import Mark
from app.notification.incidents.store import IncidentStore
from app.notification.rules.book import RuleBook
from app.notification.rules.conditions import OF_INSTALLATION, RATES, Condition
from app.notification.rules.judging import Judgement, Verdict
from app.notification.rules.rates import exceeded, rate_of
from app.notification.rules.rule import AlertRule, JobFacts, ScopeKind
from app.notification.rules.timing import Overdue
from templates_lib.messages import say

LOOK_SECONDS = 10.0  # between two looks
# A node that has just started, or was away for so long, lets others be heard of first: they may have been away too, as the database was.
AWAY, SETTLED_AFTER = timedelta(seconds=30), timedelta(seconds=60)
OF_SILENCE = frozenset({Condition.NODE_LOST, Condition.SCHEDULER_STALLED, Condition.SERVICE_STALE})
PRODUCT = "Jobwright"  # the name of an incident about the whole installation


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is wrong now: what it is about, since when, and the reason. What is not wrong for long enough to begin an incident
    keeps one open: it is not over."""

    subject: Subject
    overdue: Overdue
    begins: bool = True


# Finds what is wrong at an instant, by the condition of a rule.
Source = Callable[[Mapping[str, Any], datetime], Iterable[Trouble]]


class RatesOfJobs:
    """Finds that too many runs of the jobs of a rule fail or are missed. `facts_of` returns what rules know of a job, and None if it is
    gone."""

    def __init__(self, ends: EndStore, facts_of: Callable[[str], JobFacts | None]) -> None:
        self._ends, self._facts_of = ends, facts_of

    def find(self, rule: AlertRule, now: datetime) -> Iterator[Trouble]:
        """Yields one trouble for all jobs of the rule, or none."""
        counts = self._ends.counts_since(now - timedelta(seconds=rule.condition["within_seconds"]))
        covered = {job_id: self._covers(rule, job_id) for job_id in {count.job_id for count in counts}}
        overdue = exceeded(rule.condition, rate_of(rule.condition, (count for count in counts if covered[count.job_id])))
        if overdue is not None:
            yield Trouble(subject=jobs_of(rule), overdue=overdue)

    def _covers(self, rule: AlertRule, job_id: str) -> bool:
        if rule.scope.kind is ScopeKind.ALL:
            return True
        job = self._facts_of(job_id)
        return job is not None and rule.scope.covers(job)


class Troubles:
    """Opens an incident for each trouble that a rule is about, and ends those whose trouble is over."""

    def __init__(
        self,
        *,
        book: RuleBook,
        incidents: IncidentStore,
        incidence: Incidence,
        sources: Mapping[str, Source],
        rates: RatesOfJobs,
        clock: Clock,
    ) -> None:
        self._book, self._incidents, self._incidence, self._sources = book, incidents, incidence, sources
        self._rates, self._clock = rates, clock
        self._next_look = float("-inf")
        self._looked_at = self._looks_since = datetime.min.replace(tzinfo=UTC)

    def tick(self) -> None:
        """Looks, unless it has just looked."""
        rules = [rule for rule in self._book.all() if rule.type in OF_INSTALLATION | RATES]
        if not rules or self._clock.monotonic() < self._next_look:
            return
        self._next_look = self._clock.monotonic() + LOOK_SECONDS
        self._note_look(self._clock.now())
        for rule in rules:
            now = self._clock.now()
            self._apply(rule, list(self._found(rule, now)), now)

    def _note_look(self, now: datetime) -> None:
        if abs(now - self._looked_at) > AWAY:
            self._looks_since = now
        self._looked_at = now

    def _may_begin(self, rule: AlertRule, now: datetime) -> bool:
        """Returns whether this node has looked for long enough to say that others are silent."""
        return rule.type not in OF_SILENCE or now - self._looks_since >= SETTLED_AFTER

    def _found(self, rule: AlertRule, now: datetime) -> Iterable[Trouble]:
        if rule.type in RATES:
            return self._rates.find(rule, now)
        source = self._sources.get(rule.type)
        return source(rule.condition, now) if source is not None else ()

    def _apply(self, rule: AlertRule, troubles: Sequence[Trouble], now: datetime) -> None:
        open_ones = {incident.subject.key: incident for incident in self._incidents.open_of([rule.id])}
        for trouble in sorted(troubles, key=lambda one: one.overdue):
            known = open_ones.pop(trouble.subject.key, None)
            if known is None:
                if trouble.begins and self._may_begin(rule, now):
                    self._incidence.apply(rule, trouble.subject, _begins(rule, trouble.overdue))
            elif known.flapping or not known.holds:
                self._incidence.apply(rule, trouble.subject, _event(Mark(now, ""), Verdict.HOLDS, trouble.overdue))
        for incident in open_ones.values():
            over = Judgement(verdict=Verdict.OVER, why=say("It is over."))
            self._incidence.apply(rule, incident.subject, AlertEvent(mark=Mark(now, ""), judgement=over))


def jobs_of(rule: AlertRule) -> Subject:
    """Returns the jobs of a rule as what one incident is about. The people of a group see it if the rule is about that group alone."""
    values = rule.scope.values
    group = values[0] if rule.scope.kind is ScopeKind.GROUP and len(values) == 1 else ""
    name = PRODUCT if rule.scope.kind in {ScopeKind.ALL, ScopeKind.JOB} else ", ".join(values)
    return Subject(kind=SubjectKind.INSTALLATION, id="jobs", name=name[:200], group=group)


def _begins(rule: AlertRule, overdue: Overdue) -> AlertEvent:
    """Returns the event that opens an incident. What began before the rule was changed begins for it with the change, so that a rule that
    was disabled for a while finds what is still wrong."""
    changed_at = rule.updated_at
    mark = Mark(overdue.at, overdue.id) if changed_at is None else max(Mark(overdue.at, overdue.id), Mark(changed_at, f"after {rule.id}"))
    return _event(mark, Verdict.HOLDS, overdue)


def _event(mark: Mark, verdict: Verdict, overdue: Overdue) -> AlertEvent:
    return AlertEvent(mark=mark, judgement=Judgement(verdict=verdict, why=overdue.why), execution_id=overdue.execution_id)
