"""Makes the job of an entry: its template by the kind of its command, and what all jobs have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from app.imports.entries import CommandLine, Draft, Entry
from app.imports.mapping.calls import NotOurs
from app.imports.mapping.command import map_command, propose_script
from app.imports.mapping.files import map_find, map_mongodump
from app.imports.mapping.http import map_http
from app.imports.mapping.lines import Line, reduce_line
from app.imports.mapping.mail import ADDRESS, map_mail
from app.imports.mapping.named import map_call
from app.imports.secrets import has_secret
from app.imports.shell import NeedsShell
from app.imports.sources.base import Source, SourceOptions

_KINDS: dict[str, Callable[[Line, Draft], None]] = {
    "curl": map_http,
    "wget": map_http,
    "find": map_find,
    "mongodump": map_mongodump,
    "mail": map_mail,
    "mailx": map_mail,
    "sendmail": map_mail,
    "msmtp": map_mail,
}
# Arguments that seem to be files below the working folder: ./a, ../a, a/b.c, run.py.
_RELATIVE = re.compile(r"\.{1,2}/\S*|[\w.-]+/[\w./-]*\.\w+|[\w-]+\.(?:py|sh|php|js|rb|pl|jar|ya?ml|json|conf|cfg|ini|sql|csv|txt)")


def map_entry(entry: Entry, source: Source, options: SourceOptions, draft: Draft) -> None:
    """Adds the template, the parameters and the notifications of an entry to the draft, with the fate of every field."""
    if entry.call is not None:
        map_call(entry.call, source, options, draft)
        _mail(entry, None, draft)
        return
    command = entry.line
    inner = draft.part()
    try:
        line = reduce_line(command, inner)
        _by_kind(line, command, inner)
        if has_secret(json.dumps(inner.body["parameters"], ensure_ascii=False)):
            raise NeedsShell("a secret is among its parameters, which are stored in the clear")
    except NeedsShell as reason:
        inner = draft.part()
        _note_environment(command, inner)
        propose_script(command, inner, entry.id, str(reason))
        line = None
    draft.fields += inner.fields
    draft.questions += inner.questions
    draft.needs += inner.needs
    draft.script = inner.script or draft.script
    if jitter := inner.body.pop("jitter_seconds", 0):
        draft.body["schedule"]["jitter_seconds"] = jitter
    draft.body |= inner.body
    _user(entry, command, line, draft)
    _shell(command, draft)
    _mail(entry, line, draft)


def _by_kind(line: Line, command: CommandLine, draft: Draft) -> None:
    special = _KINDS.get(line.program)
    if special is not None:
        own = draft.part()
        try:
            special(line, own)
        except NotOurs:
            draft.fields += [field for field in own.fields if field.fate == "waits"]
        else:
            draft.fields += own.fields
            draft.needs += own.needs
            draft.body |= own.body
            _note_environment(command, draft, line)
            return
    line.environment = {**{key: value for key, value in command.environment.items() if key != "HOME"}, **line.environment}
    if not line.folder and command.home and _is_relative(line.texts):
        line.folder = command.home
        draft.mapped("working folder", command.home, "parameters.folder", "cron starts commands in the home folder")
    if "HOME" in command.environment:
        draft.dropped("HOME", command.environment["HOME"], "a command has a folder of its own, which is also its home")
    map_command(line, draft)


def _is_relative(texts: list[str]) -> bool:
    """Whether the program or an argument seems to be a path below the working folder."""
    program, *arguments = texts
    return any(map(_RELATIVE.fullmatch, arguments)) or ("/" in program and not program.startswith("/"))


def _note_environment(command: CommandLine, draft: Draft, line: Line | None = None) -> None:
    """Says what becomes of variables that a template does not take, or that stand in a script."""
    for key, value in {**command.environment, **(line.environment if line else {})}.items():
        if key in {"MAILTO", "CRON_TZ", "SHELL"}:
            continue
        if line is None:
            draft.mapped(key, value, "the proposed script")
        else:
            draft.dropped(key, value, "the template does not start a program, so it has no variables")


def _user(entry: Entry, command: CommandLine, line: Line | None, draft: Draft) -> None:
    if entry.values.get("user"):
        words = "jobs run as the user of Jobwright (JOBWRIGHT_JOB_USER)"
        reason = (
            f"{words}. Check that this user may do what {command.user} did"
            if line is None or draft.body["template_type"] == "command"
            else words
        )
        draft.dropped("user", entry.values["user"], reason)


def _shell(command: CommandLine, draft: Draft) -> None:
    if "SHELL" not in command.environment:
        return
    shell = command.environment["SHELL"]
    if draft.script:
        draft.mapped("SHELL", shell, "the proposed script")
    else:
        draft.dropped("SHELL", shell, "jobs have no shell")


def _mail(entry: Entry, line: Line | None, draft: Draft) -> None:
    """Cron mails all output. A job mails after failures, and after successes if the line itself sent mail."""
    failure: list[str] = []
    if entry.mail_to is not None:
        addresses = [text.strip() for text in entry.mail_to.split(",") if text.strip()]
        failure = [text for text in addresses if ADDRESS.fullmatch(text)]
        local = [text for text in addresses if text not in failure]
        if not addresses:
            draft.mapped("MAILTO", "", "notifications", "there is no mail")
        if failure:
            draft.mapped(
                "MAILTO", ", ".join(failure), "notifications.on_failure", "cron mails what a command prints; a job mails after a failure"
            )
        if local:
            draft.dropped(
                "MAILTO",
                ", ".join(local),
                "it is a mailbox of the machine, and Jobwright needs an address. Failures stand on the dashboard",
            )
    success = [text for text in line.mail_to if ADDRESS.fullmatch(text)] if line else []
    if line and len(success) < len(line.mail_to):
        draft.dropped("mail", ", ".join(text for text in line.mail_to if text not in success), "it is a mailbox of the machine")
    notifications = {"on_failure": list(dict.fromkeys([*failure, *success])), "on_success": list(dict.fromkeys(success))}
    chosen = {key: value for key, value in notifications.items() if value}
    if chosen:
        draft.body["notifications"] = chosen
