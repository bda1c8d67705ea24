"""The file of anacron (anacron(8), anacrontab(5)): jobs that run every so many days, whenever the machine is on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from app.imports.entries import CommandLine, Draft, Entry, EntryKind, Reading
from app.imports.fires import Times
from app.imports.names import slug
from app.imports.secrets import Redactor
from app.imports.shell import operand
from app.imports.sources.base import Source, SourceError, SourceOptions
from app.imports.sources.crontab import DISABLED, of_folder, scripts_of, text_of, variable_of
from app.zones import zone as zone_of

PERIODS = {"@daily": "1", "@weekly": "7"}
MONTHLY, YEARLY = "@monthly", "@yearly"
SPOOL = Path("/var/spool/anacron")
DEBIAN_START = "07:30"  # Debian's /etc/cron.d/anacron
MOST_DAYS = 1000
LONGEST_DELAY = 24 * 60
_LINE = re.compile(r"(?P<period>@\w+|\d+)\s+(?P<delay>\d+)\s+(?P<name>\S+)\s+(?P<command>\S.*)")
_RANGE = re.compile(r"\s*(\d{1,2})\s*-\s*(\d{1,2})\s*")


class Anacrontab(Source):
    """A file like /etc/anacrontab. A job is due when so many days have passed since the day of its last run, which anacron keeps in a
    file of its spool folder. It makes up for days on which the machine was off; so does the job."""

    type = "anacrontab"
    title = "Anacrontab"
    options: ClassVar[Mapping[str, str]] = {
        "starts": f"when anacron is started each day; otherwise the first hour of START_HOURS_RANGE, or {DEBIAN_START}",
        "spool": f"the folder with the days of the last runs; otherwise {SPOOL} for /etc/anacrontab",
    }
    at_clock_changes: ClassVar[str] = (
        "anacron counts its delay in minutes that pass. It is started once a day: as if the clock had not changed if the clock skips the"
        " time, and the first time if it comes twice."
    )

    def read(self, place: str, options: SourceOptions) -> Reading:
        path = Path(place)
        if not path.is_file():
            raise SourceError(f"{place} is not a file.")
        text, data = text_of(path)
        name = f"{self.type}:{options.machine}:{path.absolute()}"
        entries = tuple(_entries(path, text))
        return Reading(name=name, digest=hashlib.sha256(data).hexdigest(), entries=entries)

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        if not options.timezone:
            raise SourceError("The time zone of the machine is not known. Give it, such as --zone Europe/Berlin.")
        period, delay = entry.values["period"], int(entry.values["delay"])
        days = _DailyTimes(
            period=PERIODS.get(period, period),
            start=_start(entry, options, draft),
            delay=delay,
            zone=options.timezone,
            counted_from=_counted_from(entry, options, draft),
        )
        draft.body["schedule"] = {**days.fields(), "timezone": options.timezone}
        draft.mapped("period", period, "schedule", "days between two runs" if period.isdigit() else "")
        draft.mapped("delay", entry.values["delay"], "schedule", "minutes after the start of anacron")
        draft.mapped("identifier", entry.values["identifier"], "name")
        if jitter := entry.line.environment.get("RANDOM_DELAY", ""):
            draft.body["schedule"]["jitter_seconds"] = min(int(jitter) * 60 if jitter.isdigit() else 0, 86_400)
            draft.mapped("RANDOM_DELAY", jitter, "schedule.jitter_seconds", "minutes")
        draft.body["misfire"] = {"policy": "once"}
        draft.mapped("missed times", "", "misfire.policy", "anacron makes up for a day that it missed, once; so does the job")
        return days

    def disable(self, entry: Entry) -> str:
        file, _, line = entry.where.rpartition(":")
        return f"sed -i '{line}s/^/{DISABLED}/' {operand(file)}"

    def enable(self, entry: Entry) -> str:
        return self.disable(entry).replace(f"s/^/{DISABLED}/", f"s/^{DISABLED}//")


# -- lines -------------------------------------------------------------------------------------------------------------


def _entries(path: Path, text: str) -> Iterator[Entry]:
    environment: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.rstrip("\r").strip(" \t")
        if (variable := variable_of(bare)) is not None and not bare.startswith("#"):
            environment[variable[0]] = variable[1]
        elif bare:
            yield from _entry(f"{path}:{number}", bare, environment)


def _entry(where: str, line: str, environment: Mapping[str, str]) -> Iterator[Entry]:
    disabled = line.startswith("#")
    redactor = Redactor()
    raw = redactor.redact(line.lstrip("#").strip().removeprefix("jobwright#").strip() if disabled else line)
    match = _LINE.fullmatch(raw)
    plain: dict[str, Any] = {"where": where, "raw": raw}
    if match is None or (disabled and not _known(match["period"])):
        if not disabled:
            key = hashlib.sha256(raw.encode()).hexdigest()[:10]
            reason = "needs a period, a delay, an identifier and a command"
            yield Entry(id=f"anacrontab-{key}", kind=EntryKind.INVALID, reason=reason, secrets=tuple(redactor.found), **plain)
        return
    plain["id"] = f"anacrontab-{slug(match['name'])}"
    if disabled:
        yield Entry(
            kind=EntryKind.NOTE,
            reason="is disabled: it is a comment",
            secrets=tuple(redactor.found),
            **{**plain, "id": f"{plain['id']}-note"},
        )
        return
    if not _known(match["period"]) or int(match["delay"]) > LONGEST_DELAY:
        yield Entry(kind=EntryKind.INVALID, reason=f"anacron does not know {match['period']} {match['delay']}", **plain)
        return
    variables = {name: redactor.redact_value(name, value) for name, value in environment.items()}
    entry = Entry(
        kind=EntryKind.JOB,
        name=match["name"],
        values={"period": match["period"], "delay": match["delay"], "identifier": match["name"], "command": match["command"]},
        command=CommandLine(text=match["command"], user="root", home="/", shell=variables.get("SHELL", "/bin/sh"), environment=variables),
        mail_to=environment.get("MAILTO"),
        secrets=tuple(redactor.found),
        prints=tuple(redactor.prints),
        **plain,
    )
    scripts = scripts_of(match["command"])
    yield from [of_folder(entry, script) for script in scripts] if scripts else [entry]


def _known(period: str) -> bool:
    return period in {*PERIODS, MONTHLY, YEARLY} or (period.isdigit() and 1 <= int(period) <= MOST_DAYS)


# -- times -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _DailyTimes:
    """The times of a job on a machine that is always on: `delay` minutes after anacron has started, on each day that is due.

    anacron(8): a job is due when so many days have passed since the day of its last run; `@monthly`, when it has not run in this month.
    """

    period: str
    start: tuple[int, int]
    delay: int
    zone: str
    counted_from: date

    def fields(self) -> dict[str, str]:
        """Returns the schedule of the job."""
        minutes = self.start[0] * 60 + self.start[1] + self.delay
        hour, minute = minutes // 60 % 24, minutes % 60
        if self.period in {MONTHLY, YEARLY, "1"}:
            days = {MONTHLY: "1 * *", YEARLY: "1 1 *"}.get(self.period, "* * *")
            return {"type": "cron", "expression": f"{minute} {hour} {days}"}
        rule = f"FREQ=DAILY;INTERVAL={self.period};BYHOUR={hour};BYMINUTE={minute}"
        return {"type": "calendar", "rule": rule, "counted_from": self.counted_from.isoformat()}

    def __call__(self, after: datetime, until: datetime) -> Iterator[datetime]:
        zone = zone_of(self.zone)
        day, last = after.astimezone(zone).date() - timedelta(days=2), until.astimezone(zone).date()
        while day <= last:
            if self._is_due(day):
                started = datetime(day.year, day.month, day.day, *self.start, tzinfo=zone)
                moment = started.astimezone(UTC) + timedelta(minutes=self.delay)
                if after < moment <= until:
                    yield moment
            day += timedelta(days=1)

    def _is_due(self, day: date) -> bool:
        if self.period == MONTHLY:
            return day.day == 1
        if self.period == YEARLY:
            return (day.month, day.day) == (1, 1)
        return (day - self.counted_from).days % int(self.period) == 0


def _start(entry: Entry, options: SourceOptions, draft: Draft) -> tuple[int, int]:
    """Returns the hour and the minute at which anacron starts, as far as that is known."""
    hours = entry.line.environment.get("START_HOURS_RANGE", "")
    match = _RANGE.fullmatch(hours)
    text = options.get("starts") or (f"{int(match[1]):02}:01" if match else DEBIAN_START)  # cronie starts it each hour at minute 1
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if found is None:
        raise SourceError(f"{text!r} is not a time of day such as {DEBIAN_START}.")
    reason = f"anacron is taken to start at {text}; --option starts=HH:MM says otherwise"
    if hours:
        draft.mapped("START_HOURS_RANGE", hours, "schedule", reason)
    else:
        draft.mapped("start of anacron", text, "schedule", reason)
    return int(found[1]), int(found[2])


def _counted_from(entry: Entry, options: SourceOptions, draft: Draft) -> date:
    """Returns a day on which the job is due: that of its last run, or today if that is not known or too long ago."""
    today = options.now.astimezone(zone_of(options.timezone)).date()
    period = PERIODS.get(entry.values["period"], entry.values["period"])
    file, _, _ = entry.where.rpartition(":")
    folder = options.get("spool") or (str(SPOOL) if file == "/etc/anacrontab" else "")
    stamp = Path(folder) / entry.values["identifier"] if folder and "/" not in entry.values["identifier"] else None
    try:
        last = datetime.strptime(stamp.read_text().strip()[:8], "%Y%m%d").date() if stamp else None  # noqa: DTZ007 - a day
    except (OSError, ValueError):
        last = None
    if not period.isdigit() or period == "1":
        return last or today
    if last is not None and last <= today < last + timedelta(days=int(period)):
        draft.mapped("last run", last.isoformat(), "schedule.counted_from")
        return last
    draft.mapped(
        "last run", last.isoformat() if last else "", "schedule.counted_from", f"it is not known or overdue. Days are counted from {today}"
    )
    return today
