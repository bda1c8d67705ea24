"""The words that people read in place of the codes in records."""

from __future__ import annotations

from app.errors import RoleTooLow
from templates_lib.messages import Said, say

WORDS: dict[str, Said] = {
    # roles
    "super_admin": say("super-admin"),
    "admin": say("admin"),
    "user": say("user"),
    # what began an execution
    "schedule": say("schedule"),
    "manual": say("manual"),
    "api": say("api"),
    "webhook": say("webhook"),
    "command": say("command"),
    "retry": say("retry"),
    "backfill": say("backfill"),
    "preview": say("preview"),
    "dependency": say("another job"),
    # requests for approval, and what became of an action
    "pending": say("waiting"),
    "approved": say("approved"),
    "refused": say("refused"),
    "withdrawn": say("withdrawn"),
    "expired": say("expired"),
    "failed": say("failed"),
    "done": say("done"),
    # versions of templates, and their risk
    "draft": say("draft"),
    "published": say("published"),
    "deprecated": say("deprecated"),
    "retired": say("retired"),
    "low": say("low"),
    "medium": say("medium"),
    "high": say("high"),
    # plans of a file
    "create": say("create"),
    "update": say("update"),
    "delete": say("delete"),
    "invalid": say("invalid"),
    "keep": say("keep"),
    # views of the calendar
    "month": say("month"),
    "week": say("week"),
    "day": say("day"),
    # why a job is paused
    "pause.person": say("paused"),
    "pause.calendar": say("blackout"),
    "pause.template": say("template disabled"),
    "pause.maintenance": say("maintenance"),
    # how an event of the audit trail came about
    "web": say("web"),
    "system": say("system"),
}


# By the role that is needed and that of the viewer: who may open a page, and who may do a thing.
_ROLES_NEEDED = {
    ("super_admin", "admin"): (
        say("Only a super-admin may open this page. You are an admin."),
        say("Only a super-admin may do this. You are an admin."),
    ),
    ("super_admin", "user"): (
        say("Only a super-admin may open this page. Your role is user."),
        say("Only a super-admin may do this. Your role is user."),
    ),
    ("admin", "user"): (
        say("Only admins may open this page. Your role is user."),
        say("Only admins may do this. Your role is user."),
    ),
}


def role_words(error: RoleTooLow, *, opens: bool) -> str:
    """Returns which role is needed, in a sentence; `opens`: to open a page."""
    pages, actions = _ROLES_NEEDED[error.needed, error.role]
    return pages if opens else actions


def word(code: str) -> str:
    """Returns the words of a code, or the code itself if it has none."""
    return WORDS.get(str(code), str(code))
