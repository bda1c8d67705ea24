"""Functions that several pages use: posted forms, messages, filters of lists."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl, quote

from flask import flash, g, request

from app import instants
from app.accounts.permissions import May, lacks
from app.errors import FieldError, NotFound, ValidationFailed
from app.jobs.filters import NEVER, JobFilter
from app.jobs.recipients import as_recipient
from app.queue.model import Status
from app.validation.dynamic import Known, Resolved, resolve
from app.validation.storable import unstorable
from app.zones import zone, zone_names
from templates_lib.messages import say
from web.current import actor, services, viewer_zone
from web.forms import ABSENT, Form, Submission, action_in
from web.forms.controls.file import UPLOAD_PART
from web.forms.form import PREFIX
from web.forms.names import small_number
from web.forms.page.offers import Options
from web.forms.render import Presented
from web.language import in_language, language, translated

Pairs = list[tuple[str, str]]
MOST_COUNTED = 10_000  # executions of a list: nobody turns so many pages
MOST_OFFERED = 500  # names of jobs; others are typed
MOST_FILTERS, LONGEST_FILTER = 5, 60  # unknown names in an address that a list tells
CHECK = "check"  # the action of a page that only wants to know what is wrong so far


def posted() -> Pairs:
    """Returns the posted form as (name, value) pairs. Pairs of the same name keep the browser's order. A file for a field of a form
    becomes a data URL, which `web.forms` reads."""
    return [*request.form.items(multi=True), *_posted_files()]


def _posted_files() -> Iterable[tuple[str, str]]:
    for name, file in request.files.items(multi=True):
        if file.filename and name.endswith(f".{UPLOAD_PART}"):
            media_type = file.mimetype or "application/octet-stream"
            yield name, f"data:{media_type};name={quote(file.filename, safe='')};base64,{b64encode(file.read()).decode()}"


def page_number() -> int:
    """`?page=`, from 1; anything else is 1."""
    text = request.args.get("page", "1")
    return min(int(text), 100_000) if text.isdigit() and text.isascii() and len(text) < 7 and int(text) > 0 else 1


def job_filter(query: str | None = None) -> JobFilter:
    """Returns the filter in the address of a list of jobs: of the given query string, else of the request."""
    args = request.args if query is None else dict(parse_qsl(query))
    state, last = args.get("state", ""), args.get("last", "")
    return JobFilter(
        template_type=args.get("template") or None,
        enabled={"on": True, "off": False}.get(state),
        paused=True if state == "paused" else None,
        shadow=True if state == "shadow" else None,
        broken=True if state == "broken" else None,
        ended=True if state == "ended" else None,
        last_status=last if last == NEVER or last in list(Status) else None,
        tag=args.get("tag") or None,
        group=args.get("group") or None,
        owner=args.get("owner") or None,
        search=args.get("q", "").strip()[:200],
    )


def unknown_filters(known: Collection[str]) -> list[str]:
    """Returns the names in the address of a list that are none of its filters."""
    names = [name for name, value in request.args.items() if value and name not in known]
    return [name[:LONGEST_FILTER] for name in names[:MOST_FILTERS]]


def tell(text: str, *, undo: str = "") -> None:
    """Shows a message on the next page, in the viewer's language. A POST to the address `undo` takes the change back."""
    flash(translated(text), undo or "message")


def posted_version() -> int | None:
    """Returns the version for which the posted form was drawn, or None if it names none."""
    number = small_number(request.form.get("version", ""))
    return number if number >= 0 else None


def live_options(source: Mapping[str, Any]) -> Sequence[str | tuple[str, str]]:
    """Returns the values that an `x-options` hint offers; none if the source is unknown or does not answer."""
    match source.get("from"):
        case "connections":
            return services().connections.options(str(source.get("kind", "")))
        case "collections" | "fields" | "addresses" | "subjects" as what:
            connection, collection = source.get("connection"), source.get("collection")
            return services().connections.explore(actor(), what, str(connection or ""), collection=str(collection or ""))
        case "timezones":
            return sorted(zone_names())
        case "templates":
            return [(entry.type, entry.name) for entry in services().catalogue]
        case "recipients":
            return [as_recipient(name) for name in services().channels.names()]
        case "job_ids":
            jobs = services().directory.page(actor(), JobFilter(), limit=MOST_OFFERED).items
            return [(job.id, job.definition.name) for job in jobs]
        case "jobs":
            return services().directory.names(actor(), limit=MOST_OFFERED)
        case "programs":
            return services().settings.command_programs
        case "command_folders":
            return services().settings.command_dirs
        case "tags":
            return services().directory.facets(actor()).tags
        case "labels":
            return services().node_control.offered()
        case "groups":
            return services().directory.groups(actor())
    return ()


