"""/calendars: the blackout calendars, which list the times at which jobs do not start."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from babel import Locale
from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, require
from app.errors import DuplicateName, FieldError, StaleVersion, ValidationFailed
from app.instants import in_zone
from app.mongo import Document
from app.scheduling.calendar_service import body_of
from app.scheduling.calendars import SCHEMA
from app.scheduling.public_holidays import MOST_YEARS, countries, public_holidays
from app.zones import is_zone, zone
from templates_lib.messages import say, say_many
from web.current import actor, services, viewer_zone
from web.forms.names import small_number
from web.forms.page.messages import SummaryLine
from web.language import language
from web.views.common import CHECK, Editor, form_of, posted, posted_version, tell

blueprint = Blueprint("calendars_pages", __name__)

FILL = "fill"  # the buttons that fill the form from a file, or with holidays


@blueprint.get("/calendars")
def list_calendars() -> str:
    """Shows all calendars, with the next blackout of each."""
    rows = services().calendars.all(actor())
    upcoming = {row["_id"]: next(iter(services().calendars.upcoming(row, 1)), None) for row in rows}
    users = {row["_id"]: services().calendars.used_by(actor(), row["_id"]) for row in rows}
    return render_template("calendars.html", rows=rows, upcoming=upcoming, users=users)


@blueprint.route("/calendars/new", methods=["GET", "POST"])
def new() -> Any:
    """Shows the form of a new calendar."""
    require(actor(), May.CHANGE_CALENDARS)
    editor = Editor(form_of(SCHEMA), {"timezone": viewer_zone()})
    if request.method == "GET":
        return _page(editor)
    name = request.form.get("name", "").strip()
    return _answer(editor, None, name, lambda body: services().calendars.create(actor(), name, body))


@blueprint.route("/calendars/<name>", methods=["GET", "POST"])
def edit(name: str) -> Any:
    """Shows the form of an existing calendar, with its next blackouts."""
    row = services().calendars.get(actor(), name)
    editor = Editor(form_of(SCHEMA), body_of(row))
    if request.method == "GET":
        return _page(editor, row)
    return _answer(editor, row, name, lambda body: services().calendars.update(actor(), name, body, version=posted_version()))


@blueprint.post("/calendars/<name>/delete")
def delete(name: str) -> Any:
    """Removes a calendar that no job uses."""
    services().calendars.delete(actor(), name)
    tell(say("Blackout calendar {name} deleted", name=name))
    return redirect(url_for(".list_calendars"))


def _answer(editor: Editor, row: Document | None, name: str, save: Any) -> Any:
    editor.read(posted())
    if editor.pressed:
        errors = editor.submission.errors if editor.submission and editor.pressed == CHECK else ()
        return _page(editor, row, name, errors)
    if FILL in request.form:
        return _filled(editor, row, name)
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


def _filled(editor: Editor, row: Document | None, name: str) -> Any:
    """Shows the form again with the events of a file, or with public holidays. Nothing is saved yet."""
    value = editor.submission.value if editor.submission and isinstance(editor.submission.value, dict) else {}
    try:
        if request.form[FILL] == "file":
            filled, notice = _with_file(value), say("The file is in the field iCalendar. Save to keep it.")
        else:
            filled, added = _with_holidays(value)
            notice = say_many("{count} public holiday added. Save to keep it.", "{count} public holidays added. Save to keep them.", added)
    except ValidationFailed as failed:
        fill_errors = {error.pointer.removeprefix("/"): error.message for error in failed.errors}
        return _page(editor, row, name, fill_errors=fill_errors), failed.status
    return _page(Editor(form_of(SCHEMA), filled), row, name, notice=notice)


def _with_file(value: Mapping[str, Any]) -> dict[str, Any]:
    upload = request.files.get("upload")
    if upload is None or not upload.filename:
        raise ValidationFailed([FieldError("/upload", "is empty: choose a file first")])
    try:
        text = upload.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationFailed([FieldError("/upload", "is not a text in UTF-8")]) from error
    filled = {**value, "ical": text.replace("\r\n", "\n")}
    errors = [error for error in services().calendars.problems(filled) if error.pointer == "/ical"]
    if errors:
        raise ValidationFailed([FieldError("/upload", errors[0].message)])
    return filled


def _with_holidays(value: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Returns the value with the holidays that it does not have yet, and how many these are."""
    first = in_zone(services().clock.now(), zone(viewer_zone())).year
    count = small_number(request.form.get("years", ""))
    years = range(first, first + min(max(count, 1), MOST_YEARS))
    found = public_holidays(request.form.get("country", ""), request.form.get("region", "").strip(), years, language=language())
    dates = [item for item in value.get("dates", []) if isinstance(item, dict)]
    known = {item.get("from") for item in dates}
    new = [{"from": day.isoformat(), "note": title[:200]} for day, title in found if day.isoformat() not in known]
    return {**value, "dates": [*dates, *new]}, len(new)


def _countries() -> list[tuple[str, str]]:
    """Returns (code, name) of the countries, by name in the viewer's language."""
    names = Locale.parse(language()).territories
    return sorted(((code, names.get(code, code)) for code in countries()), key=lambda pair: pair[1])


def _as_error(failed: StaleVersion | DuplicateName) -> FieldError:
    return FieldError("/name" if isinstance(failed, DuplicateName) else "", failed.told)


def _page(
    editor: Editor,
    row: Document | None = None,
    name: str = "",
    errors: tuple[FieldError, ...] = (),
    *,
    notice: str = "",
    fill_errors: Mapping[str, str] = MappingProxyType({}),
) -> str:
    others = [error for error in errors if error.pointer in {"", "/name"}]
    shown = editor.present(error for error in errors if error not in others)
    lines = [
        SummaryLine(
            error.pointer,
            "#name" if error.pointer == "/name" else "#job-form",
            say("Name") if error.pointer else say("Blackout calendar"),
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
        notice=notice,
        fill_errors=fill_errors,
        countries=_countries(),
        first_year=in_zone(services().clock.now(), zone(viewer_zone())).year,
        most_years=MOST_YEARS,
    )
