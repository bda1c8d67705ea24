"""The words that people read in place of the codes in records."""

from __future__ import annotations

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


def word(code: str) -> str:
    """Returns the words of a code, or the code itself if it has none."""
    return WORDS.get(str(code), str(code))