def form_of(schema: Any, *, options: Options | None = None) -> Form:
    """Returns the form of one of our own schemas, in the viewer's language."""
    return Form(in_language(schema), options=options, locale=language(), also=unstorable)


def parameters_form(schema: Any, *, new_connections: bool = False) -> Form:
    """Returns the form of the parameters of a job. With `new_connections`, buttons beside the connections lead to the form of a new one;
    the page answers them."""
    known = Known(now=services().clock.now(), sample=True)
    create = "button" if lacks(actor(), May.MANAGE_CONNECTIONS) is None else "ask"
    return Form(
        in_language(_offering(schema, create) if new_connections else schema),
        locale=language(),
        options=live_options,
        also=unstorable,
        saved_secrets=services().connections.options("secret"),
        resolve=lambda value: Resolved(value) if value is ABSENT else resolve(schema, value, known),
    )


def _offering(schema: Any, create: str) -> Any:
    """Returns a schema whose choices of connections say how one more is created."""
    if isinstance(schema, list):
        return [_offering(item, create) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    offering = {name: _offering(value, create) for name, value in schema.items()}
    source = offering.get("x-options")
    if isinstance(source, Mapping) and source.get("from") == "connections" and not source.get("free"):
        offering["x-options"] = {**source, "create": create}
    return offering


@dataclass
class Editor:
    """One form on a page: what was posted of it, and how it is shown again.

    `stored` is the value that it edits, ABSENT for a new one. `submission` is None for a page that was only asked for. `fresh`: it
    edits nothing that is there, and `stored` is what a new one begins with; what that leaves out shows its default.
    """

    form: Form
    stored: Any = ABSENT
    prefix: str = PREFIX
    submission: Submission | None = None
    pressed: str | None = None
    fresh: bool = False

    def read(self, pairs: Pairs) -> Submission:
        """Reads the posted fields, and applies the button of the form that was pressed."""
        submission = self.form.read(pairs, name_prefix=self.prefix, stored=self.stored)
        self.pressed = action_in(pairs, name_prefix=self.prefix)
        self.submission = self.form.apply(submission, self.pressed) if self.pressed and self.pressed != CHECK else submission
        return self.submission

    @property
    def value(self) -> Any:
        """Returns the value that was posted. Raises ValidationFailed with its errors."""
        if self.submission is None or self.submission.errors:
            raise ValidationFailed(self.submission.errors if self.submission else ())
        return self.submission.value

    def present(self, errors: Iterable[FieldError] = ()) -> Presented:
        """The controls with these errors; those of the submission are left to whoever counts all errors of a page."""
        quiet = None if self.submission is None else replace(self.submission, errors=())
        return self.form.present(
            self.stored, errors=errors, name_prefix=self.prefix, submission=quiet, in_place=self.pressed == CHECK, fresh=self.fresh
        )


def tell_gone(editor: Editor) -> None:
    """Shows on the next page which values were not saved because another choice excludes them."""
    gone = editor.submission.gone if editor.submission else ()
    if gone:
        tell(say("These values were not saved, because another choice excludes them: {names}", names=", ".join(gone)[:500]))


def midnight(day: date) -> datetime:
    """Returns the beginning of a day in the viewer's zone, in UTC."""
    return instants.midnight(day, zone(viewer_zone()))


def beginning_of(text: str, *, after: int = 0) -> datetime | None:
    """Returns the beginning of a day in the viewer's zone, `after` days later; None if the text is no date."""
    try:
        return midnight(instants.day_after(date.fromisoformat(text), after))
    except ValueError:
        return None


def job_named(text: str) -> tuple[str, str]:
    """Returns the id and the name of the job that a filter names by its id or its name; a text that names no job is returned as both."""
    if not text:
        return "", ""
    named = services().directory.page(actor(), JobFilter(search=text), limit=MOST_OFFERED).items
    same = next((job for job in named if job.definition.name.casefold() == text.casefold()), None)
    if same is not None:
        return same.id, same.definition.name
    try:
        return text, services().jobs.get(actor(), text).definition.name
    except NotFound:
        return text, text


def is_refused() -> bool:
    """True if a page is shown again because its post was refused. It then shows what was typed and changes nothing."""
    return bool(g.get("refusal"))


def is_htmx() -> bool:
    """True if htmx asks for a part of a page."""
    return bool(request.headers.get("HX-Request"))
