"""/calendars: the blackout calendars, which list the times at which jobs do not start."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.errors import DuplicateName, FieldError, StaleVersion, ValidationFailed
from app.mongo import Document
from app.scheduling.calendar_service import body_of
from app.scheduling.calendars import SCHEMA
from app.zones import is_zone, zone
from templates_lib.messages import say
from web.current import actor, services
from web.forms.page.messages import SummaryLine
from web.views.common import CHECK, Editor, form_of, posted, posted_version, tell

blueprint = Blueprint("calendars_pages", __name__)


@blueprint.get("/calendars")
def list_calendars() -> str:
    """All of them, with the next blackout of each."""
    rows = services().calendars.all(actor())
    upcoming = {row["_id"]: next(iter(services().calendars.upcoming(row, 1)), None) for row in rows}
    users = {row["_id"]: services().calendars.used_by(actor(), row["_id"]) for row in rows}
    return render_template("calendars.html", rows=rows, upcoming=upcoming, users=users)


@blueprint.route("/calendars/new", methods=["GET", "POST"])
def new() -> Any:
    """The form of a new one."""
    require(actor(), May.CHANGE_CALENDARS)
    editor = Editor(form_of(SCHEMA), {"timezone": services().settings.timezone})
    if request.method == "GET":
        return _page(editor)
    name = request.form.get("name", "").strip()
    return _answer(editor, None, name, lambda body: services().calendars.create(actor(), name, body))


@blueprint.route("/calendars/<name>", methods=["GET", "POST"])
def edit(name: str) -> Any:
    """The form of one that is there, with its next blackouts."""
    row = services().calendars.get(actor(), name)
    editor = Editor(form_of(SCHEMA), body_of(row))
    if request.method == "GET":
        return _page(editor, row)
    return _answer(editor, row, name, lambda body: services().calendars.update(actor(), name, body, version=posted_version()))


@blueprint.post("/calendars/<name>/delete")
def delete(name: str) -> Any:
    """Remove one that no job names."""
    services().calendars.delete(actor(), name)
    tell(say("{name} is deleted", name=name))
    return redirect(url_for(".list_calendars"))


def _answer(editor: Editor, row: Document | None, name: str, save: Any) -> Any:
    editor.read(posted())
    if editor.pressed:
        errors = editor.submission.errors if editor.submission and editor.pressed == CHECK else ()
        return _page(editor, row, name, errors)
    try:
        save(editor.value)
    except (ValidationFailed, StaleVersion, DuplicateName) as failed:
        errors = failed.errors if isinstance(failed, ValidationFailed) else (_as_error(failed),)
        return _page(editor, row, name, errors), failed.status
    tell(
        say("Blackout calendar {name} changed", name=name)
        if row
        else say("Blackout calendar {name} created. Select it in the schedule of a job", name=name)
    )
    return redirect(url_for(".edit", name=name))


def _as_error(failed: StaleVersion | DuplicateName) -> FieldError:
    return FieldError("/name" if isinstance(failed, DuplicateName) else "", failed.told)


def _page(editor: Editor, row: Document | None = None, name: str = "", errors: tuple[FieldError, ...] = ()) -> str:
    others = [error for error in errors if error.pointer in {"", "/name"}]
    shown = editor.present(error for error in errors if error not in others)
    lines = [
        SummaryLine(
            error.pointer,
            "#name" if error.pointer == "/name" else "#job-form",
            say("Name") if error.pointer else say("Calendar"),
            error.message,
        )
        for error in others
    ]
    return render_template(
        "calendar_form.html",
        row=row,
        name=row["_id"] if row else name,
        controls=shown.controls,
        errors=[*lines, *shown.summary],
        name_errors=[error.message for error in others if error.pointer == "/name"],
        upcoming=services().calendars.upcoming(row) if row else [],
        users=services().calendars.used_by(actor(), row["_id"]) if row else [],
        zone=zone(row["timezone"]) if row and is_zone(row["timezone"]) else None,
    )
