"""/connections: what jobs talk to."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks, require
from app.errors import Conflict, FieldError, NotFound, StaleVersion, ValidationFailed
from app.mongo import Document
from app.shapes import DAMAGED
from templates_lib.connections import KINDS, ConnectionKind
from templates_lib.messages import say
from web.current import actor, services
from web.forms.page.messages import SummaryLine
from web.views.common import CHECK, Editor, form_of, posted, posted_version, tell

blueprint = Blueprint("connections_pages", __name__, url_prefix="/connections")


@blueprint.get("")
def list_connections() -> str:
    """All of them, by name."""
    rows = services().connections.all(actor())
    return render_template("connections.html", rows=rows, kinds=KINDS, super_admin=lacks(actor(), May.MANAGE_CONNECTIONS) is None)


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> Any:
    """The form of a new one; its kind is in the address."""
    require(actor(), May.MANAGE_CONNECTIONS)
    kind = KINDS.get(request.args.get("kind", ""))
    if kind is None:
        raise NotFound("connection kind", request.args.get("kind", ""))
    editor = Editor(form_of(kind.settings_schema))
    if request.method == "GET":
        return _page(kind, editor)
    editor.read(posted())
    name = request.form.get("name", "").strip()
    if editor.pressed:
        return _page(kind, editor, name=name, errors=_wrong(editor) if editor.pressed == CHECK else ())
    try:
        row = services().connections.create(actor(), name=name, kind=kind.type, settings=_settings(editor))
    except ValidationFailed as failed:
        return _page(kind, editor, name=name, errors=failed.errors), failed.status
    tell(say("{name} is there; test it once", name=row["name"]))
    return redirect(url_for(".edit", connection_id=row["_id"]))


@blueprint.route("/<connection_id>", methods=["GET", "POST"])
def edit(connection_id: str) -> Any:
    """The form of one that is there; secrets stay unless typed anew."""
    row = services().connections.get(actor(), connection_id)
    kind = _kind_of(row)
    editor = Editor(form_of(kind.settings_schema), row["settings"])
    if request.method == "GET":
        return _page(kind, editor, row=row, name=row["name"])
    editor.read(posted())
    name = request.form.get("name", "").strip()
    if editor.pressed:
        return _page(kind, editor, row=row, name=name, errors=_wrong(editor) if editor.pressed == CHECK else ())
    try:
        services().connections.update(actor(), connection_id, name=name, settings=_settings(editor), version=posted_version())
    except (ValidationFailed, StaleVersion) as failed:
        errors = failed.errors if isinstance(failed, ValidationFailed) else (FieldError("", failed.told),)
        return _page(kind, editor, row=row, name=name, errors=errors), failed.status
    tell(say("{name} is changed", name=name))
    return redirect(url_for(".list_connections"))


@blueprint.post("/<connection_id>/test")
def test(connection_id: str) -> str:
    """Open it once and say what answered."""
    row = services().connections.get(actor(), connection_id)
    works, message = services().connections.probe(actor(), connection_id)
    kind = _kind_of(row)
    return _page(kind, Editor(form_of(kind.settings_schema), row["settings"]), row=row, name=row["name"], probe=(works, message))


@blueprint.post("/<connection_id>/delete")
def delete(connection_id: str) -> Any:
    """Remove one that no job uses."""
    row = services().connections.get(actor(), connection_id)
    services().connections.delete(actor(), connection_id, used_by=services().directory.names_using(row["name"]))
    tell(say("{name} is deleted", name=row["name"]))
    return redirect(url_for(".list_connections"))


def _kind_of(row: Document) -> ConnectionKind:
    """Raises Conflict for a connection whose record cannot be read."""
    if row["kind"] not in KINDS:
        raise Conflict(say("The record of this connection is damaged: {reason}", reason=row.get(DAMAGED, "")))
    return KINDS[row["kind"]]


def _wrong(editor: Editor) -> tuple[FieldError, ...]:
    errors = editor.submission.errors if editor.submission else ()
    return tuple(error.below("/settings") for error in errors)


def _settings(editor: Editor) -> dict[str, Any]:
    errors = _wrong(editor)
    if errors:
        raise ValidationFailed(errors)
    settings: dict[str, Any] = editor.value
    return settings


def _page(
    kind: ConnectionKind,
    editor: Editor,
    *,
    row: Document | None = None,
    name: str = "",
    errors: tuple[FieldError, ...] = (),
    probe: tuple[bool, str] | None = None,
) -> str:
    shown = editor.present(FieldError(e.pointer.removeprefix("/settings"), e.message) for e in errors if e.pointer.startswith("/settings"))
    others = [e for e in errors if not e.pointer.startswith("/settings")]
    lines = [
        SummaryLine(
            e.pointer,
            "#name" if e.pointer == "/name" else "#job-form",
            say("Name") if e.pointer == "/name" else say("Connection"),
            e.message,
        )
        for e in others
    ]
    return render_template(
        "connection_form.html",
        kind=kind,
        row=row,
        name=name,
        controls=shown.controls,
        errors=[*lines, *shown.summary],
        name_errors=[e.message for e in others if e.pointer == "/name"],
        probe=probe,
    )
