"""Crontabs: those of users, /etc/crontab, /etc/cron.d and folders of scripts for run-parts (crontab(5), cron(8), run-parts(8))."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

from app.imports.cron_fields import FIELD_NAMES, NICKNAMES, REBOOT, CronFields, FieldRefused, read_fields
from app.imports.cron_users import is_no_user, seems_to_have_users
from app.imports.entries import CommandLine, Draft, Entry, EntryKind, Reading
from app.imports.fires import Times, cron_times
from app.imports.names import slug
from app.imports.secrets import Redactor
from app.imports.shell import operand
from app.imports.sources.base import Source, SourceError, SourceOptions, read_bytes
from app.imports.undecided import ask_without_schedule
from app.zones import is_zone

LAYOUTS = ("auto", "user", "system", "scripts")
LARGEST_BYTES = 5_000_000
LONGEST_NAME = 100
# What Debian's /etc/crontab says for its folders of scripts.
FOLDER_SCHEDULES = {"cron.hourly": "17 * * * *", "cron.daily": "25 6 * * *", "cron.weekly": "47 6 * * 7", "cron.monthly": "52 6 1 * *"}
_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_-]+")  # run-parts(8) ignores all others, such as those with a dot
_VARIABLE = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z_][\w]*))\s*=\s*(.*?)\s*""")
_ENTRY = re.compile(r"\s*-?(?P<times>@[A-Za-z]+|(?:[^\s#]\S*\s+){4}\S+)\s+(?P<rest>\S.*)", re.DOTALL)
_TIMES = re.compile(r"@[a-z]+|(?:[*0-9A-Za-z,/-]+\s+){4}[*0-9A-Za-z,/-]+", re.IGNORECASE)
_RUN_PARTS = re.compile(r"(?:^|[\s;&({])run-parts(?:\s+--?\S+)*\s+(?P<folder>/\S+?)[\s;)}]*$")
DISABLED = "#jobwright# "


@dataclass(slots=True)
class _File:
    """How far a file is read: the variables so far, and the comment that may name the next entry."""

    path: Path
    has_user: bool
    user: str
    home: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    comment: list[str] = field(default_factory=list)
    chosen: bool = False  # somebody has chosen the layout
    doubt: str = ""  # why the layout seems to be wrong


class Crontab(Source):
    """Files of cron. `layout` says what the place is: `user`, `system` (with a column for the user), `scripts` (a folder for run-parts), or
    `auto`. `schedule` is the time of a folder of scripts, `home` the home folder of the user."""

    type = "crontab"
    title = "Crontab"
    named_by = "comment"
    options: ClassVar[Mapping[str, str]] = {
        "layout": "user, system (with a column for the user) or scripts; otherwise the place says it",
        "home": "the home folder of the user whose crontab it is",
        "schedule": "when a folder of scripts runs, such as '25 6 * * *'",
    }
    at_clock_changes: ClassVar[str] = (
        "cron runs a fixed time that the clock skips right after it, and one that comes twice the first time only. A line whose minute or"
        " hour begins with * follows the clock."
    )

    def read(self, place: str, options: SourceOptions) -> Reading:
        chosen = options.get("layout", "auto")
        if chosen not in LAYOUTS:
            raise SourceError(f"{chosen!r} is not a layout. Known layouts: {', '.join(LAYOUTS)}.")
        path = Path(place)
        if not path.exists():
            raise SourceError(f"{place} does not exist.")
        if path.name == "anacrontab":
            raise SourceError(f"{place} is a file of anacron. Name it as anacrontab:{place}.")
        digest = hashlib.sha256()
        entries: list[Entry] = []
        remarks: list[str] = []
        for file in _files(path, remarks):
            text, data = text_of(file)
            digest.update(f"{file.name}\0{len(data)}\0".encode() + data)
            layout = _layout(file) if chosen == "auto" else chosen
            if layout == "scripts":
                entries.append(_script(file, options))
            else:
                entries += _entries(file, text, layout, path.is_dir(), options)
        name = f"{self.type}:{options.machine}:{path.absolute()}"
        return Reading(name=name, digest=digest.hexdigest(), entries=tuple(entries), remarks=tuple(remarks))

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        times = entry.values["times"]
        if times.lower() == REBOOT:
            _at_boot(draft, times)
            return None
        timezone = _timezone(entry, options, draft)
        expanded = NICKNAMES.get(times.lower(), times)
        fields = read_fields(expanded.split())
        expression = fields.expression
        remarks = dict(fields.remarks)
        if times.startswith("@"):
            draft.mapped("times", times, "schedule.expression", f"{times} is short for {expression}")
        else:
            for name, text in zip(FIELD_NAMES, times.split(), strict=True):
                draft.mapped(name, text, "schedule.expression", remarks.get(name, ""))
        if fields.never or not expression:
            why = "; ".join(remarks.values()) or "the date does not exist"
            ask_without_schedule(draft, f"cron never starts this entry: {why}.")
            return None
        draft.body["schedule"] = {"type": "cron", "expression": expression, "timezone": timezone}
        return partial(_times, fields, timezone)

    def disable(self, entry: Entry) -> str:
        file, _, line = entry.where.rpartition(":")
        if entry.values.get("layout") == "scripts":
            return f"chmod a-x {operand(file)}"
        if entry.values.get("layout") == "user":
            crontab = f"crontab -u {shlex.quote(entry.values.get('user') or 'USER')}"
            return f"{crontab} -l | sed '{line}s/^/{DISABLED}/' | {crontab} -"
        return f"sed -i '{line}s/^/{DISABLED}/' {operand(file)}"

    def enable(self, entry: Entry) -> str:
        if entry.values.get("layout") == "scripts":
            return self.disable(entry).replace("chmod a-x", "chmod a+x")
        return self.disable(entry).replace(f"s/^/{DISABLED}/", f"s/^{DISABLED}//")


