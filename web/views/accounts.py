"""/users and /service-accounts: the accounts of people and programs; /account: one's own."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

import segno
from flask import Blueprint, g, redirect, render_template, request, session, url_for
from markupsafe import Markup

from app.accounts.model import AccountKind, User
from app.accounts.permissions import RULES, May, has_role, lacks, require
from app.accounts.preferences import LANGUAGES, Preference
from app.accounts.service import CHANGE_SCHEMA, NEW_SCHEMA
from app.accounts.tokens import SCHEMA as TOKEN_SCHEMA
from app.errors import Conflict, DuplicateName, FieldError, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.mongo import Document
from app.paging import Page
from app.services import SESSION_SECRET
from app.zones import zone_names
from templates_lib.messages import say, say_many
from web.current import actor, base_address, preference, services
from web.forms import ABSENT
from web.views.common import CHECK, Editor, form_of, is_refused, page_number, posted, posted_version, tell
from web.views.signin import renew_session

blueprint = Blueprint("accounts_pages", __name__)

PAGE_SIZE = 50  # service accounts of the list
SOON = timedelta(days=14)  # a token that expires by then is marked
MANY = 12  # with more users, the list has a search
# What a role may do, in the order of the page; other permissions go without saying.
SHOWN_RIGHTS = (
    May.SEE_JOBS,
    May.CHANGE_JOBS,
    May.RUN_JOBS,
    May.DESTROY,
    May.CHANGE_CALENDARS,
    May.MANAGE_CONNECTIONS,
    May.MANAGE_TEMPLATES,
    May.DECIDE_APPROVALS,
    May.SWITCH_MAINTENANCE,
    May.MANAGE_ACCOUNTS,
    May.SEE_AUDIT,
)
CHANGE_FORM = {**CHANGE_SCHEMA, "required": list(CHANGE_SCHEMA["properties"])}  # a form shows and sends all of it


# -- of all, for super-admins -----------------------------------------------------------------------------------------


@blueprint.get("/users")
def list_users() -> str:
    """Shows the accounts of people, by address; with `q`, those that match."""
    people = [user for user in services().accounts.all(actor()) if user.kind is AccountKind.PERSON]
    query = request.args.get("q", "").strip()[:200]
    counts = Counter(row["user_id"] for row in services().tokens.all(actor()) if row["revoked_at"] is None)
    shown = [user for user in people if _matches(user, query.lower())]
    return render_template("users.html", users=shown, tokens=counts, total=len(people), many=MANY, query=query)


def _matches(user: User, query: str) -> bool:
    """Returns whether each word of a query is in what the list shows of the user."""
    text = " ".join((user.email, user.name, user.role.value.replace("_", "-"), *user.groups)).lower()
    return all(word in text for word in query.split())


@blueprint.get("/service-accounts")
def list_service_accounts() -> str:
    """Shows the accounts of programs: their tokens and when these expire, when they were last used, how many jobs each has created."""
    service_accounts = [user for user in services().accounts.all(actor()) if user.kind is AccountKind.SERVICE]
    page, now = Page.cut(service_accounts, page=page_number(), limit=PAGE_SIZE), services().clock.now()
    tokens: defaultdict[str, list[Document]] = defaultdict(list)
    for row in services().tokens.all(actor()):
        if row["revoked_at"] is None:
            tokens[row["user_id"]].append(row)
    made = services().directory.counts_by_owner([user.email for user in page.items])
    rows = [_service(user, tokens[user.id], made.get(user.email, 0), now) for user in page.items]
    return render_template("service_accounts.html", page=page, rows=rows)


def _service(user: User, tokens: list[Document], jobs: int, now: datetime) -> dict[str, Any]:
    good = [row for row in tokens if row["expires_at"] is None or row["expires_at"] > now]
    ends = sorted(row["expires_at"] for row in good if row["expires_at"] is not None)
    seen = [row["last_used_at"] for row in tokens if row.get("last_used_at")]
    return {
        "user": user,
        "tokens": len(good),
        "expired": len(tokens) - len(good),
        "scopes": sorted({scope for row in good for scope in row["scopes"]}),
        "ends": ends[0] if ends else None,
        "soon": bool(ends) and ends[0] < now + SOON,
        "seen": max(seen, default=None),
        "jobs": jobs,
    }


@blueprint.route("/users/new", methods=["GET", "POST"])
def new_user() -> Any:
    """The form of a new account; afterwards the link that its owner needs, shown once."""
    require(actor(), May.MANAGE_ACCOUNTS)
    begin: Any = {"kind": AccountKind.SERVICE.value} if request.args.get("kind") == AccountKind.SERVICE else ABSENT
    editor, status = Editor(form_of(NEW_SCHEMA), begin), 200
    errors: tuple[FieldError, ...] = ()
    if request.method == "POST":
        try:
            if _read(editor):
                user, secret = services().accounts.add(actor(), editor.value)
                return _user_page(user, link=_link(secret) if secret else None)
        except ValidationFailed as failed:
            errors, status = _at(failed, "/email"), failed.status
    shown = editor.present(errors)
    service = request.args.get("kind") == AccountKind.SERVICE
    place = url_for(".list_service_accounts" if service else ".list_users")
    return render_template("user_new.html", controls=shown.controls, errors=shown.summary, service=service, place=place), status


@blueprint.route("/users/<user_id>", methods=["GET", "POST"])
def edit_user(user_id: str) -> Any:
    """One account: its role, its tokens, a way back in."""
    require(actor(), May.MANAGE_ACCOUNTS)
    user = services().accounts.get(actor(), user_id)
    if request.method == "GET":
        return _user_page(user)
    editor = Editor(form_of(CHANGE_FORM), _stored(user))
    try:
        if not _read(editor):
            return _user_page(user, editor=editor)
        services().accounts.change(actor(), user_id, editor.value, version=posted_version())
    except (ValidationFailed, StaleVersion, Conflict) as failed:
        errors = failed.errors if isinstance(failed, ValidationFailed) else (FieldError("", failed.detail),)
        return _user_page(user, editor=editor, errors=errors), failed.status
    tell(say("Account {name} changed", name=user.email))
    return redirect(url_for(".edit_user", user_id=user_id))


@blueprint.post("/users/<user_id>/reset")
def reset(user_id: str) -> str:
    """A link that sets another password, shown once."""
    secret = services().accounts.start_reset(actor(), user_id)
    return _user_page(services().accounts.get(actor(), user_id), link=_link(secret))


@blueprint.post("/users/<user_id>/second-factor/remove")
def remove_second_factor(user_id: str) -> Any:
    """For someone who lost it."""
    services().accounts.remove_second_factor(actor(), user_id)
    tell("The second factor is removed. Tell the owner that the password alone is enough now")
    return redirect(url_for(".edit_user", user_id=user_id))


@blueprint.route("/users/<user_id>/tokens/new", methods=["GET", "POST"])
def new_token(user_id: str) -> Any:
    """A token of that account."""
    user = services().accounts.get(actor(), user_id)
    back = url_for(".account") if user.id == actor().id else url_for(".edit_user", user_id=user_id)
    editor, status = Editor(form_of(TOKEN_SCHEMA)), 200
    errors: tuple[FieldError, ...] = ()
    if request.method == "POST":
        try:
            if _read(editor):
                text, row = services().tokens.request(actor(), user_id, editor.value)
                return render_template("token.html", text=text, token=row, back=back, place=back)
        except ValidationFailed as failed:
            errors, status = failed.errors, failed.status
    shown = editor.present(errors)
    place = url_for(".account") if user.id == actor().id else _place(user)
    return render_template("token_new.html", user=user, controls=shown.controls, errors=shown.summary, back=back, place=place), status


@blueprint.post("/tokens/<token_id>/rotate")
def rotate_token(token_id: str) -> str:
    """Another text, shown once."""
    text, row = services().tokens.rotate(actor(), token_id)
    back = _back(row["user_id"])
    return render_template("token.html", text=text, token=row, back=back, place=back)


@blueprint.post("/tokens/<token_id>/revoke")
def revoke_token(token_id: str) -> Any:
    """Good no longer."""
    services().tokens.revoke(actor(), token_id)
    tell("Token revoked")
    return redirect(_back(request.form.get("user_id", "")))


# -- one's own --------------------------------------------------------------------------------------------------------


@blueprint.get("/account")
def account() -> str:
    """Password, second factor, sessions, tokens."""
    return _account_page()


@blueprint.post("/account/password")
def change_password() -> Any:
    """Another password; other sessions end."""
    if is_refused():
        return _account_page()
    try:
        ended = services().accounts.change_password(
            actor(), old=request.form.get("old", ""), new=request.form.get("new", ""), keep=session[SESSION_SECRET]
        )
    except (ValidationFailed, LimitReached) as failed:
        return _account_page(errors=_own_errors(failed)), failed.status
    renew_session()
    done = say("Password changed")
    others = say_many("{what}. {count} other session has ended", "{what}. {count} other sessions have ended", ended, what=done)
    tell(others if ended else done)
    return redirect(url_for(".account"))


@blueprint.post("/account/sessions/end")
def end_session() -> Any:
    """One other session, or all others."""
    handle = request.form.get("handle", "")
    if handle:
        services().signin.end(actor(), handle)
    else:
        services().signin.end_others(actor(), session[SESSION_SECRET])
        renew_session()
    tell("Session ended")
    return redirect(url_for(".account"))


@blueprint.route("/account/second-factor", methods=["GET", "POST"])
def second_factor() -> Any:
    """Enrolment: a QR code, then a code that proves it."""
    require(actor(), May.OWN_ACCOUNT)
    if request.method == "GET" or is_refused():
        offer = services().accounts.offer_second_factor(actor())
        return _enrolment(offer.secret, offer.uri)
    form = request.form
    try:
        codes = services().accounts.confirm_second_factor(
            actor(), password=form.get("old", ""), secret=form.get("secret", ""), code=form.get("code", "")
        )
    except (ValidationFailed, LimitReached) as failed:
        offer = services().accounts.offer_second_factor(actor())
        return _enrolment(offer.secret, offer.uri, _own_errors(failed)), failed.status
    renew_session()
    return render_template("recovery_codes.html", codes=codes)


@blueprint.post("/account/second-factor/remove")
def drop_second_factor() -> Any:
    """The password alone is enough again."""
    if is_refused():
        return _account_page()
    try:
        services().accounts.drop_second_factor(actor(), password=request.form.get("old", ""))
    except (ValidationFailed, LimitReached) as failed:
        return _account_page(factor_errors=_own_errors(failed)), failed.status
    renew_session()
    tell("The second factor is off. Your password alone is enough to sign in")
    return redirect(url_for(".account"))


# -- steps ------------------------------------------------------------------------------------------------------------


def _read(editor: Editor) -> bool:
    """Take in what was posted; True where it is to be saved. Raises ValidationFailed with what a check of the fields found."""
    editor.read(posted())
    if editor.pressed == CHECK and editor.submission:
        raise ValidationFailed(editor.submission.errors)
    return not editor.pressed


def _at(failed: ValidationFailed, pointer: str) -> tuple[FieldError, ...]:
    """A name that is taken is an address here."""
    return tuple(FieldError(pointer, error.message) for error in failed.errors) if isinstance(failed, DuplicateName) else failed.errors


def _stored(user: User) -> dict[str, Any]:
    return {"name": user.name, "role": user.role.value, "groups": list(user.groups), "disabled": user.disabled}


def _user_page(user: User, *, editor: Editor | None = None, errors: tuple[FieldError, ...] = (), link: str | None = None) -> str:
    editor = editor or Editor(form_of(CHANGE_FORM), _stored(user))
    shown = editor.present(errors)
    return render_template(
        "user.html",
        user=user,
        controls=shown.controls,
        errors=shown.summary,
        link=link,
        service=user.kind is AccountKind.SERVICE,
        tokens=services().tokens.all(actor(), user.id),
        own=user.id == actor().id,
        rights=[(RULES[may].words, has_role(user.role, may)) for may in SHOWN_RIGHTS],
        place=_place(user),
    )


def _place(user: User) -> str:
    """Returns the page of the navigation that an account belongs to."""
    if user.id == actor().id and user.kind is AccountKind.PERSON:
        return url_for(".account") if lacks(actor(), May.MANAGE_ACCOUNTS) else url_for(".list_users")
    return url_for(".list_service_accounts" if user.kind is AccountKind.SERVICE else ".list_users")


@blueprint.post("/account/reading")
def set_reading() -> Any:
    """The language of pages, and the zone in which times are shown."""
    zone, wanted = request.form.get("zone", "").strip(), request.form.get("language", "")
    if is_refused():
        return _account_page(reading=Preference(zone, wanted))
    try:
        services().preferences.set_reading(actor(), zone, wanted)
        services().digests.replan_mine(actor())
    except ValidationFailed as failed:
        errors = {error.pointer.strip("/"): error.message for error in failed.errors}
        return _account_page(reading=Preference(zone, wanted), reading_errors=errors), failed.status
    g.pop("preference", None)
    g.pop("language", None)
    tell("Saved")
    return redirect(url_for(".account"))


def _account_page(
    *,
    errors: dict[str, str] | None = None,
    factor_errors: dict[str, str] | None = None,
    reading: Preference | None = None,
    reading_errors: dict[str, str] | None = None,
) -> str:
    user = services().accounts.get(actor(), actor().id)
    return render_template(
        "account.html",
        user=user,
        sessions=services().signin.sessions(actor(), session[SESSION_SECRET]),
        errors=errors or {},
        factor_errors=factor_errors or {},
        reading=reading or preference(),
        reading_errors=reading_errors or {},
        languages=LANGUAGES,
        zones=sorted(zone_names()),
        tokens=services().tokens.all(actor(), user.id),
        digest=services().digests.mine(actor()),
        sees_executions=lacks(actor(), May.SEE_EXECUTIONS) is None,
    )


def _enrolment(secret: str, uri: str, errors: dict[str, str] | None = None) -> str:
    picture = segno.make(uri, error="m").svg_inline(scale=4, border=2, omitsize=True, svgclass="qr", lineclass=None)
    # segno draws the picture from numbers; nothing of the address is in it as text.
    return render_template("second_factor.html", secret=secret, picture=Markup(picture), errors=errors or {})  # noqa: S704


def _own_errors(failed: ValidationFailed | LimitReached) -> dict[str, str]:
    if isinstance(failed, LimitReached):
        return {"old": failed.detail}
    return {error.pointer.removeprefix("/"): error.message for error in failed.errors}


def _link(secret: str) -> str:
    return f"{base_address()}{url_for('signin_pages.reset', secret=secret)}"


def _back(user_id: str) -> str:
    if user_id == actor().id or lacks(actor(), May.MANAGE_ACCOUNTS):
        return url_for(".account")
    try:
        return url_for(".edit_user", user_id=services().accounts.get(actor(), user_id).id)
    except NotFound:
        return url_for(".list_users")
