"""/templates, for super-admins: switch, restrict, derive, publish, move jobs, share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.errors import DuplicateName, FieldError, StaleVersion, ValidationFailed
from app.jobs.moves import Impact, Outcome, Result
from app.jobtemplates.derived import compose, problems
from app.jobtemplates.entry import TemplateVersion
from app.jobtemplates.service import STANDING_SCHEMA
from app.mongo import Document
from app.validation.pointer import keys_of
from templates_lib.messages import Said, counted, joined, said, say, say_many
from web.current import actor, services
from web.forms import ABSENT
from web.forms.page.messages import SummaryLine
from web.forms.render import Presented
from web.forms.values import from_name
from web.views.common import CHECK, Editor, form_of, is_refused, live_options, parameters_form, posted, posted_version, tell

blueprint = Blueprint("template_admin", __name__, url_prefix="/templates")

LIVE = "live"  # the prefix of the form that is only shown


# -- standing ----------------------------------------------------------------------------------------------------------


@blueprint.route("/<kind>/standing", methods=["GET", "POST"])
def standing(kind: str) -> Any:
    """On or off, for whom, with which note."""
    require(actor(), May.MANAGE_TEMPLATES)
    row, entry = services().templates.get(actor(), kind), services().catalogue.get(kind)
    said = services().catalogue.standing(kind)
    stored = {
        "enabled": said.enabled,
        "when_off": said.when_off.value,
        "roles": [role.value for role in said.roles],
        "note": said.note,
        "needs": list(said.needs),
    }
    errors: tuple[FieldError, ...] = ()
    editor, status = Editor(form_of(STANDING_SCHEMA), stored), 200
    if request.method == "POST":
        editor.read(posted())
        try:
            value = editor.value
            if not editor.pressed:
                services().templates.set_standing(actor(), kind, {"needs": [], **value}, revision=posted_version())
                tell(
                    say("Template {name} enabled", name=entry.name)
                    if value["enabled"]
                    else say("Template {name} disabled", name=entry.name)
                )
                return redirect(url_for("templates_pages.show", kind=kind))
        except (ValidationFailed, StaleVersion) as failed:
            errors, status = _told(failed), 200 if editor.pressed else failed.status
    shown = editor.present(errors if editor.pressed in {None, CHECK} else ())
    jobs = services().directory.count_of(kind)
    page = {"row": row, "entry": entry, "controls": shown.controls, "errors": _summary(errors, shown), "jobs": jobs}
    return render_template("template_standing.html", **page), status


# -- drafts ------------------------------------------------------------------------------------------------------------


@blueprint.route("/<kind>/derive", methods=["GET", "POST"])
def derive(kind: str) -> Any:
    """The form of a new derived template."""
    require(actor(), May.MANAGE_TEMPLATES)
    base = services().catalogue.get(kind)
    editor = Editor(form_of(services().templates.definition_schema(kind), options=live_options), _first(base))
    name = request.form.get("type", "").strip()
    if request.method == "GET":
        return _draft_page(base, editor)
    return _saved(
        base,
        editor,
        None,
        name,
        lambda value: services().templates.derive(actor(), {"type": name, "base": kind, "definition": value}),
        "/definition",
    )


@blueprint.route("/<kind>/draft", methods=["GET", "POST"])
def draft(kind: str) -> Any:
    """The form of the draft; without one, of the newest version."""
    require(actor(), May.MANAGE_TEMPLATES)
    row = services().templates.get(actor(), kind)
    base = services().templates.base_of(row)
    stored = _for_form(services().templates.definition_of(row))
    editor = Editor(form_of(services().templates.definition_schema(base.type), options=live_options), stored)
    if request.method == "GET":
        return _draft_page(base, editor, row, kind)
    return _saved(base, editor, row, kind, lambda value: services().templates.save_draft(actor(), kind, value, revision=posted_version()))


@blueprint.post("/<kind>/draft/drop")
def drop_draft(kind: str) -> Any:
    """Forget it."""
    row = services().templates.get(actor(), kind)
    services().templates.drop_draft(actor(), kind)
    tell("Draft discarded")
    return redirect(_where(row))


def _for_form(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition with what it leaves out and the form has a switch for."""
    treatments = definition.get("parameters", {})
    return {
        **definition,
        "parameters": {
            name: {"shown": False, **treatment} if "value" in treatment else treatment for name, treatment in treatments.items()
        },
    }


_FILE_FIELDS = {
    "jobwright_template": say("Format"),
    "type": say("Type"),
    "base": say("Base template"),
    "base_version": say("Version of the base template"),
    "definition": say("Definition"),
    "signature": say("Signature"),
}


def _first(base: TemplateVersion) -> dict[str, Any]:
    return {"name": "", "description": base.description, "category": base.category, "icon": base.icon, "parameters": {}}


