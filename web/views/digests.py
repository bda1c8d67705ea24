"""/digests: summaries for teams, and each person's own."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from app.accounts.permissions import May, lacks, require
from app.errors import FieldError, StaleVersion, ValidationFailed
from app.notification.digests.model import Digest, Every
from app.notification.digests.schema import DAY_TITLES, MINE_FORM, TEAM_FORM
from app.notification.digests.service import DECIDED, NEVER, Preview
from templates_lib.messages import say
from web.current import actor, services, viewer_zone
from web.language import language
from web.views.common import CHECK, Editor, form_of, is_refused, live_options, posted, posted_version, tell

blueprint = Blueprint("digests_pages", __name__, url_prefix="/digests")


@blueprint.get("")
def list_digests() -> str:
    """Shows the digests of teams, by name, and the viewer's own."""
    rows = services().digests.all(actor())
    manages = lacks(actor(), May.MANAGE_DIGESTS) is None
    return render_template("digests.html", rows=rows, mine=services().digests.mine(actor()), manages=manages, every=Every, days=DAY_TITLES)


@blueprint.route("/new", methods=["GET", "POST"])
def new() -> Any:
    """Shows the form of a new digest."""
    require(actor(), May.MANAGE_DIGESTS)
    groups = sorted(actor().groups or ())
    editor = Editor(
        form_of(TEAM_FORM, options=live_options),
        {"timezone": viewer_zone(), "language": language(), "groups": groups, "tags": []},
        fresh=True,
    )
    if request.method == "GET":
        return _page(editor)
    return _saved(editor, None)


@blueprint.route("/<digest_id>", methods=["GET", "POST"])
def edit(digest_id: str) -> Any:
    """Shows the form of a digest."""
    digest = services().digests.get(actor(), digest_id)
    if lacks(actor(), May.MANAGE_DIGESTS) is not None:
        return redirect(url_for(".preview", digest_id=digest_id))
    editor = Editor(form_of(TEAM_FORM, options=live_options), _value(digest))
    if request.method == "GET":
        return _page(editor, digest)
    return _saved(editor, digest)


@blueprint.get("/<digest_id>/preview")
def preview(digest_id: str) -> str:
    """Shows what a digest would say now."""
    digest = services().digests.get(actor(), digest_id)
    return _preview_page(services().digests.preview(actor(), digest_id, language=language()), digest)


@blueprint.post("/<digest_id>/delete")
def delete(digest_id: str) -> Any:
    """Deletes a digest."""
    digest = services().digests.get(actor(), digest_id)
    services().digests.delete(actor(), digest_id)
    tell(say("Digest {name} deleted", name=digest.name))
    return redirect(url_for(".list_digests"))


@blueprint.route("/mine", methods=["GET", "POST"])
def mine() -> Any:
    """Shows how often and when the viewer gets a digest by mail."""
    require(actor(), May.SEE_EXECUTIONS)
    digest = services().digests.mine(actor())
    editor = Editor(form_of(MINE_FORM), _value_of_mine(digest))
    if request.method == "GET":
        return _mine_page(editor, digest)
    editor.read(posted())
    if editor.pressed or is_refused():
        errors = editor.submission.errors if editor.submission and editor.pressed == CHECK else ()
        return _mine_page(editor, digest, errors)
    try:
        services().digests.set_mine(actor(), editor.value)
    except (ValidationFailed, StaleVersion) as failed:
        return _mine_page(editor, digest, _errors(failed)), failed.status
    tell(say("Saved"))
    return redirect(url_for(".mine"))


@blueprint.get("/mine/preview")
def preview_mine() -> str:
    """Shows what the viewer's digest would say now."""
    return _preview_page(services().digests.preview_mine(actor(), language=language()), None)


def _saved(editor: Editor, digest: Digest | None) -> Any:
    editor.read(posted())
    if editor.pressed or is_refused():
        return _page(editor, digest, editor.submission.errors if editor.submission and editor.pressed == CHECK else ())
    digests = services().digests
    try:
        body = editor.value
        saved = digests.create(actor(), body) if digest is None else digests.update(actor(), digest.id, body, version=posted_version())
    except (ValidationFailed, StaleVersion) as failed:
        return _page(editor, digest, _errors(failed)), failed.status
    tell(say("Digest {name} created", name=saved.name) if digest is None else say("Digest {name} changed", name=saved.name))
    return redirect(url_for(".list_digests"))


def _errors(failed: ValidationFailed | StaleVersion) -> tuple[FieldError, ...]:
    return tuple(failed.errors) if isinstance(failed, ValidationFailed) else (FieldError("", failed.told),)


def _value(digest: Digest) -> dict[str, Any]:
    row = digest.as_document()
    return {**{name: row[name] for name in DECIDED}, "language": digest.language or "en"}


def _value_of_mine(digest: Digest | None) -> dict[str, Any]:
    if digest is None:
        return {"every": NEVER, "weekday": "monday", "at": "07:00", "only_if_any": False}
    value = {name: getattr(digest, name) for name in ("weekday", "at", "only_if_any")}
    return {"every": digest.every.value if digest.enabled else NEVER, **value}


def _page(editor: Editor, digest: Digest | None = None, errors: tuple[FieldError, ...] = ()) -> str:
    shown = editor.present(errors)
    return render_template("digest_form.html", row=digest, controls=shown.controls, errors=shown.summary)


def _mine_page(editor: Editor, digest: Digest | None, errors: tuple[FieldError, ...] = ()) -> str:
    shown = editor.present(errors)
    problem = services().outlook.mail_problem()
    return render_template(
        "digest_mine.html",
        row=digest,
        controls=shown.controls,
        errors=shown.summary,
        problem=problem,
        email=actor().email,
        place="/account",
    )


def _preview_page(made: Preview, digest: Digest | None) -> str:
    own = services().digests.mine(actor()) if digest is None else None
    quiet = digest or own
    would_send = made.contents.has_news or quiet is None or not quiet.only_if_any
    manages = lacks(actor(), May.MANAGE_DIGESTS) is None
    return render_template("digest_preview.html", preview=made, contents=made.contents, row=digest, would_send=would_send, manages=manages)
