"""What becomes of an incident because of an event, or because time has passed. Pure: it goes by the instants of events alone, so that it
does not matter when it is evaluated, or how often."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.notification.announcing import Subject
from app.notification.incidents.incident import MOST_EXECUTIONS, MOST_FLIPS, Incident, IncidentState, Mark, Telling
from app.notification.message import MessageKind
from app.notification.rules.judging import Judgement, Verdict
from app.notification.rules.rule import AlertRule
from templates_lib.messages import say

# An incident flaps if its condition began or ceased to hold three times within six runs, or within half an hour.
FLAPPING_CHANGES, FLAPPING_RUNS, FLAPPING_TIME = 3, 6, timedelta(minutes=30)
STABLE_RUNS = 5  # without a change, after which it flaps no more


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """Something that happened, and what it says about the condition of a rule. `runs` are the instants at which the latest runs of the job
    ended, the latest one first: without them, an incident is stable again by time alone."""

    mark: Mark
    judgement: Judgement
    execution_id: str | None = None
    runs: Sequence[datetime] = ()


def decide_alerts(state: Incident | None, event: AlertEvent, rule: AlertRule, subject: Subject) -> Incident | None:
    """Returns the incident of a rule and a subject after an event. `state` is the newest one before it: open, resolved, or None.

    1. An event that is not later than the last one that the incident has seen changes nothing.
    2. What was due by time before the event comes first: the end of a wait, a reminder, an escalation.
    3. A condition that holds opens an incident, or is counted; one that holds no more ends it.
    """
    if state is not None and event.mark <= state.last:
        return state
    if state is None or not state.is_open:
        return _opened(state, event, rule, subject) if event.judgement.verdict is Verdict.HOLDS else state
    state = replace(pass_time(state, rule, event.mark.at), last=event.mark)
    match event.judgement.verdict:
        case Verdict.HOLDS:
            state = _held(state, event, rule)
        case Verdict.OVER:
            state = _ended(state, event, rule)
    return _settled(state, event, rule) if state.flapping and state.is_open else state


def pass_time(incident: Incident, rule: AlertRule, now: datetime) -> Incident:
    """Returns an incident after all that was due by `now`. Of several reminders that were due, one is sent."""
    if incident.state is IncidentState.PENDING and incident.fires_at is not None and incident.fires_at <= now:
        incident = _fired(incident, rule, incident.fires_at, ())
    if incident.state is not IncidentState.FIRING or incident.flapping:
        return incident
    if incident.remind_at is not None and incident.remind_at <= now:
        incident = _reminded(incident, rule, now)
    if incident.escalate_at is not None and incident.escalate_at <= now:
        incident = replace(incident, escalate_at=None, escalated_at=now)
        if rule.escalate is not None:
            incident = _told(incident, MessageKind.REMINDER, now, escalated=True)
    return incident


def close(incident: Incident, at: datetime, why: str, *, by: str = "") -> Incident:
    """Returns an incident that ends without a message, for a reason of its own."""
    # The mark moves on, so that no event from before opens another incident.
    last = max(incident.last, Mark(at, ""))
    return replace(incident, state=IncidentState.RESOLVED, resolved_at=at, resolved_by=by, why=why, last=last, flapping=False, holds=False)


def _opened(before: Incident | None, event: AlertEvent, rule: AlertRule, subject: Subject) -> Incident:
    at = event.mark.at
    name = "\0".join((rule.id, subject.key, at.isoformat(), event.mark.id))
    made = Incident(
        id=hashlib.sha256(name.encode()).hexdigest()[:32],
        rule_id=rule.id,
        rule=rule.name,
        subject=subject,
        severity=rule.severity,
        state=IncidentState.PENDING,
        opened_at=at,
        last=event.mark,
        why=event.judgement.why,
        fires_at=at + timedelta(seconds=rule.wait_seconds),
        executions=_with(event, ()),
        flips=before.flips if before is not None else (),
    )
    return made if rule.wait_seconds else _fired(made, rule, at, event.runs)


def _fired(incident: Incident, rule: AlertRule, at: datetime, runs: Sequence[datetime]) -> Incident:
    flips = (*incident.flips, at)[-MOST_FLIPS:]
    flapping = _flaps(flips, runs)
    remind, escalate = rule.remind, rule.escalate
    fired = replace(
        incident,
        state=IncidentState.FIRING,
        fired_at=at,
        flips=flips,
        flapping=flapping,
        told=True,
        remind_at=at + timedelta(seconds=remind.every_seconds) if remind is not None else None,
        escalate_at=at + timedelta(seconds=escalate.after_seconds) if escalate is not None else None,
    )
    return _told(fired, MessageKind.FIRING, at, flapping=flapping)


def _held(incident: Incident, event: AlertEvent, rule: AlertRule) -> Incident:
    flips = incident.flips if incident.holds else (*incident.flips, event.mark.at)[-MOST_FLIPS:]
    return replace(
        incident,
        rule=rule.name,
        severity=rule.severity,
        count=incident.count + 1,
        why=event.judgement.why,
        executions=_with(event, incident.executions),
        holds=True,
        flips=flips,
    )


def _ended(incident: Incident, event: AlertEvent, rule: AlertRule) -> Incident:
    at = event.mark.at
    if not incident.told:  # its wait was not over, or somebody has acknowledged it before
        return replace(close(incident, at, event.judgement.why), last=event.mark)
    if not incident.holds:
        return incident
    flips = (*incident.flips, at)[-MOST_FLIPS:]
    if incident.flapping:
        return replace(incident, holds=False, flips=flips)
    if _flaps(flips, event.runs):
        return _told(replace(incident, holds=False, flips=flips, flapping=True), MessageKind.NOTICE, at, flapping=True)
    return _resolved(replace(incident, flips=flips), rule, event)


def _resolved(incident: Incident, rule: AlertRule, event: AlertEvent) -> Incident:
    resolved = replace(close(incident, event.mark.at, event.judgement.why), last=event.mark)
    if not (rule.recovery and incident.told):
        return resolved
    return _told(resolved, MessageKind.RECOVERY, event.mark.at, execution_id=event.execution_id)


def _settled(incident: Incident, event: AlertEvent, rule: AlertRule) -> Incident:
    """Ends the flapping of an incident that has been the same for a while: says once how it is now."""
    changed_at = incident.flips[-1]
    since = sum(at > changed_at for at in event.runs)
    if since < STABLE_RUNS if event.runs else event.mark.at - changed_at < FLAPPING_TIME:
        return incident
    calm = replace(incident, flapping=False, flips=())
    if not incident.holds:
        return _resolved(calm, rule, event)
    return _told(calm, MessageKind.REMINDER, event.mark.at, why=say("It no longer changes back and forth, and is not over."))


def _reminded(incident: Incident, rule: AlertRule, now: datetime) -> Incident:
    remind, at = rule.remind, incident.remind_at
    if remind is None or at is None:
        return replace(incident, remind_at=None)
    every = timedelta(seconds=remind.every_seconds)
    following = at + every * ((now - at) // every + 1)
    sent = incident.reminders + 1
    reminded = replace(incident, reminders=sent, remind_at=following if sent < remind.most else None)
    return _told(reminded, MessageKind.REMINDER, now)


def _flaps(flips: Sequence[datetime], runs: Sequence[datetime]) -> bool:
    since = flips[-1] - FLAPPING_TIME
    if runs:
        since = min(since, runs[min(len(runs), FLAPPING_RUNS) - 1])
    return sum(at >= since for at in flips) >= FLAPPING_CHANGES


def _with(event: AlertEvent, executions: tuple[str, ...]) -> tuple[str, ...]:
    return executions if event.execution_id is None else (*executions, event.execution_id)[-MOST_EXECUTIONS:]


def _told(
    incident: Incident,
    kind: MessageKind,
    at: datetime,
    *,
    why: str = "",
    execution_id: str | None = None,
    escalated: bool = False,
    flapping: bool = False,
) -> Incident:
    last = incident.executions[-1] if incident.executions else None
    telling = Telling(
        number=incident.tellings + 1,
        kind=kind,
        at=at,
        why=why or incident.why,
        execution_id=execution_id or last,
        escalated=escalated,
        flapping=flapping,
    )
    return replace(incident, tellings=telling.number, unsaid=(*incident.unsaid, telling))