# -- files -------------------------------------------------------------------------------------------------------------


def _files(path: Path, remarks: list[str]) -> list[Path]:
    """Returns the files of a place, sorted. Files that cron ignores are named in the remarks."""
    if not path.is_dir():
        return [path]
    files = []
    for file in sorted(path.iterdir()):
        if not file.is_file():
            continue
        if _SCRIPT_NAME.fullmatch(file.name):
            files.append(file)
        else:
            remarks.append(
                f"{file} is left out, because cron ignores files whose names have other characters than letters, digits, _ and -."
            )
    if not files:
        raise SourceError(f"{path} has no file that cron reads.")
    return files


def text_of(file: Path) -> tuple[str, bytes]:
    """Returns a file as text and as bytes. Bytes that are not UTF-8 become U+FFFD. Raises SourceError."""
    data = read_bytes(file, LARGEST_BYTES)
    if b"\0" in data:
        raise SourceError(f"{file} is not a text file: it contains NUL bytes. If it is UTF-16, convert it with iconv.")
    return data.decode("utf-8", errors="replace").removeprefix("\ufeff"), data


def _layout(file: Path) -> str:
    """Returns what a file is, by its place."""
    folder = file.parent.name
    if folder in FOLDER_SCHEDULES:
        return "scripts"
    return "system" if folder == "cron.d" or (folder == "etc" and file.name == "crontab") else "user"


# -- lines -------------------------------------------------------------------------------------------------------------


def _entries(file: Path, text: str, layout: str, in_folder: bool, options: SourceOptions) -> Iterator[Entry]:
    state = _File(
        path=file,
        has_user=layout == "system",
        user=file.name if layout == "user" and in_folder else "",
        home=options.get("home") if layout == "user" else "",
        chosen=bool(options.get("layout")),
    )
    if layout == "user" and not state.chosen:
        state.doubt = seems_to_have_users(match["rest"] for line in text.splitlines() if (match := _ENTRY.fullmatch(line.strip(" \t"))))
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.rstrip("\r").strip(" \t")
        if not bare:
            state.comment = []
        elif bare.startswith("#"):
            yield from _comment(state, bare, number)
        elif (variable := variable_of(bare)) is not None:
            state.environment[variable[0]] = variable[1]
            state.comment = []
        else:
            yield from _line(state, bare, number, layout)
            state.comment = []