def _saved(base: TemplateVersion, editor: Editor, row: Document | None, kind: str, save: Any, prefix: str = "") -> Any:
    editor.read(posted())
    if editor.pressed or "show" in request.form:
        errors = editor.submission.errors if editor.submission and (editor.pressed == CHECK or "show" in request.form) else ()
        return _draft_page(base, editor, row, kind, errors)
    try:
        save(editor.value)
    except (ValidationFailed, StaleVersion, DuplicateName) as failed:
        errors = tuple(error.within(prefix) for error in _told(failed))
        return _draft_page(base, editor, row, kind, errors), failed.status
    tell("Draft saved. Jobs do not change until you publish it.")
    return redirect(url_for(".publish", kind=kind))


def _draft_page(
    base: TemplateVersion, editor: Editor, row: Document | None = None, kind: str = "", errors: tuple[FieldError, ...] = ()
) -> str:
    own = [error for error in errors if error.pointer in {"", "/type"}]
    shown = editor.present(error for error in errors if error not in own)
    value = editor.stored if editor.submission is None else editor.submission.value
    return render_template(
        "template_draft.html",
        base=base,
        row=row,
        kind=kind,
        controls=shown.controls,
        errors=[*_lines(own), *shown.summary],
        type_errors=[error.message for error in own if error.pointer],
        live=_live(base, value),
        pages=_where(row),
    )


def _where(row: Document | None) -> str:
    return url_for("templates_pages.show", kind=row["_id"]) if row and row.get("versions") else url_for("templates_pages.gallery")


def _live(base: TemplateVersion, definition: Any) -> Presented | None:
    """The form that jobs would have; None while the definition is not right."""
    if not isinstance(definition, Mapping):
        return None
    named = {**definition, "name": definition.get("name") or base.name}
    if problems(base.template, named):
        return None
    return parameters_form(compose(base.parameters_schema, named)).present(ABSENT, name_prefix=LIVE)


# -- versions ----------------------------------------------------------------------------------------------------------


@blueprint.route("/<kind>/publish", methods=["GET", "POST"])
def publish(kind: str) -> Any:
    """What the draft means for the jobs, then publishing it, and moving those that need no input."""
    require(actor(), May.MANAGE_TEMPLATES)
    row = services().templates.get(actor(), kind)
    target = services().templates.draft(actor(), kind)
    if request.method == "GET" or is_refused():
        impacts = services().moves.impact(actor(), target)
        return render_template(
            "template_impact.html",
            row=row,
            target=target,
            impact=impacts,
            counts=_counts(impacts),
            draft=True,
            published=bool(row["versions"]),
            note=request.form.get("note", ""),
            moves=not request.form or "move" in request.form,
        )
    services().templates.publish(actor(), kind, note=request.form.get("note", ""), revision=posted_version())
    told = say("Version {number} of {name} published", number=target.version, name=target.name)
    if "move" in request.form:
        published = services().catalogue.get(kind, target.version)
        told = joined((told, _told_results(services().moves.move(actor(), published, None)[1])), "; ")
    tell(told)
    return redirect(url_for("templates_pages.show", kind=kind))


@blueprint.route("/<kind>/impact/<int:version>", methods=["GET", "POST"])
def impact(kind: str, version: int) -> Any:
    """What a version means for the jobs of others, and moving the chosen ones there."""
    require(actor(), May.MANAGE_TEMPLATES)
    row, target = services().templates.get(actor(), kind), services().catalogue.get(kind, version)
    if request.method == "GET" or is_refused():
        impacts = services().moves.impact(actor(), target)
        chosen = set(request.form.getlist("job")) if request.form else None
        return render_template(
            "template_impact.html",
            row=row,
            target=target,
            impact=impacts,
            counts=_counts(impacts),
            draft=False,
            published=True,
            chosen=chosen,
        )
    _, results = services().moves.move(actor(), target, request.form.getlist("job"))
    tell(_told_results(results))
    return redirect(url_for(".impact", kind=kind, version=version))


@blueprint.route("/<kind>/impact/<int:version>/<job_id>", methods=["GET", "POST"])
def give_input(kind: str, version: int, job_id: str) -> Any:
    """The form of the version that a job is to be moved to, with what the job has by now and what is wrong with it."""
    require(actor(), May.MANAGE_TEMPLATES)
    target = services().catalogue.get(kind, version)
    move = services().moves.of_job(actor(), job_id, target)
    editor = Editor(parameters_form(target.parameters_schema), services().moves.shown(move))
    errors: tuple[FieldError, ...] = tuple(error.within("/parameters") for error in move.errors)
    status = 200
    if request.method == "POST":
        editor.read(posted())
        errors = editor.submission.errors if editor.submission and editor.pressed == CHECK else ()
        if not editor.pressed:
            try:
                results = services().moves.move(actor(), target, [job_id], given={job_id: editor.value})[1]
                wrong = [error for result in results for error in result.errors]
                if not wrong:
                    tell(_told_results(results))
                    return redirect(url_for(".impact", kind=kind, version=version))
                errors = tuple(error.within("/parameters") for error in wrong)
            except ValidationFailed as failed:
                errors = failed.errors
            status = 422
    shown = editor.present(errors if editor.pressed in {None, CHECK} else ())
    page = {"target": target, "job": move.job, "controls": shown.controls, "is_json": shown.is_json, "errors": _summary(errors, shown)}
    return render_template("template_move.html", **page), status


