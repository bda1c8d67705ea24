"""Job definitions of Rundeck: YAML, JSON and XML of an export."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from app.imports.entries import LEAVE_OUT, LEAVE_OUT_WORDS, CommandLine, Draft, Entry, EntryKind, Question, Reading
from app.imports.fires import Times
from app.imports.names import words_or_hash
from app.imports.quartz_fields import QuartzRefused, read_quartz
from app.imports.secrets import Redactor
from app.imports.sources.base import Source, SourceError, SourceOptions
from app.imports.sources.documents import Fields, Files, files_of, flat, is_true, mapping, raw_of, read_yaml, whole
from app.imports.sources.rundeck_steps import Steps, steps_of, without_secure
from app.imports.sources.rundeck_xml import read_xml
from app.imports.undecided import without_schedule
from app.imports.wall_schedules import NoSchedule, year_limits
from app.labels import is_label
from app.triggers.quartz import QuartzError, translate
from app.zones import is_zone

_SWITCHES = (("scheduleEnabled", "its schedule is off"), ("executionEnabled", "its execution is off"))
_DURATION = re.compile(r"(?:(\d+)w)?\s*(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s?)?")
_ADDRESS = re.compile(r"[^@\s${}]+@[^@\s${}]+\.[^@\s${}]+")
_NODE = re.compile(r"(?:name:\s*)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)")
_REASONS = {
    r"^loglimit|^loglevel|^plugins\.ExecutionLifecycle": "Jobwright keeps and limits logs as its own settings say",
    r"^notification\.on(start|avgduration|retryablefailure)": "the alert rules of Jobwright say who learns of it",
    r"^notification": "create a notification channel for it, and a rule that sends it the ends of the job",
    r"^(nodeFilterEditable|nodesSelectedByDefault|nodefilters\.dispatch|orchestrator|dispatch|runnerSelector)": "a job runs on one node",
    r"^(defaultTab|uuid|id|hidden|jobLifecyclePlugins|plugins)": "it is about the pages or the record of the job",
    r"^sequence": "it says how Rundeck shows the step, or in which order nodes run it",
    r"^options": "it is about the form of the option; the job has its default value",
    r"^(timeZone|schedule)": "the job has no schedule",
}
_OTHERWISE = "a job has nothing like it"


class Rundeck(Source):
    """Jobs of a file or of a folder of files."""

    type = "rundeck"
    title = "Rundeck"
    at_clock_changes: ClassVar[str] = "Quartz leaves out times that the clock skips, and takes the second of times that come twice."

    def read(self, place: str, options: SourceOptions) -> Reading:
        files, jobs = Files(), []
        for path in files_of(place, r".*\.(ya?ml|json|xml)"):
            text = files.read(path)
            documents = [read_xml(text, path)] if text.lstrip().startswith("<") else read_yaml(text, path)
            jobs += [(path, job) for document in documents for job in _jobs(document)]
        if not jobs:
            raise SourceError(f"{place} has no jobs of Rundeck.")
        entries = [_entry(job, number, path) for number, (path, job) in enumerate(jobs, start=1)]
        name = f"{self.type}:{options.machine}:{Path(place).absolute()}"
        return Reading(name=name, digest=files.digest.hexdigest(), entries=tuple(entries))

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        fields = Fields(entry.values, draft)
        times = _when(fields, options, draft)
        _policies(fields, draft)
        _follow_ups(fields, draft)
        _nodes(fields, draft)
        _steps(fields, draft)
        for known in ("name", "scheduleEnabled", "executionEnabled"):
            fields.take(known)
        if group := fields.take("group"):
            draft.body["tags"] = ["imported", group[:50]]
            draft.mapped("group", group, "tags")
        fields.mapped("description", "description")
        fields.drop(_REASONS, _OTHERWISE)
        return times

    def disable(self, entry: Entry) -> str:
        identity = _identity(entry.values)
        return f"rd jobs unschedule --id{'=' if identity.startswith('-') else ' '}{shlex.quote(identity)}"

    def enable(self, entry: Entry) -> str:
        return self.disable(entry).replace(" unschedule ", " reschedule ")


# -- files -------------------------------------------------------------------------------------------------------------


def _jobs(document: Any) -> Iterator[dict[str, Any]]:
    """Yields the jobs of a document: those of a list, of `jobs`, or itself."""
    if isinstance(document, list):
        for inner in document:
            yield from _jobs(inner)
    elif isinstance(document, dict):
        if "jobs" in document:
            yield from _jobs(document["jobs"])
        elif "name" in document and "sequence" in document:
            yield document


def _identity(values: Mapping[str, Any]) -> str:
    return str(values.get("uuid") or values.get("id") or "/".join(filter(None, (values.get("group"), values.get("name")))))


def _entry(job: dict[str, Any], number: int, path: Path) -> Entry:
    redactor = Redactor()
    steps = steps_of(job, redactor)
    shown = redactor.redact_json(without_secure(job))
    name = str(job["name"])
    plain = partial(
        Entry,
        id=f"rundeck-{words_or_hash(_identity(job), otherwise=str(number))}",
        where=f"{path}:{name}",
        raw=raw_of(shown),
        secrets=tuple(redactor.found),
    )
    expression = _expression(mapping(job.get("schedule")))
    try:
        if expression:
            read_quartz(expression)
    except QuartzRefused as refused:
        return plain(kind=EntryKind.INVALID, reason=f"Quartz refuses {expression}: {refused}")
    values = {key: value for key, value in flat(shown) if value}
    values |= {"quartz": expression} if expression else {}
    values |= {"questions": "\n".join(steps.questions)} if steps.questions else {}
    disabled = [words for key, words in _SWITCHES if job.get(key) == "false"]
    return plain(
        kind=EntryKind.JOB,
        name=name if len(name) <= 100 else "",
        values=values,
        command=_command(steps),
        disabled=" and ".join(disabled),
        prints=tuple(redactor.prints),
    )


def _command(steps: Steps) -> CommandLine:
    return CommandLine(text=steps.text, shell=steps.shell, environment=steps.environment)


# -- schedules ---------------------------------------------------------------------------------------------------------


def _expression(schedule: Mapping[str, Any]) -> str:
    """Returns the schedule as an expression of Quartz; "" if there is none."""
    if not schedule:
        return ""
    if schedule.get("crontab"):
        return " ".join(str(schedule["crontab"]).split())
    time = mapping(schedule.get("time"))
    day, weekday = _inner(schedule.get("dayofmonth"), "day"), _inner(schedule.get("weekday"), "day")
    if weekday and day in {"", "*", "?"}:
        day = "?"
    elif day not in {"", "?"}:
        weekday = "?"
    else:
        day, weekday = "?", weekday or "*"
    clock = [str(time.get(name) or "0") for name in ("seconds", "minute", "hour")]
    month, year = _inner(schedule.get("month"), "month") or "*", _inner(schedule.get("year"), "year") or "*"
    return " ".join([*clock, day, month, weekday, year])


def _inner(value: Any, name: str) -> str:
    return str(value.get(name, "")) if isinstance(value, dict) else str(value or "")


def _when(fields: Fields, options: SourceOptions, draft: Draft) -> Times | None:
    expression, zone = fields.take("quartz"), fields.get("timeZone")
    shown = fields.below("schedule.")
    if not expression:
        draft.body["schedule"] = {"type": "manual"}
        return None
    timezone = zone or options.timezone
    if not timezone:
        raise SourceError("The time zone of the server of Rundeck is not known. Give it, such as --zone Europe/Berlin.")
    try:
        if not is_zone(timezone):
            raise NoSchedule(f"{timezone} is not an IANA time zone")
        found = translate(expression)
        limits = year_limits(range(found.years[0], found.years[1] + 1), timezone) if found.years else {}
    except (QuartzError, NoSchedule) as refused:
        without_schedule(draft, "schedule", expression, str(refused))
        return None
    target = "expression" if found.type == "cron" else "rule"
    draft.body["schedule"] = {"type": found.type, target: found.text, "timezone": timezone, **limits}
    for name, value in shown.items():
        draft.mapped(name, value, f"schedule.{target}", f"the expression of Quartz is {expression}")
    fields.mapped("timeZone", "schedule.timezone")
    return partial(read_quartz(expression).times, timezone)


def _policies(fields: Fields, draft: Draft) -> None:
    many = fields.take("multipleExecutions")
    draft.body["overlap"] = "allow" if is_true(many) else "skip"
    draft.mapped("multipleExecutions", many or "false", "overlap")
    most = whole(fields.take("maxMultipleExecutions"))
    if is_true(many):
        draft.body["concurrency"] = {"max_instances": min(most or 100, 1000)}
        draft.mapped("maxMultipleExecutions", str(most or ""), "concurrency.max_instances", "" if most else "there is no limit")
    timeout = fields.take("timeout")
    seconds = _seconds(timeout)
    if seconds:
        draft.body["timeout_seconds"] = seconds
        draft.mapped("timeout", timeout, "timeout_seconds")
    elif timeout:
        draft.dropped("timeout", timeout, "it depends on an option, and a job has the usual timeout")
    name = "retry.retry" if fields.get("retry.retry") else "retry"
    retry, delay = fields.take(name), fields.take("retry.delay")
    number = whole(retry) or 0
    draft.body["retry_policy"] = {"max_retries": min(number, 100)}
    if number:
        draft.body["retry_policy"] |= {"retry_delay_seconds": max(1, min(_seconds(delay) or 1, 86_400)), "backoff": "fixed"}
    draft.mapped(name, retry or "0", "retry_policy.max_retries")
    if delay:
        draft.mapped("retry.delay", delay, "retry_policy.retry_delay_seconds")


def _seconds(text: str) -> int | None:
    """The seconds of `1h30m` or `120`; None for any other text."""
    match = _DURATION.fullmatch(text.strip()) if text.strip() else None
    if match is None:
        return None
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return weeks * 604_800 + days * 86_400 + hours * 3600 + minutes * 60 + seconds or None


def _follow_ups(fields: Fields, draft: Draft) -> None:
    found = {}
    for event, target in (("onsuccess", "on_success"), ("onfailure", "on_failure")):
        name = f"notification.{event}.email.recipients"
        text = fields.take(name) or fields.take(f"notification.{event}.recipients")
        addresses = [part.strip() for part in text.split(",") if _ADDRESS.fullmatch(part.strip())]
        others = [part.strip() for part in text.split(",") if part.strip() and part.strip() not in addresses]
        if addresses:
            found[target] = addresses[:20]
            draft.mapped(name, ", ".join(addresses), f"notifications.{target}")
        if others:
            draft.dropped(name, ", ".join(others), "it is not an e-mail address")
        for rest in ("subject", "attachLog", "attachLogInFile", "attachLogInline", "attachType"):
            if value := fields.take(f"notification.{event}.email.{rest}"):
                draft.dropped(f"notification.{event}.email.{rest}", value, "the mail about a run links to its log")
    if found:
        draft.body["notifications"] = found


def _nodes(fields: Fields, draft: Draft) -> None:
    shown = fields.take("nodefilters.filter")
    if not shown:
        return
    match = _NODE.fullmatch(shown.strip())
    label = f"host={match['name'].lower()}" if match else ""
    if match and match["name"] in {"localhost", "local"}:
        draft.dropped("nodefilters.filter", shown, "any node runs the job")
    elif label and is_label(label):
        draft.body["needs"] = [label]
        draft.mapped("nodefilters.filter", shown, "needs", f"give the node on that machine the label {label} (JOBWRIGHT_NODE_LABELS)")
    else:
        draft.waits("nodefilters.filter", shown, "the job runs on all machines that match, and a job of Jobwright runs on one node")
        choices = {"one": "The job runs on one node.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text=f"The job runs on the machines {shown}.", choices=choices))


def _steps(fields: Fields, draft: Draft) -> None:
    for text in filter(None, fields.take("questions").split("\n")):
        draft.waits("sequence", text, "it needs Rundeck")
        choices = {"by-hand": "The job is created. Complete it by hand.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text=text, choices=choices))
    for name, value in fields.below("sequence.commands").items():
        if re.search(r"\.(exec|script|scriptfile|args|scriptInterpreter)$", name):
            draft.mapped(name, value, "parameters")
        else:
            draft.dropped(name, value, "it is part of a step that needs Rundeck, or says how Rundeck shows the step")
    keep = fields.take("sequence.keepgoing")
    if keep:
        draft.mapped("sequence.keepgoing", keep, "parameters", "steps follow each other with && or ;")
    for name, value in fields.below("options").items():
        if name.endswith((".value", ".storagePath", ".defaultStoragePath")):
            draft.mapped(name, value, "parameters", "the command has the default value of the option")
        else:
            draft.dropped(name, value, "it is about the form of the option; the job has its default value")