def variable_of(line: str) -> tuple[str, str] | None:
    """Returns the name and the value of a line that sets a variable (crontab(5): quotes around either are optional)."""
    match = _VARIABLE.fullmatch(line)
    if match is None or _TIMES.match(line.split("=", 1)[0].strip() + " "):
        return None
    value = match[4]
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return match[1] or match[2] or match[3], value


def _comment(state: _File, line: str, number: int) -> Iterator[Entry]:
    """Keeps a comment as a name, or yields a note if it is an entry that somebody has disabled."""
    text = line.lstrip("#").strip()
    text = text.removeprefix("jobwright#").strip()
    match = _ENTRY.fullmatch(text)
    if match is not None and _TIMES.fullmatch(match["times"]) and _is_times(match["times"]):
        redactor = Redactor()
        raw = redactor.redact(text)
        yield Entry(
            id=_entry_id(state, "note", raw),
            where=f"{state.path}:{number}",
            kind=EntryKind.NOTE,
            raw=raw,
            reason="is disabled: it is a comment",
            secrets=tuple(redactor.found),
        )
        state.comment = []
    elif text:
        state.comment.append(text)


def _is_times(text: str) -> bool:
    try:
        return text.lower() in {*NICKNAMES, REBOOT} or bool(read_fields(text.split()))
    except (FieldRefused, ValueError):
        return False


def _line(state: _File, line: str, number: int, layout: str) -> Iterator[Entry]:
    """Yields the entry of a line, or one for each script if it runs a folder of scripts that can be read."""
    redactor, where = Redactor(), f"{state.path}:{number}"
    raw = redactor.redact(line)
    invalid = partial(Entry, id=_entry_id(state, "invalid", raw), where=where, kind=EntryKind.INVALID, raw=raw)
    match = _ENTRY.fullmatch(raw)
    if match is None:
        yield invalid(reason="needs five time fields and a command", secrets=tuple(redactor.found))
        return
    times, rest = " ".join(match["times"].split()), match["rest"]
    if wrong := _wrong_times(times):
        yield invalid(reason=wrong, secrets=tuple(redactor.found))
        return
    if state.doubt:
        yield invalid(reason=state.doubt, secrets=tuple(redactor.found))
        return
    user = state.user
    if state.has_user:
        user, _, rest = " ".join(rest.split(None, 1)).partition(" ")
        if not rest:
            yield invalid(reason="has a user and no command. A crontab of a user has no column for the user: use --layout user")
            return
        if wrong := is_no_user(user, chosen=state.chosen):
            yield invalid(reason=wrong, secrets=tuple(redactor.found))
            return
    environment = {name: redactor.redact_value(name, value) for name, value in state.environment.items()}
    command, stdin = _split_percent(rest)
    home = environment.get("HOME") or state.home or ("/root" if user == "root" else f"/home/{user}" if user else "")
    entry = Entry(
        id=_entry_id(state, times, user, rest),
        where=where,
        kind=EntryKind.JOB,
        raw=raw,
        name=_name(state.comment),
        values={"times": times, "user": user, "command": rest, "layout": layout},
        command=CommandLine(
            text=command, stdin=stdin, user=user, home=home, shell=environment.get("SHELL", "/bin/sh"), environment=environment
        ),
        mail_to=environment.get("MAILTO"),
        secrets=tuple(redactor.found),
        prints=tuple(redactor.prints),
    )
    scripts = scripts_of(command)
    yield from [of_folder(entry, script) for script in scripts] if scripts else [entry]


def _wrong_times(times: str) -> str:
    """Returns why cron refuses the time of a line; "" if it accepts it."""
    if times.startswith("@"):
        known = [*NICKNAMES, REBOOT]
        return "" if times.lower() in known else f"{times} is not known to cron. Known names: {', '.join(known)}"
    try:
        read_fields(times.split())
    except FieldRefused as refused:
        return str(refused)
    return ""


