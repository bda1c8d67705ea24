"""/rules: alert rules, which say when people are told of what."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks, require
from app.errors import DuplicateName, FieldError, JobwrightError, LimitReached, StaleVersion, ValidationFailed
from app.jobs.filters import JobFilter
from app.notification.incidents.incident import IncidentFilter
from app.notification.incidents.previewing import TextPreview
from app.notification.rules.rule import AlertRule, ScopeKind, body_of
from app.notification.rules.texts import NAMES
from templates_lib.messages import joined, say
from web.current import actor, services
from web.views.common import CHECK, Editor, posted, posted_version, tell
from web.views.rule_form import form_value, kinds_for, new_rule, offered_kinds, rule_form

blueprint = Blueprint("rules_pages", __name__, url_prefix="/rules")

PREVIEW, RUN = "preview", "run"  # the button that shows the message, and the execution that it is about
MOST_OPEN = 500  # incidents that the list counts
MOST_NAMED = 3  # jobs, templates, tags or groups of a rule in a list


@blueprint.get("")
def list_rules() -> str:
    """Shows the rules that the viewer sees, by name, with the number of their open incidents."""
    rules = services().alert_rules.all(actor())
    open_ones, _ = services().incidents.page(actor(), IncidentFilter(open=True), limit=MOST_OPEN)
    counts: dict[str, int] = {}
    for incident in open_ones:
        counts[incident.rule_id] = counts.get(incident.rule_id, 0) + 1
    return render_template(
        "rules.html",
        rules=rules,
        counts=counts,
        scopes=scopes_of(rules),
        manageable={rule.id for rule in rules if services().alert_rules.may_manage(actor(), rule)},
        manages=lacks(actor(), May.MANAGE_RULES) is None,
    )


def scopes_of(rules: Collection[AlertRule]) -> dict[str, str]:
    """Returns for the id of each rule which jobs it applies to, in words."""
    ids = {value for rule in rules if rule.scope.kind is ScopeKind.JOB for value in rule.scope.values}
    jobs = services().directory.page(actor(), JobFilter(ids=ids), limit=max(len(ids), 1)).items if ids else ()
    names = {job.id: job.definition.name for job in jobs}
    return {rule.id: _scope_words(rule, names) for rule in rules}


def _scope_words(rule: AlertRule, names: dict[str, str]) -> str:
    scope = rule.scope
    if scope.kind is ScopeKind.ALL:
        return say("All jobs")
    values = [_value_words(scope.kind, value, names) for value in scope.values[:MOST_NAMED]]
    if len(scope.values) > MOST_NAMED:
        values.append(say("{count} more", count=len(scope.values) - MOST_NAMED))
    named = joined(values, ", ")
    match scope.kind:
        case ScopeKind.TEMPLATE:
            return say("Template: {names}", names=named)
        case ScopeKind.TAG:
            return say("Tag: {names}", names=named)
        case ScopeKind.GROUP:
            return say("Group: {names}", names=named)
    return named


def _value_words(kind: ScopeKind, value: str, names: dict[str, str]) -> str:
    if kind is ScopeKind.JOB:
        return names.get(value) or say("a deleted job")
    if kind is ScopeKind.TEMPLATE:
        entry = services().catalogue.find(value)
        return entry.name if entry is not None else value
    return value


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> Any:
    """Shows the form of a new rule; `?job=` is the id of a job that it is for."""
    require(actor(), May.MANAGE_RULES)
    kinds = kinds_for(actor())
    if request.method == "GET":
        return _page(Editor(rule_form(kinds), _beginning(kinds), fresh=True))
    editor = Editor(rule_form(kinds))
    answer = _saved(editor, None)
    if not isinstance(answer, AlertRule):
        return answer
    tell(say("Alert rule {name} created", name=answer.name))
    return redirect(url_for(".list_rules"))


def _beginning(kinds: tuple[ScopeKind, ...]) -> dict[str, Any]:
    job_id, groups = request.args.get("job", ""), actor().groups
    to = [actor().email] if "@" in actor().email else []
    if job_id:
        return new_rule(ScopeKind.JOB, [services().jobs.get(actor(), job_id).id], to)
    if kinds[0] is ScopeKind.GROUP:
        return new_rule(ScopeKind.GROUP, sorted(groups or ()), to)
    return new_rule(kinds[0], [], to)


@blueprint.route("/<rule_id>", methods=["GET", "POST"])
def edit(rule_id: str) -> Any:
    """Shows the form of a rule; to who may not change it, what it says."""
    rule = services().alert_rules.get(actor(), rule_id)
    if not services().alert_rules.may_manage(actor(), rule) or rule.damaged:
        if request.method == "POST":
            return _refused(rule)
        return render_template("rule.html", rule=rule, scope=scopes_of([rule])[rule.id])
    editor = Editor(rule_form(offered_kinds(rule.scope.kind)), form_value(body_of(rule)))
    if request.method == "GET":
        return _page(editor, rule)
    answer = _saved(editor, rule)
    if not isinstance(answer, AlertRule):
        return answer
    tell(say("Alert rule {name} changed", name=answer.name))
    return redirect(url_for(".list_rules"))


def _refused(rule: AlertRule) -> Any:
    """Lets the service say why the viewer may not change a rule."""
    services().alert_rules.update(actor(), rule.id, body_of(rule))
    return redirect(url_for(".edit", rule_id=rule.id))


def _saved(editor: Editor, rule: AlertRule | None) -> Any:
    """Returns the rule that was saved as it was posted, or else the page to show again."""
    editor.read(posted())
    if PREVIEW in request.form:
        return _preview_page(editor, rule)
    if editor.pressed:
        errors = editor.submission.errors if editor.submission and editor.pressed == CHECK else ()
        return _page(editor, rule, errors)
    try:
        if rule is None:
            return services().alert_rules.create(actor(), editor.value)
        return services().alert_rules.update(actor(), rule.id, editor.value, version=posted_version())
    except (ValidationFailed, StaleVersion, DuplicateName, LimitReached) as failed:
        return _page(editor, rule, _errors(failed)), failed.status


def _preview_page(editor: Editor, rule: AlertRule | None) -> Any:
    """Shows the form again, with the message that the rule would send."""
    try:
        preview = services().text_previews.preview(actor(), editor.value, execution_id=request.form.get(RUN, "")[:200])
    except ValidationFailed as failed:
        return _page(editor, rule, failed.errors), failed.status
    return _page(editor, rule, preview=preview)


def _errors(failed: JobwrightError) -> Collection[FieldError]:
    if isinstance(failed, ValidationFailed):
        return failed.errors
    told = failed.told if isinstance(failed, StaleVersion | DuplicateName) else failed.detail
    return (FieldError("/name" if isinstance(failed, DuplicateName) else "", told),)


@blueprint.post("/<rule_id>/<any(enable, disable):action>")
def switch(rule_id: str, action: str) -> Any:
    """Enables or disables a rule."""
    rule = services().alert_rules.enable(actor(), rule_id, enabled=action == "enable")
    tell(say("Alert rule {name} enabled", name=rule.name) if rule.enabled else say("Alert rule {name} disabled", name=rule.name))
    return redirect(url_for(".list_rules"))


@blueprint.post("/<rule_id>/delete")
def delete(rule_id: str) -> Any:
    """Deletes a rule."""
    rule = services().alert_rules.get(actor(), rule_id)
    services().alert_rules.delete(actor(), rule_id)
    tell(say("Alert rule {name} deleted", name=rule.name))
    return redirect(url_for(".list_rules"))


def _page(editor: Editor, rule: AlertRule | None = None, errors: Collection[FieldError] = (), *, preview: TextPreview | None = None) -> str:
    shown = editor.present(errors)
    return render_template(
        "rule_form.html",
        rule=rule,
        controls=shown.controls,
        errors=shown.summary,
        names=NAMES,
        preview=preview,
        mail_problem=services().outlook.mail_problem(),
    )
