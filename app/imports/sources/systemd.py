"""Timers of systemd with their services, drop-ins and instances of templates (systemd.timer(5), systemd.service(5))."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from app.imports.entries import LEAVE_OUT, LEAVE_OUT_WORDS, CommandLine, Draft, Entry, EntryKind, Question, Reading
from app.imports.fires import Times
from app.imports.intervals import interval_seconds
from app.imports.names import words_or_hash
from app.imports.secrets import Redactor
from app.imports.shell import operand
from app.imports.sources.base import Source, SourceError, SourceOptions
from app.imports.sources.documents import LONGEST_RAW, Fields, Files, is_true
from app.imports.systemd_calendar import SystemdRefused, read_calendar, read_span
from app.imports.systemd_units import Unit, read_exec, specifiers, words
from app.imports.undecided import without_schedule
from app.imports.wall_schedules import NoSchedule
from app.zones import is_zone

LAYOUTS = ("auto", "system", "user")
SYSTEM = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
USER = ("etc/systemd/user", "run/systemd/user", "usr/local/lib/systemd/user", "usr/lib/systemd/user")
_MONOTONIC = ("OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec")
_REPEATING = ("OnUnitActiveSec", "OnUnitInactiveSec")
_MOST_JITTER = 86_400
_OUTPUT = "the output of a run is its log"
# Why a job does without a setting, by the section and the key.
_REASONS = {
    r"^Timer\.AccuracySec": "systemd may start a timer that much later, to save power; a job starts when it is due",
    r"^Timer\.WakeSystem": "Jobwright does not wake a machine that sleeps",
    r"^Timer\.(RemainAfter|OnClock|OnTimezone|DeferRe)": "it says how systemd handles the unit, not when the job runs",
    r"^Unit\.On(Failure|Success)": "the notifications and the “Runs after” of jobs say what follows a run",
    r"^Unit\.": "it orders units of systemd, or describes them; a job is not one",
    r"^Install\.": "it says what enables the unit; a job is enabled in Jobwright",
    r"^Service\.(Type|GuessMainPID|PIDFile|BusName|NotifyAccess|RemainAfterExit|Kill|SendSIG|TimeoutStop|TimeoutAbort|Watchdog|Exit)": (
        "a run ends when its program does"
    ),
    r"^Service\.(Standard|Syslog|Log|TTY)": _OUTPUT,
    r"^Service\.(User|Group|DynamicUser|SupplementaryGroups|UMask)": "jobs run as the user of Jobwright (JOBWRIGHT_JOB_USER)",
    r"^Service\.(Nice|IOScheduling|CPU|Memory|Tasks|Limit|IO|OOM|Slice|Block|Delegate)": "commands have the limits of Jobwright",
    r"^Service\.(Private|Protect|Restrict|ReadOnly|ReadWrite|Inaccessible|NoNew|Capability|AmbientCap|SystemCall|Lock|Bind|Root|Mount|Remove"
    r"|State|Cache|Logs|Runtime|Configuration|Network|IPAddress|Device|Proc|Keyring|Temporary|Secure|Personality)": (
        "commands run in the cage of Jobwright. Check that they may use the folders that they need"
    ),
    r"^Service\.(StartLimit|Restart|Timeout|Success)": "it says how systemd counts starts and ends of a service",
}
_OTHERWISE = "a job has nothing like it"


@dataclass(slots=True)
class _Place:
    """A folder with units: where else services lie, which timers are enabled, and what was read."""

    folder: Path
    user: bool
    root: Path
    search: list[Path]
    files: Files = field(default_factory=Files)
    enabled: dict[str, bool] = field(default_factory=dict)
    knows_enabled: bool = False


class Systemd(Source):
    """Timers of a folder, or one timer."""

    type = "systemd"
    title = "systemd"
    named_by = "Description"
    options: ClassVar = {"layout": "system, user or auto", "root": "The folder that stands for /, for a copy of another machine."}
    at_clock_changes: ClassVar[str] = "systemd leaves out times that the clock skips, and runs once at times that come twice."

    def read(self, place: str, options: SourceOptions) -> Reading:
        if options.get("layout", "auto") not in LAYOUTS:
            raise SourceError(f"{options.get('layout')!r} is not a layout. Known layouts: {', '.join(LAYOUTS)}.")
        path = Path(place)
        if not path.exists():
            raise SourceError(f"{place} does not exist.")
        where = _place(path if path.is_dir() else path.parent, options)
        names = _timers(where) if path.is_dir() else [path.name]
        if not names:
            raise SourceError(f"{place} has no timers: files whose names end with .timer.")
        entries = [entry for name in names for entry in _entries(where, name)]
        remarks = () if where.knows_enabled else ("No folder timers.target.wants: whether timers are enabled is not known.",)
        name = f"{self.type}:{options.machine}:{path.absolute()}"
        return Reading(name=name, digest=where.files.digest.hexdigest(), entries=tuple(entries), remarks=remarks)

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        fields = Fields(entry.values, draft)
        for inner in ("layout", "timer", "user", "command"):
            fields.take(inner)
        times = None
        if fields.get("Timer.OnCalendar"):
            times = _calendar(entry, fields, options, draft)
        else:
            _monotonic(fields, draft)
        _timer(fields, draft)
        _service(fields, draft)
        fields.drop(_REASONS, _OTHERWISE)
        return times

    def disable(self, entry: Entry) -> str:
        return _systemctl(entry, "disable --now" if _has_install(entry) else "mask --now")

    def enable(self, entry: Entry) -> str:
        if _has_install(entry):
            return _systemctl(entry, "enable --now")
        return f"{_systemctl(entry, 'unmask')} && {_systemctl(entry, 'start')}"


def _has_install(entry: Entry) -> bool:
    return any(name.startswith("Install.") for name in entry.values)


def _systemctl(entry: Entry, verb: str) -> str:
    """Returns the command that does something with the timer of an entry."""
    manager = "systemctl --user" if entry.values["layout"] == "user" else "systemctl"
    return f"{manager} {verb} {operand(entry.values['timer'])}"


# -- files -------------------------------------------------------------------------------------------------------------


def _place(folder: Path, options: SourceOptions) -> _Place:
    """Returns a folder of systemd with the others of the same manager; a copy elsewhere is alone, unless `root` says where it belongs."""
    layout = options.get("layout", "auto")
    user = layout == "user" or (layout == "auto" and folder.name == "user")
    root = Path(options.get("root", "/"))
    belongs = options.get("root") or folder.absolute().parent.name == "systemd"
    others = [root / path for path in (USER if user else SYSTEM)] if belongs else []
    known = folder.absolute() in [other.absolute() for other in others]
    return _Place(folder=folder, user=user, root=root, search=others if known else [folder, *others])


def _timers(where: _Place) -> list[str]:
    """Returns the timers of a folder: its files, and the instances of its templates that a folder *.wants links to."""
    names = {file.name for file in where.folder.glob("*.timer")}
    templates = {name for name in names if name.endswith("@.timer")}
    for wants in (wants for folder in where.search for wants in sorted(folder.glob("*.wants"))):
        where.knows_enabled = where.knows_enabled or wants.name == "timers.target.wants"
        for link in wants.glob("*.timer"):
            where.enabled[link.name] = True
            if re.sub(r"@.*", "@.timer", link.name) in templates:
                names.add(link.name)
    return sorted(names)


def _is_file(path: Path) -> bool:
    """Whether there is a file that can be read."""
    return os.path.isfile(path) and os.access(path, os.R_OK)  # noqa: PTH113 - Path.is_file raises where a folder cannot be read


def _unit(where: _Place, name: str) -> Unit | None:
    """Returns a unit with its drop-ins, or with those of its template; None if there is none."""
    template = re.sub(r"@.*(\.\w+)$", r"@\1", name)
    file = next((path for folder in where.search for each in (name, template) if _is_file(path := folder / each)), None)
    if file is None:
        return None
    unit = Unit(name)
    unit.add(where.files.read(file, strict=False))
    drop_ins: dict[str, Path] = {}
    kind = name.rpartition(".")[2]
    for folder in reversed(where.search):
        for each in dict.fromkeys((kind, template, name)):
            drop_ins |= {path.name: path for path in sorted((folder / f"{each}.d").glob("*.conf"))}
    for _, path in sorted(drop_ins.items()):
        unit.add(where.files.read(path, strict=False))
    return unit


def _entries(where: _Place, name: str) -> Iterator[Entry]:
    file = where.folder / name
    plain = partial(Entry, id=_id(name), where=str(file), raw=name)
    if any((folder / name).is_symlink() and str((folder / name).readlink()) == "/dev/null" for folder in where.search):
        yield plain(kind=EntryKind.NOTE, reason="is masked")
        return
    if re.search(r"@\.timer$", name):
        yield plain(kind=EntryKind.NOTE, reason="is a template: its instances are imported")
        return
    try:
        timer = _unit(where, name)
        if timer is None or not timer.has("Timer"):
            yield plain(kind=EntryKind.INVALID, reason="has no section [Timer]")
            return
        yield from _of_timer(where, timer, file)
    except SystemdRefused as refused:
        yield plain(kind=EntryKind.INVALID, reason=str(refused))


def _of_timer(where: _Place, timer: Unit, file: Path) -> Iterator[Entry]:
    """Yields an entry for each calendar event of a timer, and one for its intervals."""
    target = timer.last("Timer", "Unit") or f"{timer.name.removesuffix('.timer')}.service"
    service = _unit(where, target)
    if service is None or not target.endswith(".service"):
        raise SystemdRefused(
            f"its unit {target} is not there" if target.endswith(".service") else f"it starts {target}, which is not a service"
        )
    events = timer.all("Timer", "OnCalendar")
    variants: list[str | None] = [*events]
    if any(timer.all("Timer", key) for key in _MONOTONIC) or not events:
        variants.append(None)
    for number, event in enumerate(variants, start=1):
        yield _entry(where, timer, service, file, event, number if len(variants) > 1 else 0)


def _entry(where: _Place, timer: Unit, service: Unit, file: Path, event: str | None, number: int) -> Entry:
    redactor = Redactor()
    values = {"timer": timer.name, "layout": "user" if where.user else "system"}
    for unit, sections in ((timer, ("Timer", "Unit", "Install")), (service, ("Service", "Unit"))):
        for (section, key), found in unit.values.items():
            other = event is None if key == "OnCalendar" else event is not None and key in _MONOTONIC
            if section in sections and found and not other and not (unit is service and section == "Unit" and f"Unit.{key}" in values):
                joined = found if key != "OnCalendar" else [event or ""]
                values[f"{section}.{key}"] = "; ".join(redactor.redact_value(key, text) for text in joined)
    command = _command(where, service, redactor, values)
    if number:
        values["several"] = timer.name
    known = where.knows_enabled and not where.enabled.get(timer.name) and timer.has("Install")
    raw = "\n".join(f"{name.partition('.')[2] or name}={value}" for name, value in values.items() if "." in name)
    title = timer.last("Unit", "Description") if number else service.last("Unit", "Description") or timer.last("Unit", "Description")
    return Entry(
        id=_id(timer.name) + (f"-{number}" if number > 1 else ""),
        where=str(file),
        kind=EntryKind.JOB,
        raw=raw[:LONGEST_RAW],
        name=title if len(title) <= 100 and "%" not in title else "",
        values={**values, "user": service.last("Service", "User")} if service.last("Service", "User") else values,
        command=command,
        disabled="is not enabled: no folder *.wants links to it" if known else "",
        secrets=tuple(redactor.found),
        prints=tuple(redactor.prints),
    )


def _id(name: str) -> str:
    return f"systemd-{words_or_hash(name.removesuffix('.timer'), otherwise='timer')}"


# -- commands ----------------------------------------------------------------------------------------------------------


def _command(where: _Place, service: Unit, redactor: Redactor, values: dict[str, str]) -> CommandLine:
    """Returns what a service runs, as one line: several commands follow each other with `&&`."""
    known = specifiers(service.name, user=where.user)
    environment = _environment(where, service, redactor, values)
    lines, prefixes = [], ""
    for key in ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"):
        for value in service.all("Service", key):
            for part in read_exec(redactor.redact(value), known, environment):
                prefixes += part.prefixes if key == "ExecStart" else ""
                lines.append(f"{part.text} || true" if "-" in part.prefixes and key != "ExecStart" else part.text)
    if not lines:
        raise SystemdRefused(f"{service.name} has no ExecStart")
    folder = service.last("Service", "WorkingDirectory").lstrip("-")
    home = "/root" if not where.user and service.last("Service", "User", "root") == "root" else ""
    if folder and folder != "~":
        lines.insert(0, f"cd {shlex.quote(folder.replace('%%', '%'))}")
    if prefixes:
        values["Service.prefixes"] = prefixes
    return CommandLine(text=" && ".join(lines), user=service.last("Service", "User"), home=home, environment=environment)


def _environment(where: _Place, service: Unit, redactor: Redactor, values: dict[str, str]) -> dict[str, str]:
    """Returns the variables of a service, those of its files included. A file that is not there is noted."""
    found: dict[str, str] = {}
    for text in service.all("Service", "Environment"):
        for word, _ in words(text):
            name, equals, value = word.partition("=")
            if equals:
                found[name] = redactor.redact_value(name, value)
    missing = []
    for text in service.all("Service", "EnvironmentFile"):
        path = where.root / text.lstrip("-").lstrip("/")
        if _is_file(path):
            for line in where.files.read(path, strict=False).splitlines():
                name, equals, value = line.strip().partition("=")
                if equals and not name.startswith(("#", ";")):
                    unquoted = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
                    found[name.strip()] = redactor.redact_value(name.strip(), unquoted)
        elif not text.startswith("-"):
            missing.append(text)
    if missing:
        values["missing"] = ", ".join(missing)
    return found


# -- schedules ---------------------------------------------------------------------------------------------------------


def _calendar(entry: Entry, fields: Fields, options: SourceOptions, draft: Draft) -> Times | None:
    text = fields.take("Timer.OnCalendar")
    try:
        event = read_calendar(text)
        timezone = event.timezone or options.timezone
        if not timezone:
            raise SourceError("The time zone of the machine is not known. Give it, such as --zone Europe/Berlin.")
        if not is_zone(timezone):
            raise SourceError(f"{timezone} is not an IANA time zone.")
        draft.body["schedule"] = event.sets().schedule(timezone)
    except (SystemdRefused, NoSchedule) as refused:
        without_schedule(draft, "Timer.OnCalendar", text, str(refused))
        return None
    schedule = draft.body["schedule"]
    draft.mapped("Timer.OnCalendar", text, f"schedule.{'expression' if schedule['type'] == 'cron' else 'rule'}")
    if fields.take("several"):
        draft.body["concurrency"] = {"group": entry.values["timer"][:100]}
        draft.mapped(
            "several times",
            entry.values["timer"],
            "concurrency.group",
            "each time of the timer is a job, and they do not run at the same time",
        )
    return partial(event.times, timezone)


def _monotonic(fields: Fields, draft: Draft) -> None:
    """An interval, or no schedule for a timer that only counts from the start of the machine."""
    repeat = next((key for key in _REPEATING if fields.get(f"Timer.{key}")), "")
    begin = "it counts from the start of the machine or of the timer, which a job does not know"
    if not repeat:
        draft.body["schedule"] = {"type": "manual"}
        for key in _MONOTONIC:
            fields.mapped(
                f"Timer.{key}", "schedule.type", f"{begin}. The job has no schedule; let systemd start what must run at each start"
            )
        fields.take("several")
        return
    text = fields.take(f"Timer.{repeat}").rpartition("; ")[2]
    try:
        span = read_span(text)
        seconds = interval_seconds(math.inf if span is None else span)
    except (SystemdRefused, NoSchedule) as refused:
        without_schedule(draft, f"Timer.{repeat}", text, str(refused))
        return
    draft.body["schedule"] = {"type": "interval", "interval_seconds": seconds}
    late = "systemd counts it from the end of a run, a job from its beginning" if repeat == "OnUnitInactiveSec" else ""
    draft.mapped(f"Timer.{repeat}", text, "schedule.interval_seconds", late)
    fields.take("several")
    for key in _MONOTONIC:
        if value := fields.take(f"Timer.{key}"):
            draft.dropped(f"Timer.{key}", value, f"{begin}. The first run is one interval after the job is resumed")


def _timer(fields: Fields, draft: Draft) -> None:
    persistent = fields.take("Timer.Persistent")
    if draft.body["schedule"]["type"] != "manual":
        once = is_true(persistent)
        draft.body["misfire"] = {"policy": "once" if once else "skip"}
        reason = "a time that was missed runs once when Jobwright is back" if once else "a time that was missed is not made up for"
        draft.mapped("Timer.Persistent", persistent or "no", "misfire.policy", reason)
    elif persistent:
        draft.dropped("Timer.Persistent", persistent, "the job has no schedule")
    for key in ("RandomizedDelaySec", "RandomizedOffsetSec"):
        text = fields.take(f"Timer.{key}")
        try:
            seconds = read_span(text) if text else 0
        except SystemdRefused:
            seconds = 0
        if seconds and draft.body["schedule"]["type"] != "manual":
            draft.body["schedule"]["jitter_seconds"] = max(1, min(int(seconds), _MOST_JITTER))
            draft.mapped(f"Timer.{key}", text, "schedule.jitter_seconds", "the delay of a job is always the same")
        elif text:
            draft.dropped(f"Timer.{key}", text, "there is no delay")
    fields.mapped("Timer.FixedRandomDelay", "schedule.jitter_seconds", "the delay of a job is always the same")
    fields.mapped("Timer.Unit", "template_type", "the service that the job runs")


def _service(fields: Fields, draft: Draft) -> None:
    for key in ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost"):
        if key != "ExecStart":
            fields.mapped(f"Service.{key}", "parameters", "it runs in the same job")
        else:
            fields.take(f"Service.{key}")
    for key in ("Environment", "WorkingDirectory"):
        fields.take(f"Service.{key}")
    fields.mapped("Service.EnvironmentFile", "parameters.environment", "the variables are those that the file has now")
    if missing := fields.take("missing"):
        draft.waits("Service.EnvironmentFile", missing, "the file cannot be read here, so its variables are not known")
        choices = {"without": "The job is created without these variables. Enter them in the job.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text=f"The variables of {missing} are not known.", choices=choices))
    for key in ("ExecStop", "ExecStopPost", "ExecReload"):
        if value := fields.take(f"Service.{key}"):
            draft.dropped(f"Service.{key}", value, "a run ends when its program does. Add what must follow to the program")
    if prefixes := fields.take("Service.prefixes"):
        words_of = {"-": "a failure is shown as a failure", "@": "the program sees its own name", ":": "variables were not replaced"}
        for sign in dict.fromkeys(prefixes):
            draft.dropped(
                f"ExecStart={sign}", sign, words_of.get(sign, "the command ran with all rights; jobs run as the user of Jobwright")
            )
    _limits(fields, draft)


def _limits(fields: Fields, draft: Draft) -> None:
    for key in ("RuntimeMaxSec", "TimeoutStartSec", "TimeoutSec"):
        text = fields.take(f"Service.{key}")
        try:
            seconds = read_span(text) if text else None
        except SystemdRefused:
            seconds = None
        if seconds and seconds >= 1 and "timeout_seconds" not in draft.body:
            draft.body["timeout_seconds"] = int(seconds)
            draft.mapped(f"Service.{key}", text, "timeout_seconds")
        elif text:
            draft.dropped(f"Service.{key}", text, "the run has the usual timeout of a job")
    restart = fields.take("Service.Restart")
    if restart in {"on-failure", "always", "on-abnormal", "on-abort", "on-watchdog"}:
        burst = fields.take("Unit.StartLimitBurst") or fields.take("Service.StartLimitBurst")
        delay = fields.take("Service.RestartSec")
        retries = max(1, min(int(burst) - 1, 100)) if burst.isdigit() else 4
        try:
            seconds = max(1, min(int(read_span(delay) or 1), 86_400)) if delay else 1
        except SystemdRefused:
            seconds = 1
        draft.body["retry_policy"] = {"max_retries": retries, "retry_delay_seconds": seconds, "backoff": "fixed"}
        reason = f"systemd gives up after {retries + 1} starts, which is the number of attempts"
        draft.mapped("Service.Restart", restart, "retry_policy.max_retries", reason)
        if delay:
            draft.mapped("Service.RestartSec", delay, "retry_policy.retry_delay_seconds")
    elif restart:
        draft.mapped("Service.Restart", restart, "retry_policy.max_retries", "there are no retries")
        draft.body["retry_policy"] = {"max_retries": 0}