def _split_percent(text: str) -> tuple[str, str | None]:
    r"""Returns the command and what it reads: the first `%` ends the command, the others are new lines, and `\%` is a percent sign."""
    parts = re.split(r"(?<!\\)%", text)
    parts = [part.replace("\\%", "%") for part in parts]
    return parts[0].rstrip(), "\n".join(parts[1:]) + "\n" if len(parts) > 1 else None


def _name(comment: list[str]) -> str:
    """Returns the name that a comment right above an entry gives it: its last line, if that is short enough for a name."""
    text = Redactor().redact(comment[-1]).strip(" -=#*:.") if comment else ""
    return text if 2 < len(text) <= LONGEST_NAME and any(map(str.isalpha, text)) else ""


def _entry_id(state: _File, *parts: str) -> str:
    digest = hashlib.sha256("\0".join([state.path.name, *parts]).encode()).hexdigest()[:10]
    return f"{slug(state.path.name, 'crontab')}-{digest}"


# -- folders of scripts ------------------------------------------------------------------------------------------------


def scripts_of(command: str) -> list[Path]:
    """Returns the scripts that a line starts through run-parts; none if the folder cannot be read here."""
    match = _RUN_PARTS.search(command)
    folder = Path(match["folder"]) if match else None
    if folder is None or not folder.is_dir():
        return []
    return [file for file in sorted(folder.iterdir()) if file.is_file() and _SCRIPT_NAME.fullmatch(file.name) and os.access(file, os.X_OK)]


def of_folder(entry: Entry, script: Path) -> Entry:
    """Returns the entry of one of the scripts that an entry starts through run-parts."""
    return replace(
        entry,
        id=f"{entry.id}-{script.name}",
        name=f"{script.parent.name}: {script.name}",
        command=replace(entry.line, text=shlex.quote(str(script)), home="/"),
        values={**entry.values, "script": str(script)},
    )


def _script(file: Path, options: SourceOptions) -> Entry:
    """Returns the entry of a script in a folder for run-parts."""
    times = options.get("schedule") or FOLDER_SCHEDULES.get(file.parent.name, "")
    where, state = f"{file}:1", _File(path=file, has_user=False, user="root")
    if not times or _wrong_times(times):
        reason = f"has no time: say with --schedule when {file.parent} runs, such as --schedule '25 6 * * *'"
        return Entry(id=_entry_id(state, "script"), where=where, kind=EntryKind.INVALID, raw=str(file), reason=reason)
    if not os.access(file, os.X_OK):
        return Entry(
            id=_entry_id(state, "script"), where=where, kind=EntryKind.NOTE, raw=str(file), reason="is disabled: it is not executable"
        )
    return Entry(
        id=_entry_id(state, "script"),
        where=where,
        kind=EntryKind.JOB,
        raw=str(file),
        name=f"{file.parent.name}: {file.name}",
        values={"times": times, "user": "root", "command": str(file), "layout": "scripts"},
        command=CommandLine(text=shlex.quote(str(file)), user="root", home="/"),
    )


# -- schedules ---------------------------------------------------------------------------------------------------------


def _at_boot(draft: Draft, times: str) -> None:
    draft.body["schedule"] = {"type": "manual"}
    reason = "a job has no time to start with the machine. The job has no schedule; let systemd start what must run at each start"
    draft.mapped("times", times, "schedule.type", reason)


def _timezone(entry: Entry, options: SourceOptions, draft: Draft) -> str:
    """Returns the time zone of an entry. Raises SourceError if nobody has said it."""
    own = entry.line.environment.get("CRON_TZ", "")
    if own:
        if not is_zone(own):
            raise SourceError(f"{entry.where}: CRON_TZ={own} is not an IANA time zone. Correct the file.")
        draft.mapped(
            "CRON_TZ",
            own,
            "schedule.timezone",
            "cronie takes it for the times below it; Debian's cron ignores it and uses the time zone of the machine",
        )
        return own
    if not options.timezone:
        raise SourceError(
            "The time zone of the crontab is not known. Give that of the machine it comes from, such as --zone Europe/Berlin."
        )
    return options.timezone


def _times(fields: CronFields, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    return cron_times(fields, timezone, after, until)
