"""/incidents: what alert rules have found, those that fire first; and the page of one incident."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks
from app.errors import Conflict, JobwrightError, NotFound, ValidationFailed
from app.notification.announcing import AlertSeverity, SubjectKind
from app.notification.delivery import place_from
from app.notification.incidents.incident import Incident, IncidentFilter, IncidentState
from app.queue.execution import Execution
from templates_lib.messages import say, say_many
from web.current import actor, services
from web.filters.alerts import INCIDENT_STATES, SEVERITIES, SUBJECTS, VIA_WORDS
from web.views.common import is_refused, tell, unknown_filters
from web.views.told import told_of_incident

blueprint = Blueprint("incidents_pages", __name__, url_prefix="/incidents")

PAGE_SIZE = 50
FILTERS = ("state", "rule", "severity", "q", "subject", "before")
OPEN, ALL = "open", "all"
OPEN_STATES = (IncidentState.FIRING, IncidentState.ACKNOWLEDGED, IncidentState.PENDING)  # in the order of the list
SHOWN_EXECUTIONS = 20


@blueprint.get("")
def list_incidents() -> str:
    """Shows the open incidents, those that fire first; or those in the state that the address names, newest first."""
    args = request.args
    state = args.get("state", OPEN)
    state = state if state in {OPEN, ALL, *IncidentState} else OPEN
    rules = {rule.id: rule.name for rule in services().alert_rules.all(actor())}
    wanted = IncidentFilter(
        rule_id=args.get("rule", "")[:200],
        severity=args.get("severity", "") if args.get("severity", "") in list(AlertSeverity) else "",
        subject_id=args.get("subject", "").strip()[:200],
        search=args.get("q", "").strip()[:200],
    )
    rows, more = _open_ones(wanted) if state == OPEN else _in_state(wanted, state)
    kept = {name: value for name, value in args.items() if name in FILTERS and name != "before" and value}
    older = urlencode({**kept, "before": f"{rows[-1].opened_at.isoformat()}~{rows[-1].id}"}) if more and state != OPEN else ""
    return render_template(
        "incidents.html",
        rows=rows,
        left_off=more and state == OPEN,
        older=older,
        state=state,
        states=INCIDENT_STATES,
        severities=SEVERITIES,
        rules=rules,
        wanted=wanted,
        args=args,
        others=urlencode({name: value for name, value in kept.items() if name != "state"}),
        narrowed_by=sum(bool(args.get(name)) for name in ("rule", "severity", "q", "subject")),
        subjects=SUBJECTS,
        acts=lacks(actor(), May.ACKNOWLEDGE) is None,
        unknown=unknown_filters(FILTERS),
    )


def _open_ones(wanted: IncidentFilter) -> tuple[list[Incident], bool]:
    rows: list[Incident] = []
    more = False
    for state in OPEN_STATES:
        found, left = services().incidents.page(actor(), _with(wanted, state=state.value), limit=PAGE_SIZE)
        rows, more = [*rows, *found], more or left
    return rows, more


def _in_state(wanted: IncidentFilter, state: str) -> tuple[list[Incident], bool]:
    named = "" if state == ALL else state
    wanted = _with(wanted, state=named, before=place_from(request.args.get("before", "")))
    return services().incidents.page(actor(), wanted, limit=PAGE_SIZE)


def _with(wanted: IncidentFilter, *, state: str, before: tuple[datetime, str] | None = None) -> IncidentFilter:
    return IncidentFilter(
        state=state,
        before=before,
        rule_id=wanted.rule_id,
        severity=wanted.severity,
        subject_id=wanted.subject_id,
        search=wanted.search,
    )


@blueprint.get("/<incident_id>")
def show(incident_id: str) -> str:
    """Shows one incident: what happened, whom it told, its runs and its notes."""
    return _page(services().incidents.get(actor(), incident_id))


@blueprint.post("/<incident_id>/acknowledge")
def acknowledge(incident_id: str) -> Any:
    """Says that the viewer deals with an incident."""
    return _changed(
        incident_id, lambda note: services().incidents.acknowledge(actor(), incident_id, note=note), say("Incident acknowledged")
    )


@blueprint.post("/<incident_id>/notes")
def add_note(incident_id: str) -> Any:
    """Adds a note to an incident."""
    return _changed(incident_id, lambda note: services().incidents.note(actor(), incident_id, note), say("Note saved"))


@blueprint.post("/<incident_id>/close")
def close(incident_id: str) -> Any:
    """Closes an incident by hand."""
    return _changed(incident_id, lambda note: services().incidents.resolve(actor(), incident_id, note=note), say("Incident closed"))


def _changed(incident_id: str, change: Any, words: str) -> Any:
    """Makes a change. If it cannot be made, shows the page with what was typed and the reason."""
    note = request.form.get("note", "")
    if is_refused():
        return _page(services().incidents.get(actor(), incident_id), note=note)
    try:
        change(note)
    except (ValidationFailed, Conflict) as failed:
        return _page(services().incidents.get(actor(), incident_id), note=note, error=_reason(failed)), failed.status
    tell(words)
    if request.form.get("back") == "list":
        return redirect(url_for(".list_incidents"))
    return redirect(url_for(".show", incident_id=incident_id))


def _reason(failed: JobwrightError) -> str:
    return failed.errors[0].message if isinstance(failed, ValidationFailed) else failed.detail


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the history of an incident."""

    at: datetime
    icon: str
    words: str
    by: str = ""
    text: str = ""


