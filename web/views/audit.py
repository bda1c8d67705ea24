"""/audit: the audit trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, render_template, request

from app.accounts.auditors import FORMATS
from app.audit.model import AuditFilter
from app.errors import JobwrightError, NotFound
from app.mongo import Document
from templates_lib.messages import say
from web.current import actor, services, viewer_zone
from web.filters.parameters import PARAMETERS
from web.language import translated
from web.views.common import beginning_of, unknown_filters

blueprint = Blueprint("audit_pages", __name__, url_prefix="/audit")

# Actions in words, by what they are about. An action that is not listed is shown by its code.
ACTIONS: dict[str, dict[str, str]] = {
    say("Jobs"): {
        "job.create": say("Create job"),
        "job.update": say("Change job"),
        "job.delete": say("Delete job"),
        "job.undelete": say("Restore deleted job"),
        "job.restore": say("Restore version of job"),
        "job.enable": say("Enable job"),
        "job.disable": say("Disable job"),
        "job.pause": say("Pause job"),
        "job.resume": say("Resume job"),
        "job.begin_shadow": say("Begin shadow mode of job"),
        "job.end_shadow": say("End shadow mode of job"),
        "job.run": say("Run job"),
        "job.dry_run": say("Dry run"),
        "job.backfill": say("Backfill job"),
        "job.backfill_cancel": say("Cancel backfill"),
        "job.bulk": say("Pause, resume or delete several jobs"),
        "job.move": say("Move job to another version of its template"),
        "job.move_back": say("Move job back to its version"),
        "job.retire": say("Retire job of a service"),
        "job.settle": say("Decide between code and override of job"),
        "job.note": say("Add note to job"),
        "job.unnote": say("Remove note from job"),
        "inbound.create": say("Create inbound address of job"),
        "inbound.update": say("Change inbound address of job"),
        "inbound.rotate": say("Replace secret of inbound address"),
        "inbound.rotate_key": say("Replace signing key of inbound address"),
        "inbound.delete": say("Delete inbound address of job"),
    },
    say("Executions"): {
        "execution.retry": say("Run again"),
        "execution.cancel": say("Cancel execution"),
        "execution.acknowledge": say("Acknowledge failure"),
        "execution.unacknowledge": say("Take back acknowledgement of failure"),
        "execution.dismiss": say("Dismiss failure"),
        "execution.owed_again": say("Retry follow-up of execution"),
        "event.owed_again": say("Retry follow-up of event"),
    },
    say("Alerts"): {
        "rule.create": say("Create alert rule"),
        "rule.update": say("Change alert rule"),
        "rule.delete": say("Delete alert rule"),
        "incident.acknowledge": say("Acknowledge incident"),
        "incident.note": say("Add note to incident"),
        "incident.resolve": say("Close incident"),
    },
    say("Approvals"): {
        "approval.ask": say("Ask for approval"),
        "approval.approve": say("Approve request"),
        "approval.refuse": say("Refuse request"),
        "approval.withdraw": say("Withdraw request"),
    },
    say("Templates"): {
        "template.standing": say("Enable, disable or restrict template"),
        "template.derive": say("Derive template"),
        "template.draft": say("Save draft of template"),
        "template.drop_draft": say("Delete draft of template"),
        "template.publish": say("Publish template"),
        "template.deprecate": say("Deprecate version of template"),
        "template.retire": say("Retire version of template"),
        "template.publish_again": say("Publish version of template again"),
    },
    say("Connections and calendars"): {
        "connection.create": say("Create connection"),
        "connection.update": say("Change connection"),
        "connection.delete": say("Delete connection"),
        "connection.rotate": say("Rotate signing key of service"),
        "connection.retire_key": say("Remove previous signing key of service"),
        "channel.create": say("Create channel"),
        "channel.update": say("Change channel"),
        "channel.delete": say("Delete channel"),
        "channel.test": say("Test channel"),
        "digest.create": say("Create digest"),
        "digest.update": say("Change digest"),
        "digest.delete": say("Delete digest"),
        "delivery.replay": say("Send notification again"),
        "mute.create": say("Create mute"),
        "mute.update": say("Change mute"),
        "mute.end": say("End mute"),
        "service.hand_over": say("Give service to another account"),
        "service.delete": say("Remove service"),
        "calendar.create": say("Create blackout calendar"),
        "calendar.update": say("Change blackout calendar"),
        "calendar.delete": say("Delete blackout calendar"),
    },
    say("Accounts"): {
        "session.start": say("Sign in"),
        "session.end": say("Sign out"),
        "session.refuse": say("Refused sign-in"),
        "session.revoke": say("End another session"),
        "session.revoke_others": say("End all other sessions"),
        "user.create": say("Create account"),
        "user.update": say("Change account"),
        "user.password": say("Set password"),
        "user.reset": say("Create password link"),
        "user.link": say("Link account with provider"),
        "user.second_factor": say("Set up second factor"),
        "user.second_factor_remove": say("Remove second factor"),
        "token.create": say("Create token"),
        "token.rotate": say("Rotate token"),
        "token.revoke": say("Revoke token"),
        "preset.save": say("Save preset"),
        "preset.delete": say("Delete preset"),
        "request.refuse": say("Refused request"),
    },
    say("System"): {
        "maintenance.begin": say("Begin maintenance"),
        "maintenance.end": say("End maintenance"),
        "node.drain": say("Drain node"),
        "node.resume": say("Resume node"),
        "settings.change": say("Changed settings at start"),
        "secrets.reseal": say("Encrypt secrets with new key"),
        "backup.create": say("Back up installation"),
        "backup.restore": say("Restore installation"),
        "import.create": say("Import job"),
        "migration.apply": say("Run job beside the old scheduler"),
        "migration.cut_over": say("Take job over from the old scheduler"),
        "migration.roll_back": say("Give job back to the old scheduler"),
        "import.remove": say("Remove imported job"),
        "audit.export": say("Export audit trail"),
        "sample.create": say("Create sample data"),
        "sample.remove": say("Remove sample data"),
    },
}
ACTION_WORDS = {code: words for group in ACTIONS.values() for code, words in group.items()}
TARGETS = {
    "approval": say("Approval"),
    "audit": say("Audit trail"),
    "calendar": say("Blackout calendar"),
    "channel": say("Channel"),
    "digest": say("Digest"),
    "connection": say("Connection"),
    "delivery": say("Notification"),
    "event": say("Event"),
    "execution": say("Execution"),
    "installation": say("Installation"),
    "job": say("Job"),
    "mute": say("Mute"),
    "node": say("Node"),
    "preset": say("Preset"),
    "request": say("Request"),
    "template": say("Template"),
    "token": say("Token"),
    "user": say("Account"),
}
OUTCOMES = {"done": say("Done"), "failed": say("Failed"), "refused": say("Refused")}
LONGEST = 320
FILTERS = ("actor", "action", "kind", "target_id", "correlation_id", "outcome", "begin", "end", "before")


@blueprint.get("")
def list_events() -> str:
    """Shows the events that match the filters in the address, newest first."""
    before = request.args.get("before", "")
    number = int(before) if before.isascii() and before.isdigit() and len(before) < 16 else None
    page = services().auditors.page(actor(), _filter(), before=number)
    shown = {name: value for name, value in request.args.items() if name != "before"}
    recorded = services().auditors.actions(actor())
    return render_template(
        "audit.html",
        page=page,
        target_name=_target_name,
        schema_of=_schema_of,
        args=shown,
        actions=_choices(recorded),
        words=ACTION_WORDS,
        targets=TARGETS,
        outcomes=OUTCOMES,
        zone=viewer_zone(),
        unknown=unknown_filters(FILTERS),
    )


def _target_name(target: Mapping[str, str]) -> str:
    """Returns what an event is about, in words. The name of a request for approval begins with the code of its action."""
    name = target.get("name") or target["id"]
    code, _, job = name.partition(" ")
    if target["kind"] == "approval" and code in ACTION_WORDS and job:
        return translated(say("{action}: {job}", action=ACTION_WORDS[code], job=job))
    return name


def _schema_of(event: Document) -> Any:
    """Returns the schema of the parameters that an event has changed; None if there are none, or if their template is gone."""
    if event["target"]["kind"] not in {"job", "approval"} or not any(row["field"].startswith(PARAMETERS) for row in event["diff"]):
        return None
    recorded = next((row["after"] for row in event["diff"] if row["field"] == "/template_type" and "after" in row), None)
    entry = services().catalogue.find(recorded or _template_of(event["target"]))
    return entry.parameters_schema if entry is not None else None


def _template_of(target: Mapping[str, str]) -> str:
    """Returns the template of a job or of a request for approval; empty if it is gone."""
    try:
        if target["kind"] == "approval":
            return str(services().approvals.get(actor(), target["id"])["template_type"])
        return services().jobs.get(actor(), target["id"]).definition.template_type
    except JobwrightError:
        return ""


def _choices(recorded: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Returns (group, [(code, words)]) of the actions that were ever recorded, for the select of the filter."""
    groups = [(title, [(code, words) for code, words in group.items() if code in recorded]) for title, group in ACTIONS.items()]
    others = [(code, code) for code in recorded if code not in ACTION_WORDS]
    return [(title, choices) for title, choices in (*groups, (say("Others"), others)) if choices]


@blueprint.get("/export.<kind>")
def export(kind: str) -> Response:
    """Sends all events that match as a file."""
    if kind not in FORMATS:
        raise NotFound("export format", kind)
    lines = services().auditors.export(actor(), _filter(), kind)
    return Response(lines, mimetype=FORMATS[kind], headers={"Content-Disposition": f'attachment; filename="audit.{kind}"'})


def _filter() -> AuditFilter:
    text = {name: request.args.get(name, "").strip()[:LONGEST] for name in ("actor", "action", "kind", "target_id", "correlation_id")}
    outcome = request.args.get("outcome", "")
    return AuditFilter(
        **text,
        outcome=outcome if outcome in OUTCOMES else "",
        begin=beginning_of(request.args.get("begin", "")),
        end=beginning_of(request.args.get("end", ""), after=1),
    )
