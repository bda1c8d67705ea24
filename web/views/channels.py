"""/channels: ways to reach people."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks, require
from app.accounts.preferences import LANGUAGES
from app.errors import Conflict, FieldError, JobwrightError, NotFound, StaleVersion, ValidationFailed
from app.mongo import Document
from app.notification.channels.base import Channel
from app.notification.quiet.hours import DAYS
from app.scheduling.calendars import WEEK
from app.shapes import DAMAGED
from app.zones import zone_names
from templates_lib.messages import say
from web.current import actor, services, viewer_zone
from web.filters.announcements import SEVERITY_WORDS
from web.forms.page.messages import SummaryLine
from web.views.common import CHECK, Editor, form_of, live_options, posted, posted_version, tell

blueprint = Blueprint("channels_pages", __name__, url_prefix="/channels")


@blueprint.get("")
def list_channels() -> str:
    """Shows all channels, by name."""
    rows, types = services().channels.all(actor()), services().channels.types
    manages = lacks(actor(), May.MANAGE_CHANNELS) is None
    places = {row["_id"]: _place(types.get(row["type"]), row) for row in rows} if manages else {}
    return render_template("channels.html", rows=rows, types=types, places=places, manages=manages)


def _place(channel: Channel | None, row: Document) -> str:
    """Returns where the messages of a channel go; empty if that cannot be said."""
    try:
        return channel.place(row["settings"]) if channel is not None else ""
    except Exception:  # the code of a channel may be somebody else's
        return ""


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> Any:
    """Shows the form of a new channel. Its type is in the address (`type`); without one, shows the types to choose from."""
    require(actor(), May.MANAGE_CHANNELS)
    if not request.args.get("type"):
        return render_template("channel_types.html", types=services().channels.types)
    channel = _type(request.args["type"])
    editor = _editor(channel)
    if request.method == "GET":
        return _page(channel, editor, given={"enabled": True})
    editor.read(posted())
    if editor.pressed:
        return _page(channel, editor, given=_given(), errors=_wrong(editor) if editor.pressed == CHECK else ())
    try:
        row = services().channels.create(actor(), type=channel.type, settings=_settings(editor), **_given())
    except ValidationFailed as failed:
        return _page(channel, editor, given=_given(), errors=failed.errors), failed.status
    tell(say("Channel {name} created", name=row["name"]))
    return redirect(url_for(".edit", channel_id=row["_id"]))


@blueprint.route("/<channel_id>", methods=["GET", "POST"])
def edit(channel_id: str) -> Any:
    """Shows the form of a channel. A secret stays unless another is typed."""
    row = services().channels.get(actor(), channel_id)
    channel = _type_of(row)
    editor = _editor(channel, row["settings"])
    if request.method == "GET":
        return _page(channel, editor, row=row, given=row)
    editor.read(posted())
    if editor.pressed:
        return _page(channel, editor, row=row, given=_given(), errors=_wrong(editor) if editor.pressed == CHECK else ())
    try:
        services().channels.update(actor(), channel_id, settings=_settings(editor), version=posted_version(), **_given())
    except (ValidationFailed, StaleVersion, Conflict) as failed:
        errors = failed.errors if isinstance(failed, ValidationFailed) else (FieldError("", _told(failed)),)
        return _page(channel, editor, row=row, given=_given(), errors=errors), failed.status
    tell(say("Channel {name} changed", name=_given()["name"]))
    return redirect(url_for(".list_channels"))


def _told(error: JobwrightError) -> str:
    return error.told if isinstance(error, StaleVersion) else error.detail


@blueprint.post("/<channel_id>/test")
def test(channel_id: str) -> Any:
    """Sends a test message through a channel as it is stored, and shows the answer of the receiver."""
    row = services().channels.get(actor(), channel_id)
    answer = services().channels.test(actor(), channel_id)
    return _page(_type_of(row), _editor(_type_of(row), row["settings"]), row=row, given=row, answer=answer)


@blueprint.post("/<channel_id>/delete")
def delete(channel_id: str) -> Any:
    """Deletes a channel that no job and no other channel names."""
    row = services().channels.get(actor(), channel_id)
    services().channels.delete(actor(), channel_id)
    tell(say("Channel {name} deleted", name=row["name"]))
    return redirect(url_for(".list_channels"))


def _type(name: str) -> Channel:
    channel = services().channels.types.get(name)
    if channel is None:
        raise NotFound("channel type", name)
    return channel


def _type_of(row: Document) -> Channel:
    """Raises Conflict for a channel whose type is not installed, or whose record cannot be read."""
    channel = services().channels.types.get(row["type"])
    if channel is None:
        if DAMAGED in row:
            raise Conflict(say("The record of this channel is damaged: {reason}", reason=row[DAMAGED]))
        raise Conflict(say("The type of channel {type!r} is not installed.", type=row["type"]))
    return channel


def _editor(channel: Channel, *stored: Any) -> Editor:
    return Editor(form_of(channel.settings_schema(), options=live_options), *stored)


def _given() -> dict[str, Any]:
    """Returns what the form has beside the settings."""
    return {
        "name": request.form.get("name", "").strip(),
        "enabled": request.form.get("enabled") == "1",
        "language": request.form.get("language", ""),
        "fallback": request.form.get("fallback", ""),
        "quiet": _quiet(),
    }


def _quiet() -> dict[str, Any] | None:
    """Returns the quiet hours that were entered; None without a day."""
    days = request.form.getlist("quiet.days")
    if not days:
        return None
    times = {name: request.form.get(f"quiet.{name}", "").strip() for name in ("zone", "begin", "end")}
    return {"days": days, **times, "pass": request.form.getlist("quiet.pass")}


def _wrong(editor: Editor) -> tuple[FieldError, ...]:
    errors = editor.submission.errors if editor.submission else ()
    return tuple(error.below("/settings") for error in errors)


def _settings(editor: Editor) -> Any:
    errors = _wrong(editor)
    if errors:
        raise ValidationFailed(errors)
    return editor.value


def _page(
    channel: Channel,
    editor: Editor,
    *,
    row: Document | None = None,
    given: Any,
    errors: tuple[FieldError, ...] = (),
    answer: Any = None,
) -> str:
    shown = editor.present(
        FieldError(error.pointer.removeprefix("/settings"), error.message) for error in errors if error.pointer.startswith("/settings")
    )
    titles = {
        "/name": ("#name", say("Name")),
        "/language": ("#language", say("Language of messages")),
        "/fallback": ("#fallback", say("Fallback")),
        "/quiet/zone": ("#quiet-zone", say("Time zone")),
        "/quiet/begin": ("#quiet-begin", say("From")),
        "/quiet/end": ("#quiet-end", say("To")),
    }
    others = [error for error in errors if not error.pointer.startswith("/settings")]
    lines = [SummaryLine(error.pointer, *titles.get(error.pointer, ("#job-form", say("Channel"))), error.message) for error in others]
    return render_template(
        "channel_form.html",
        channel=channel,
        about=_about(channel),
        row=row,
        given={"name": "", "enabled": False, "language": "", "fallback": "", **given},
        controls=shown.controls,
        errors=[*lines, *shown.summary],
        field_errors={error.pointer: error.message for error in others},
        languages=LANGUAGES,
        quiet={"days": [], "begin": "22:00", "end": "07:00", "zone": viewer_zone(), "pass": ["critical"], **(given.get("quiet") or {})},
        days=dict(zip(DAYS, WEEK, strict=True)),
        severities=SEVERITY_WORDS,
        zones=sorted(zone_names()),
        answer=answer,
        others=[name for name in services().channels.names() if row is None or name != row["name"]],
        users=sorted(services().channels.users(actor(), row["_id"])) if row is not None else [],
    )


def _about(channel: Channel) -> str:
    """Returns the help of a type, as Markdown; empty if it has none."""
    package = type(channel).__module__.rpartition(".")[0]
    readme = files(package).joinpath("README.md")
    return readme.read_text("utf-8") if readme.is_file() else ""
