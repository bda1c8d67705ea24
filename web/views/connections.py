"""/connections: the credentials for the systems that jobs use."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks, require
from app.connections.service import TEST_SECONDS
from app.errors import Conflict, FieldError, NotFound, StaleVersion, ValidationFailed
from app.mongo import Document
from app.shapes import DAMAGED
from templates_lib.connections import KINDS, ConnectionKind
from templates_lib.messages import say
from web.current import actor, services
from web.forms.page.messages import SummaryLine
from web.views.common import CHECK, Editor, form_of, is_htmx, posted, posted_version, tell
from web.views.signin import safe_target

blueprint = Blueprint("connections_pages", __name__, url_prefix="/connections")

TEST = "test"  # the button that tests the values of the form
CREATED = "connection"  # in the address that the form of a new connection leads to: the name of what was created
LONGEST_NAME = 80


@blueprint.get("")
def list_connections() -> str:
    """Shows all connections, by name."""
    rows, manages = services().connections.all(actor()), lacks(actor(), May.MANAGE_CONNECTIONS) is None
    uses = services().directory.counts_by_connection() if manages else {}
    return render_template("connections.html", rows=rows, kinds=KINDS, super_admin=manages, uses=uses)


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> Any:
    """Shows the form of a new connection. Its kind is in the address (`kind`); without one, shows the kinds to choose from. With `next`,
    a path of our own, the form leads there afterwards and hands over the name (`connection`)."""
    require(actor(), May.MANAGE_CONNECTIONS)
    if not request.args.get("kind"):
        others = urlencode([(name, request.args[name]) for name in ("next", "name") if request.args.get(name)])
        return render_template("connection_kinds.html", kinds=KINDS, others=others)
    kind = KINDS.get(request.args.get("kind", ""))
    if kind is None:
        raise NotFound("connection kind", request.args.get("kind", ""))
    editor = Editor(form_of(kind.settings_schema))
    if request.method == "GET":
        return _page(kind, editor, name=request.args.get("name", "")[:LONGEST_NAME])
    editor.read(posted())
    name = request.form.get("name", "").strip()
    if editor.pressed:
        return _page(kind, editor, name=name, errors=_wrong(editor) if editor.pressed == CHECK else ())
    if TEST in request.form:
        return _tested(kind, editor, name)
    try:
        row = services().connections.create(actor(), name=name, kind=kind.type, settings=_settings(editor))
    except ValidationFailed as failed:
        return _page(kind, editor, name=name, errors=failed.errors), failed.status
    tell(say("Connection {name} created", name=row["name"]))
    return redirect(_after_creating(row["name"]))


def _after_creating(name: str) -> str:
    """Returns where the form leads: to the page that asked for the connection, with its name in the address; else to the list."""
    target = safe_target(request.args.get("next"), url_for(".list_connections"))
    if not request.args.get("next") or target == url_for(".list_connections"):
        return target
    parts = urlsplit(target)
    pairs = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != CREATED]
    return urlunsplit(parts._replace(query=urlencode([*pairs, (CREATED, name)])))


@blueprint.route("/<connection_id>", methods=["GET", "POST"])
def edit(connection_id: str) -> Any:
    """Shows the form of an existing connection. A secret stays unless another is typed."""
    row = services().connections.get(actor(), connection_id)
    kind = _kind_of(row)
    editor = Editor(form_of(kind.settings_schema), row["settings"])
    if request.method == "GET":
        return _page(kind, editor, row=row, name=row["name"])
    editor.read(posted())
    name = request.form.get("name", "").strip()
    if editor.pressed:
        return _page(kind, editor, row=row, name=name, errors=_wrong(editor) if editor.pressed == CHECK else ())
    if TEST in request.form:
        return _tested(kind, editor, name, row)
    try:
        services().connections.update(actor(), connection_id, name=name, settings=_settings(editor), version=posted_version())
    except (ValidationFailed, StaleVersion) as failed:
        errors = failed.errors if isinstance(failed, ValidationFailed) else (FieldError("", failed.told),)
        return _page(kind, editor, row=row, name=name, errors=errors), failed.status
    tell(say("Connection {name} changed", name=name))
    return redirect(url_for(".list_connections"))


def _tested(kind: ConnectionKind, editor: Editor, name: str, row: Document | None = None) -> Any:
    """Tests the values of the form, which are not saved, and shows the result: beside the form if htmx asks, else with the whole page."""
    errors: tuple[FieldError, ...] = ()
    probe = None
    try:
        probe = services().connections.test(
            actor(), kind=kind.type, settings=_settings(editor), connection_id=row["_id"] if row is not None else None
        )
    except ValidationFailed as failed:
        errors = failed.errors
    if is_htmx():
        lines = _lines(errors, editor)[1]
        return render_template("partials/connection_test.html", probe=probe, errors=lines, seconds=TEST_SECONDS)
    return _page(kind, editor, row=row, name=name, errors=errors, probe=probe), 422 if errors else 200


@blueprint.post("/<connection_id>/test")
def test(connection_id: str) -> str:
    """Opens a stored connection once, and shows the answer: in its row if htmx asks, else on its page."""
    row = services().connections.get(actor(), connection_id)
    probe = services().connections.probe(actor(), connection_id)
    if is_htmx():
        fresh = next(item for item in services().connections.all(actor()) if item["_id"] == connection_id)
        return render_template("partials/connection_state.html", row=fresh)
    kind = _kind_of(row)
    return _page(kind, Editor(form_of(kind.settings_schema), row["settings"]), row=row, name=row["name"], probe=probe)


@blueprint.post("/<connection_id>/delete")
def delete(connection_id: str) -> Any:
    """Removes a connection that no job uses."""
    row = services().connections.get(actor(), connection_id)
    services().connections.delete(actor(), connection_id, used_by=services().directory.names_using(row["name"]))
    tell(say("Connection {name} deleted", name=row["name"]))
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
    controls, lines = _lines(errors, editor)
    return render_template(
        "connection_form.html",
        kind=kind,
        row=row,
        name=name,
        controls=controls,
        errors=lines,
        name_errors=[error.message for error in errors if error.pointer == "/name"],
        probe=probe,
        seconds=TEST_SECONDS,
        back=safe_target(request.args.get("next"), url_for(".list_connections")),
        users=sorted(services().directory.names_using(row["name"])) if row is not None else [],
    )


def _lines(errors: tuple[FieldError, ...], editor: Editor) -> tuple[Any, list[SummaryLine]]:
    """Returns the controls with their errors, and a line for each error that leads to its field."""
    shown = editor.present(
        FieldError(error.pointer.removeprefix("/settings"), error.message) for error in errors if error.pointer.startswith("/settings")
    )
    others = [error for error in errors if not error.pointer.startswith("/settings")]
    lines = [
        SummaryLine(
            error.pointer,
            "#name" if error.pointer == "/name" else "#job-form",
            say("Name") if error.pointer == "/name" else say("Connection"),
            error.message,
        )
        for error in others
    ]
    return shown.controls, [*lines, *shown.summary]
