"""What a rule would say of a past run: its message as it would be sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.execution.end_store import EndStore
from app.execution.ends import EndedRun, ended_run
from app.execution.filters import ExecutionFilter
from app.execution.history import History
from app.notification.announcing import Announcement, message_of
from app.notification.composing import Composer
from app.notification.incidents.ends import NEEDED_RUNS, moment_of, subject_of
from app.notification.incidents.incident import Incident, IncidentState, Mark, Telling
from app.notification.incidents.telling import Wording
from app.notification.message import Message, MessageKind
from app.notification.rules.conditions import ABOUT_JOBS, BY_TIME, MOMENTS, Condition
from app.notification.rules.expressions import event_of, holds
from app.notification.rules.judging import Verdict, judge
from app.notification.rules.rule import AlertRule, JobFacts, ScopeKind
from app.notification.rules.service import AlertRules
from app.notification.rules.texts import Fault
from app.notification.targets import Target
from app.notification.texts import InWords
from app.queue.execution import Execution
from app.queue.model import FAILURES, RAN, Status
from app.validation.words import DEFAULT_LOCALE
from templates_lib.messages import say

MOST_CHOICES = 10  # runs that a person can choose from
MOST_LOOKED_AT = 200  # of the newest runs, for those that the rule is about
PREVIEW = "preview"  # the id of an incident that is not there
# Which runs a rule is about by their statuses, if not the failed ones.
_STATUSES: Mapping[str, frozenset[Status]] = {
    Condition.SUCCEEDED: frozenset({Status.SUCCESS}),
    Condition.SUCCEEDED_AFTER_CHANGE: frozenset({Status.SUCCESS}),
    Condition.TOO_FAST: frozenset({Status.SUCCESS}),
    Condition.MISSED: frozenset({Status.MISSED}),
    Condition.SKIPPED: frozenset({Status.SKIPPED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPreview:
    """A message as it would be sent for `execution`, and the fault of a text that was left out. Both are None if there is no run that the
    rule is about. `choices` are the newest runs that it is about."""

    message: Message | None = None
    execution: Execution | None = None
    fault: Fault | None = None
    choices: tuple[Execution, ...] = ()


class TextPreviews:
    """Shows what rules would say. `targets_of` returns the targets of recipients, and `facts_of` what rules know of the job of an
    execution."""

    def __init__(
        self,
        *,
        rules: AlertRules,
        history: History,
        ends: EndStore,
        wording: Wording,
        composer: Composer,
        in_words: InWords,
        facts_of: Callable[[Execution], JobFacts],
        targets_of: Callable[[tuple[str, ...]], list[Target]],
    ) -> None:
        self._rules, self._history, self._ends, self._wording, self._composer = rules, history, ends, wording, composer
        self._in_words, self._facts_of, self._targets_of = in_words, facts_of, targets_of

    def preview(self, actor: Actor, body: Any, *, execution_id: str = "", language: str = "") -> TextPreview:
        """Returns the message of a rule that is not saved, for an execution that the actor sees; for the newest one that the rule is about,
        if none is named. A rule that is not about single jobs has no preview. The language is that of the first recipient, if none is
        given. Raises ValidationFailed, NotFound, Forbidden."""
        rule = self._rules.draft(actor, body)
        require(actor, May.SEE_EXECUTIONS)
        choices = self._choices(actor, rule)
        named = execution_id if rule.type in ABOUT_JOBS else ""
        execution = self._history.get(actor, named) if named else next(iter(choices), None)
        run = None if execution is None else ended_run(execution)
        if execution is None or run is None:
            return TextPreview(choices=choices)
        language = language or next((target.language for target in self._targets_of(rule.to)), DEFAULT_LOCALE)
        announcement = self._announcement(rule, self._facts_of(execution), run)
        built_in = message_of(announcement, key=PREVIEW, language=language, in_words=self._in_words)
        message, result = self._composer.composed(built_in, announcement, rule.texts)
        # The link to acknowledge would be one to an incident that is not there.
        message = replace(message, links=tuple(link for link in message.links if link.url.endswith(f"/executions/{execution.id}")))
        return TextPreview(message=message, execution=execution, fault=result.fault, choices=choices)

    def _announcement(self, rule: AlertRule, job: JobFacts, run: EndedRun) -> Announcement:
        why = self._why(rule, run)
        if rule.type in MOMENTS:
            return moment_of(rule, job, run, why)
        incident = Incident(
            id=PREVIEW,
            rule_id=rule.id,
            rule=rule.name,
            subject=subject_of(job),
            severity=rule.severity,
            state=IncidentState.FIRING,
            opened_at=run.completed_at,
            last=Mark(run.completed_at, run.id),
            why=why,
        )
        telling = Telling(number=0, kind=MessageKind.FIRING, at=run.completed_at, why=why, execution_id=run.id)
        return self._wording.announcement(incident, rule, telling, rule.to)

    def _why(self, rule: AlertRule, run: EndedRun) -> str:
        if rule.type not in BY_TIME:
            judgement = judge(rule.condition, self._ends.up_to(run, NEEDED_RUNS))
            if judgement.verdict is Verdict.HOLDS:
                return judgement.why
        return say("Preview: the condition does not hold for this run.")

    def _choices(self, actor: Actor, rule: AlertRule) -> tuple[Execution, ...]:
        """Returns the newest runs that a rule is about; if there are none, the newest ones of its jobs. A rule that is not about
        single jobs has none."""
        if rule.type not in ABOUT_JOBS:
            return ()
        for statuses in (_STATUSES.get(rule.type, FAILURES), RAN):
            found = [execution for execution in self._newest(actor, rule, statuses) if self._is_about(rule, execution)]
            if found:
                return tuple(found[:MOST_CHOICES])
        return ()

    def _newest(self, actor: Actor, rule: AlertRule, statuses: frozenset[Status]) -> list[Execution]:
        of_jobs = rule.scope.values[:MOST_CHOICES] if rule.scope.kind is ScopeKind.JOB else (None,)
        rows = []
        for job_id in of_jobs:
            wanted = ExecutionFilter(job_id=job_id, statuses=statuses, real=True)
            rows += self._history.part(actor, wanted, skip=0, limit=MOST_LOOKED_AT // len(of_jobs), most=1)[0]
        return sorted(rows, key=lambda row: row.queued_at, reverse=True)

    def _is_about(self, rule: AlertRule, execution: Execution) -> bool:
        job = self._facts_of(execution)
        return rule.scope.covers(job) and (not rule.where or holds(rule.where, event_of(job, execution)))