@blueprint.post("/<kind>/moves/<move_id>/roll-back")
def roll_back(kind: str, move_id: str) -> Any:
    """Give each job of a move back what it was."""
    tell(_told_results(services().moves.roll_back(actor(), move_id)))
    return redirect(url_for("templates_pages.show", kind=kind))


@blueprint.post("/<kind>/versions/<int:version>/<any(published, deprecated, retired):state>")
def set_state(kind: str, version: int, state: str) -> Any:
    """Deprecate, retire, publish again."""
    services().templates.set_state(actor(), kind, version, state)
    tell(say("Version {number} is {state}", number=version, state=said(state)))
    return redirect(url_for("templates_pages.show", kind=kind))


def _counts(impact: Iterable[Impact]) -> Counter[str]:
    return Counter(row.effect.value for row in impact)


_WORDS = {
    Outcome.MOVED: counted("{count} job moved", "{count} jobs moved"),
    Outcome.RESTORED: counted("{count} job restored", "{count} jobs restored"),
    Outcome.NEEDS_INPUT: counted("{count} job waiting for input", "{count} jobs waiting for input"),
    Outcome.CHANGED: counted("{count} job not moved because someone changed it", "{count} jobs not moved because someone changed them"),
    Outcome.GONE: counted("{count} job no longer exists", "{count} jobs no longer exist"),
}


def _told_results(results: Iterable[Result]) -> Said:
    """What became of jobs, counted: "3 jobs moved, 1 waiting for input"."""
    counts = Counter(result.outcome for result in results)
    told = [say_many(*_WORDS[outcome], count) for outcome, count in counts.items()]
    return joined(told, ", ") if told else say("No job moved")


# -- files -------------------------------------------------------------------------------------------------------------


@blueprint.get("/<kind>/export.json")
def export(kind: str) -> Response:
    """The version that new jobs are of, as a signed file."""
    headers = {"Content-Disposition": f'attachment; filename="{kind}.template.json"'}
    return Response(services().sharing.write(actor(), kind), content_type="application/json; charset=utf-8", headers=headers)


@blueprint.route("/import", methods=["GET", "POST"])
def bring() -> Any:
    """A file, then what it holds and who signed it, then taking it as a draft."""
    require(actor(), May.MANAGE_TEMPLATES)
    if request.method == "GET":
        return _import_page("", None)
    upload, text = request.files.get("upload"), request.form.get("file", "").replace("\r\n", "\n")
    try:
        if upload is not None and upload.filename:
            upload.seek(0)  # a page that was refused is drawn a second time
            text = upload.read().decode("utf-8")
        if "take" not in request.form or is_refused():
            return _import_page(text, services().sharing.look(actor(), text))
        row = services().sharing.take(actor(), text)
    except UnicodeDecodeError:
        return _import_page("", None, [say("The file is not a text in UTF-8")]), 422
    except ValidationFailed as failed:
        return _import_page(
            text, None, [joined((_file_field(error.pointer), error.message), " ") for error in failed.errors]
        ), failed.status
    tell("Imported as a draft. Check it, then publish it.")
    return redirect(url_for(".publish", kind=row["_id"]))


def _import_page(text: str, template: Any, problems: Iterable[str] = ()) -> str:
    return render_template(
        "template_import.html",
        text=text,
        template=template,
        problems=list(problems),
        errors=[(_file_field(error.pointer), error.message) for error in template.errors] if template else [],
        key=services().sharing.key,
    )


def _file_field(pointer: str) -> Said:
    """Returns the title of a field of an exported template: "Definition › Name" for `/definition/name`."""
    if not pointer:
        return say("The file")
    first, *others = keys_of(pointer)
    return joined((_FILE_FIELDS.get(first, from_name(first)), *map(from_name, others)), " › ")


# -- presets -----------------------------------------------------------------------------------------------------------


@blueprint.post("/<kind>/presets/<preset_id>/delete")
def delete_preset(kind: str, preset_id: str) -> Any:
    """Forget one."""
    services().presets.delete(actor(), kind, preset_id)
    tell("Preset deleted")
    return redirect(url_for("jobs_pages.new", template=kind))


# -- steps -------------------------------------------------------------------------------------------------------------


def _told(failed: ValidationFailed | StaleVersion) -> tuple[FieldError, ...]:
    if isinstance(failed, DuplicateName):
        return (FieldError("/type", failed.told),)
    return failed.errors if isinstance(failed, ValidationFailed) else (FieldError("", failed.told),)


def _summary(errors: Iterable[FieldError], shown: Presented) -> list[SummaryLine]:
    return [*_lines(error for error in errors if not error.pointer), *shown.summary]


def _lines(errors: Iterable[FieldError]) -> list[SummaryLine]:
    """What is wrong with the page as a whole, or with the type of a new template."""
    return [
        SummaryLine(
            error.pointer, "#type" if error.pointer else "#job-form", say("Type") if error.pointer else say("Template"), error.message
        )
        for error in errors
    ]
