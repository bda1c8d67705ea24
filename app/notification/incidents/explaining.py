"""Why somebody was told of an execution, or not: what each rule said of its end, with the first condition that was not met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.execution.end_store import EndStore
from app.execution.ends import EndedRun, ended_run
from app.notification.announcing import SubjectKind
from app.notification.incidents.ends import NEEDED_RUNS
from app.notification.incidents.incident import Incident, IncidentFilter, IncidentState
from app.notification.incidents.store import IncidentStore
from app.notification.rules.conditions import ABOUT_JOBS, MOMENTS
from app.notification.rules.judging import Verdict, judge
from app.notification.rules.rule import AlertRule, JobFacts
from app.notification.rules.store import AlertRuleStore
from app.queue.execution import Execution
from app.queue.model import Status
from templates_lib.messages import say

MOST_INCIDENTS = 200  # of the job, the newest ones, that are looked through


class Outcome(StrEnum):
    """What came of a rule at the end of an execution."""

    TOLD = "told"  # the condition held, and people were told
    NOTED = "noted"  # the condition held, and people knew already
    WAITING = "waiting"  # the condition held, and the wait of the rule comes first
    OVER = "over"  # an incident ended
    NOT_MET = "not_met"  # the condition did not hold
    NOT_APPLIED = "not_applied"  # the rule was not applied to the execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What one rule said of an execution; `incident_id` is that of the incident that it belongs to."""

    rule: AlertRule
    outcome: Outcome
    why: str
    incident_id: str | None = None


class Explanations:
    """Explains, for people who were told of an execution, and for those who were not."""

    def __init__(
        self,
        *,
        rules: AlertRuleStore,
        incidents: IncidentStore,
        ends: EndStore,
        facts_of: Callable[[Execution], JobFacts],
    ) -> None:
        self._rules, self._incidents, self._ends, self._facts_of = rules, incidents, ends, facts_of

    def of(self, actor: Actor, execution: Execution) -> list[Explained]:
        """Returns one line for each rule about the job of an execution that the actor was shown, by the names of the rules; none while it
        has not ended."""
        require(actor, May.SEE_RULES)
        run = ended_run(execution)
        job = self._facts_of(execution)
        rules = [rule for rule in self._rules.all() if not rule.damaged and rule.type in ABOUT_JOBS and rule.scope.covers(job)]
        if run is None or not rules:
            return []
        about_job = IncidentFilter(subject_kind=SubjectKind.JOB.value, subject_id=job.id)
        incidents = self._incidents.page(about_job, groups=None, limit=MOST_INCIDENTS)
        runs = self._ends.up_to(run, NEEDED_RUNS)
        return [explain(rule, runs, incidents) for rule in rules]


def explain(rule: AlertRule, runs: Sequence[EndedRun], incidents: Sequence[Incident]) -> Explained:
    """Returns what a rule said of the end of `runs[0]`. The other `runs` are the ends before it, the latest one first, and `incidents` are
    those about its job. Pure: it goes by what is stored, and then by the conditions in this order.

    1. An incident has the execution, or has ended with it: that is what came of it.
    2. The rule is disabled, or is newer than the execution, or the execution was cancelled: it was not applied.
    3. The condition of the rule says why it holds or does not hold.
    """
    run = runs[0]
    of_rule = [incident for incident in incidents if incident.rule_id == rule.id]
    for incident in of_rule:
        if run.id in incident.executions:
            return _within(rule, run, incident)
    ended = next((incident for incident in of_rule if incident.resolved_at == run.completed_at), None)
    if ended is not None:
        return Explained(rule=rule, outcome=Outcome.OVER, why=ended.why, incident_id=ended.id)
    kept_out = _kept_out(rule, run)
    if kept_out is not None:
        return Explained(rule=rule, outcome=Outcome.NOT_APPLIED, why=kept_out)
    judgement = judge(rule.condition, runs)
    told = judgement.verdict is Verdict.HOLDS and rule.type in MOMENTS
    if judgement.verdict is Verdict.HOLDS and not told:  # it is older than the last executions that its incident names
        return Explained(rule=rule, outcome=Outcome.NOTED, why=judgement.why, incident_id=_open_at(of_rule, run))
    return Explained(rule=rule, outcome=Outcome.TOLD if told else Outcome.NOT_MET, why=judgement.why)


def _within(rule: AlertRule, run: EndedRun, incident: Incident) -> Explained:
    """Returns what came of an execution that an incident names."""
    if incident.state is IncidentState.PENDING:
        why = say("The condition holds. A message follows if it still holds after the wait of the rule.")
        return Explained(rule=rule, outcome=Outcome.WAITING, why=why, incident_id=incident.id)
    if incident.fired_at is None and incident.acknowledged is not None:
        why = say("Somebody acknowledged the incident before the wait of the rule was over.")
        return Explained(rule=rule, outcome=Outcome.NOT_MET, why=why, incident_id=incident.id)
    if incident.fired_at is None:
        why = say("The condition did not hold for as long as the rule waits.")
        return Explained(rule=rule, outcome=Outcome.NOT_MET, why=why, incident_id=incident.id)
    if incident.opened_at == run.completed_at:
        return Explained(rule=rule, outcome=Outcome.TOLD, why=say("An incident began with this run."), incident_id=incident.id)
    why = say("The run belongs to an incident that was open already. People are told of it once.")
    return Explained(rule=rule, outcome=Outcome.NOTED, why=why, incident_id=incident.id)


def _kept_out(rule: AlertRule, run: EndedRun) -> str | None:
    """Returns why a rule was not applied to an execution; None if it was."""
    if not rule.enabled:
        return say("The rule is disabled.")
    if run.status == Status.CANCELLED:
        return say("Rules are not applied to cancelled runs.")
    if rule.created_at is not None and rule.created_at > run.completed_at:
        return say("The rule was created after this run.")
    if rule.updated_at is not None and rule.updated_at > run.completed_at:
        return say("The rule was changed after this run.")
    return None


def _open_at(incidents: Sequence[Incident], run: EndedRun) -> str | None:
    at = run.completed_at
    open_then = (one for one in incidents if one.opened_at <= at and (one.resolved_at is None or one.resolved_at >= at))
    return next((incident.id for incident in open_then), None)