def _page(incident: Incident, *, note: str = "", error: str = "") -> str:
    executions, gone = _executions(incident)
    told, more_told = told_of_incident(incident.id)
    return render_template(
        "incident.html",
        incident=incident,
        about_job=incident.subject.kind is SubjectKind.JOB,
        subjects=SUBJECTS,
        rule=_rule_name(incident),
        moments=sorted(_moments(incident), key=lambda moment: moment.at),
        executions=executions,
        gone=gone,
        told=told,
        more_told=more_told,
        note=note,
        error=error,
        acts=lacks(actor(), May.ACKNOWLEDGE) is None,
    )


def _rule_name(incident: Incident) -> str:
    """Returns the name of the rule as it is now; empty if it is deleted, or if the viewer does not see it."""
    try:
        return services().alert_rules.get(actor(), incident.rule_id).name
    except NotFound:
        return ""


def _executions(incident: Incident) -> tuple[list[Execution], int]:
    """Returns the executions that the incident names, newest first, and how many of them are no longer kept."""
    rows: list[Execution] = []
    for execution_id in reversed(incident.executions[-SHOWN_EXECUTIONS:]):
        try:
            rows.append(services().history.get(actor(), execution_id))
        except NotFound:
            continue
    return rows, len(incident.executions) - len(rows)


def _moments(incident: Incident) -> Iterator[Moment]:
    yield Moment(incident.opened_at, "circle", say("The condition began to hold"))
    if incident.fired_at is not None:
        yield Moment(incident.fired_at, "bell", say("Firing"))
    if incident.escalated_at is not None:
        yield Moment(incident.escalated_at, "arrow-up", say("Escalated, as nobody had acknowledged it"))
    if incident.acknowledged is not None:
        via = VIA_WORDS.get(incident.acknowledged.via, incident.acknowledged.via)
        yield Moment(incident.acknowledged.at, "user-check", say("Acknowledged {via}", via=via), by=incident.acknowledged.by)
    for note in incident.notes:
        yield Moment(note.at, "pencil", say("Note"), by=note.by, text=note.text)
    if incident.resolved_at is not None:
        words = say("Closed by hand") if incident.resolved_by else say("It is over")
        yield Moment(incident.resolved_at, "circle-check", words, by=incident.resolved_by)
    if incident.reminders and incident.fired_at is not None and incident.is_open:
        words = say_many("{count} reminder so far", "{count} reminders so far", incident.reminders)
        yield Moment(services().clock.now(), "bell", words)
