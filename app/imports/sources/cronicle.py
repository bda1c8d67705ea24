"""Events of Cronicle and xyOps: exports of their storage (lines of `key - {json}`), bulk exports of xyOps, and answers of their APIs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from app.imports.entries import LEAVE_OUT, LEAVE_OUT_WORDS, CommandLine, Draft, Entry, EntryKind, Question, Reading
from app.imports.fires import Times
from app.imports.names import words_or_hash
from app.imports.scripts import read_script
from app.imports.secrets import Redactor
from app.imports.sources.base import Source, SourceError, SourceOptions
from app.imports.sources.cronicle_timing import TimingRefused, of_xyops, read_instants, read_timing
from app.imports.sources.documents import Fields, Files, elements, files_of, flat, is_true, mapping, raw_of, read_yaml, whole
from app.imports.undecided import without_schedule
from app.imports.wall_schedules import NoSchedule
from app.labels import is_label
from app.zones import is_zone
from templates_lib.messages import amount

_LINE = re.compile(r"(?P<key>[\w./-]+) - (?P<value>\{.*\})")
_PAGE = re.compile(r"(?P<list>.+?)/(?P<number>-?[0-9]+)")
LISTS = {"global/schedule": "events", "global/events": "events", "global/plugins": "plugins"}
_ANYWHERE = {"", "allgrp", "maingrp", "main", "all"}
_REASONS = {
    r"^(id|modified|created|username|revision|api_key|graph_icon|session_id|sort_order|num|icon)$": "it is about the record of the event",
    r"^(category|algo|detached)$": "it says how Cronicle arranges events or chooses servers",
    r"^(memory|cpu)_|^log_max_size$|^limits": "commands have the limits of Jobwright",
    r"^(queue_max|stagger)$": "it belongs to another setting of the event",
    r"^(plugin|params|timing|triggers)": "the event does not use it",
    r"^actions": "create a notification channel, and a rule that tells it of the ends of the job",
    r"^(workflow|fields|tags|expression)": "it belongs to the pages of xyOps",
}
_OTHERWISE = "a job has nothing like it"


@dataclass(slots=True)
class _Export:
    """What an export has: events, and plugins by their id."""

    events: list[dict[str, Any]] = field(default_factory=list)
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)


class Cronicle(Source):
    """Events of a file or of a folder of files."""

    type = "cronicle"
    title = "Cronicle"
    options: ClassVar = {"api": "The address of the server, for the commands that disable events."}
    at_clock_changes: ClassVar[str] = "Cronicle leaves out times that the clock skips, and runs twice at times that come twice."

    def read(self, place: str, options: SourceOptions) -> Reading:
        files, export = Files(), _Export()
        for path in files_of(place, r".*\.(txt|json|export|bak|xyops|ndjson)"):
            _read_file(files.read(path), path, export)
        if not export.events:
            raise SourceError(f"{place} has no events of Cronicle or xyOps.")
        entries = [_entry(event, number, export, place, options) for number, event in enumerate(export.events, start=1)]
        name = f"{self.type}:{options.machine}:{Path(place).absolute()}"
        return Reading(name=name, digest=files.digest.hexdigest(), entries=tuple(entries), remarks=(f"Events: {len(entries)}.",))

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        fields = Fields(entry.values, draft)
        timing = json.loads(fields.take("when"))
        times = _when(timing, fields, options, draft)
        fields.below("timing")
        fields.below("triggers")
        _policies(fields, draft)
        _follow_ups(fields, draft)
        _target(fields, draft)
        _plugin(fields, draft)
        for known in ("enabled", "title", "api", "command"):
            fields.take(known)
        fields.mapped("notes", "description", "the description has the whole event")
        fields.drop(_REASONS, _OTHERWISE)
        return times

    def disable(self, entry: Entry) -> str:
        return _update(entry, "0")

    def enable(self, entry: Entry) -> str:
        return _update(entry, "1")


def _update(entry: Entry, enabled: str) -> str:
    """The call of the API that changes the state of an event. The key comes from the environment, because everybody sees arguments."""
    event = entry.values["event"]
    value = enabled if entry.values["when_of"] == "timing" else ("true" if enabled == "1" else "false")
    body = shlex.quote(f'{{"id":{json.dumps(event)},"enabled":{value}}}')
    api, path = entry.values.get("api"), "/api/app/update_event/v1"
    address = shlex.quote(f"{api}{path}") if api else f'"$CRONICLE_URL{path}"'
    return f'curl -fsS {address} -H "X-API-Key: $CRONICLE_API_KEY" -H "Content-Type: application/json" -d {body}'


# -- files -------------------------------------------------------------------------------------------------------------


def _read_file(text: str, path: Path, export: _Export) -> None:
    """Adds what a file has. Raises SourceError if a list has another number of items than it says."""
    records: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line.strip())
        if match:
            try:
                records[match["key"]] = json.loads(match["value"])
            except (ValueError, RecursionError) as error:
                raise SourceError(f"{path}, line {number}: the value of {match['key']} is not valid JSON.") from error
    if records:
        _from_records(records, path, export)
        return
    for document in read_yaml(text, path):
        _from_document(document, export)


def _from_records(records: Mapping[str, Any], path: Path, export: _Export) -> None:
    """Reads lists of a storage: a head, and pages whose numbers may be negative."""
    for key, kind in LISTS.items():
        head = mapping(records.get(key))
        pages = sorted(
            (int(match["number"]), page) for name, page in records.items() if (match := _PAGE.fullmatch(name)) and match["list"] == key
        )
        items = [item for _, page in pages for item in elements(mapping(page).get("items"))]
        told = head.get("length")
        if head and told != len(items):
            raise SourceError(
                f"{path}: the list {key} says that its length is {told}, but it has {amount(len(items), 'item')}. Make the export again."
            )
        _add(kind, items, export)


def _from_document(document: Any, export: _Export) -> None:
    """Reads a bulk export of xyOps, an answer of an API, a list of events, or one event."""
    if isinstance(document, list):
        _add("events", document, export)
        return
    body = mapping(document)
    for key, kind in (("rows", "events"), ("events", "events"), ("schedule", "events"), ("plugins", "plugins")):
        _add(kind, elements(body.get(key)), export)
    for item in map(mapping, elements(body.get("items"))):
        inner = mapping(item.get("data")) or item
        _add("plugins" if item.get("type") == "plugin" else "events", [inner], export)
    if _is_event(body):
        _add("events", [body], export)


def _add(kind: str, items: list[Any], export: _Export) -> None:
    for item in map(mapping, items):
        if kind == "plugins" and item.get("id"):
            export.plugins[str(item["id"])] = item
        elif kind == "events" and _is_event(item):
            export.events.append(item)


def _is_event(item: Mapping[str, Any]) -> bool:
    return bool(item.get("id")) and bool(item.get("title")) and ("timing" in item or "triggers" in item or "plugin" in item)


def _entry(event: dict[str, Any], number: int, export: _Export, place: str, options: SourceOptions) -> Entry:
    redactor = Redactor()
    if "triggers" in event:
        event = of_xyops(event)
    shown = redactor.redact_json(event)
    title = str(event.get("title", ""))[:100]
    values = {name: value for name, value in flat(shown) if value or name == "enabled"}
    timing = event.get("triggers") if "triggers" in event else event.get("timing")
    values |= {"when": json.dumps(timing), "when_of": "triggers" if "triggers" in event else "timing", "event": str(event["id"])}
    command = _command(shown, export, redactor, values)
    values |= {"api": options.get("api").rstrip("/")} if options.get("api") else {}
    return Entry(
        id=f"cronicle-{words_or_hash(str(event['id']), otherwise=str(number))}",
        where=f"{place}:{event['id']}",
        kind=EntryKind.JOB,
        raw=raw_of(shown),
        name=title,
        values=values,
        command=command,
        disabled="" if is_true(event.get("enabled", "1")) else "is not enabled",
        secrets=tuple(redactor.found),
        prints=tuple(redactor.prints),
    )


# -- commands ----------------------------------------------------------------------------------------------------------


def _command(event: Mapping[str, Any], export: _Export, redactor: Redactor, values: dict[str, str]) -> CommandLine:
    params, plugin = mapping(event.get("params")), str(event.get("plugin", ""))
    match plugin:
        case "shellplug":
            script = read_script(str(params.get("script", "")))
            return CommandLine(text=script.text, shell=script.shell)
        case "urlplug" | "httpplug":
            return CommandLine(text=_call(params))
        case "testplug":
            return CommandLine(text=f"/bin/sleep {whole(params.get('duration')) or 5}")
    known = export.plugins.get(plugin, {})
    values["other_plugin"] = str(known.get("title") or plugin or "none")
    program = redactor.redact(str(known.get("command", ""))) or f"/usr/local/lib/cronicle/{plugin or 'none'}"
    return CommandLine(text=program, stdin=json.dumps({"params": dict(params)}, ensure_ascii=False) + "\n")


def _call(params: Mapping[str, Any]) -> str:
    """The call of the plugin for HTTP as a command line of curl."""
    words = ["curl", "-X", str(params.get("method", "GET")).upper()]
    for line in str(params.get("headers", "")).splitlines():
        words += ["-H", line.strip()] if ":" in line else []
    if params.get("data") and words[2] != "GET":
        words += ["-d", str(params["data"])]
    if whole(params.get("timeout")):
        words += ["-m", str(whole(params.get("timeout")))]
    words += ["-L"] if is_true(params.get("follow", "")) else []
    words += ["-k"] if is_true(params.get("ssl_cert_bypass", "")) else []
    return shlex.join([*words, str(params.get("url", ""))])


# -- fields ------------------------------------------------------------------------------------------------------------


def _when(timing: Any, fields: Fields, options: SourceOptions, draft: Draft) -> Times | None:
    own, of = fields.take("timezone"), fields.take("when_of")
    fields.take("event")
    shown = json.dumps(timing)
    try:
        instants = read_instants(timing)
        if instants is not None:
            draft.body["schedule"], times = instants
            draft.mapped(of, shown, "schedule")
            return times
        read = read_timing(timing)
        if read is None:
            draft.body["schedule"] = {"type": "manual"}
            draft.mapped(of, shown, "schedule.type", "the event has no times and is started by hand")
            if own:
                draft.dropped("timezone", own, "the job has no schedule")
            return None
        timezone = own or read.timezone or options.timezone
        if not timezone:
            raise SourceError("The time zone of the server is not known. Give it, such as --zone Europe/Berlin.")
        if not is_zone(timezone):
            raise TimingRefused(f"{timezone} is not an IANA time zone")
        draft.body["schedule"] = read.sets.schedule(timezone)
    except (TimingRefused, NoSchedule) as refused:
        without_schedule(draft, of, shown, str(refused))
        return None
    draft.mapped(of, shown, f"schedule.{'expression' if draft.body['schedule']['type'] == 'cron' else 'rule'}")
    if own:
        draft.mapped("timezone", own, "schedule.timezone")
    return partial(read.times, timezone)


def _policies(fields: Fields, draft: Draft) -> None:
    text = fields.take("catch_up")
    catch_up = is_true(text)
    if draft.body["schedule"]["type"] != "manual":
        draft.body["misfire"] = {"policy": "all", "max_catch_up": 100} if catch_up else {"policy": "skip"}
        reason = "times that were missed run one after the other, at most 100" if catch_up else "a time that was missed is not made up for"
        draft.mapped("catch_up", "1" if catch_up else "0", "misfire.policy", reason)
    elif text:
        draft.dropped("catch_up", text, "the job has no schedule")
    most, queue = whole(fields.take("max_children") or "1"), is_true(fields.take("queue"))
    if most == 1:
        draft.body["overlap"] = "queue" if queue else "skip"
    else:
        draft.body |= {"overlap": "allow", "concurrency": {"max_instances": min(most or 100, 1000)}}
    draft.mapped("max_children", str(most), "overlap, concurrency.max_instances", "0 means no limit" if most == 0 else "")
    draft.mapped("queue", "1" if queue else "0", "overlap")
    text = fields.take("timeout")
    seconds = whole(text)
    if seconds:
        draft.body["timeout_seconds"] = seconds
        draft.mapped("timeout", text, "timeout_seconds")
    elif text:
        draft.dropped("timeout", text, "Cronicle sets no limit, and the job has the usual timeout. Change it if runs take longer")
    retries, delay = whole(fields.take("retries")) or 0, whole(fields.take("retry_delay")) or 0
    draft.body["retry_policy"] = {"max_retries": min(retries, 100)}
    if retries:
        draft.body["retry_policy"] |= {"retry_delay_seconds": min(max(delay, 1), 86_400), "backoff": "fixed"}
    draft.mapped("retries", str(retries), "retry_policy.max_retries")
    if delay:
        draft.mapped("retry_delay", str(delay), "retry_policy.retry_delay_seconds")


def _follow_ups(fields: Fields, draft: Draft) -> None:
    found = {}
    for name, target in (("notify_success", "on_success"), ("notify_fail", "on_failure")):
        text = fields.take(name)
        addresses = [part.strip() for part in re.split(r"[,;\s]+", text) if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", part.strip())]
        if addresses:
            found[target] = addresses[:20]
            draft.mapped(name, text, f"notifications.{target}")
        elif text:
            draft.dropped(name, text, "it is not an e-mail address")
    if found:
        draft.body["notifications"] = found
    for name in ("web_hook", "web_hook_start"):
        if value := fields.take(name):
            draft.dropped(name, value, "create a notification channel for this address, and a rule that sends it the ends of the job")
    for name, outcome in (("chain", "success"), ("chain_error", "failure")):
        if value := fields.take(name):
            draft.waits(name, value, "the event starts another event")
            words = f"The event starts the event {value} after its {outcome}."
            choices = {"by-hand": f"After the import, set “Runs after” of the job of {value}.", LEAVE_OUT: LEAVE_OUT_WORDS}
            draft.questions.append(Question(text=words, choices=choices))


def _target(fields: Fields, draft: Draft) -> None:
    targets = {value for name, value in [("target", fields.take("target")), *fields.below("targets").items()] if value}
    shown = ", ".join(sorted(targets))
    label = f"host={shown.lower()}"
    if not targets - _ANYWHERE:
        if shown:
            draft.dropped("target", shown, "any node runs the job")
    elif len(targets) == 1 and is_label(label):
        draft.body["needs"] = [label]
        draft.mapped("target", shown, "needs", f"give the nodes that may run it the label {label} (JOBWRIGHT_NODE_LABELS)")
    else:
        draft.waits("target", shown, "the servers of the event are not known to Jobwright")
        choices = {"any": "Any node runs the job.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text=f"The event runs on {shown}.", choices=choices))
    multiplex = fields.take("multiplex")
    if multiplex and not is_true(multiplex):
        draft.dropped("multiplex", multiplex, "a job runs on one node, too")
    elif multiplex:
        draft.waits("multiplex", "1", "the event runs on all servers of its target, and a job runs on one node")
        choices = {"one": "The job runs on one node.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text="The event runs on all servers of its target.", choices=choices))


def _plugin(fields: Fields, draft: Draft) -> None:
    plugin, other = fields.take("plugin"), fields.take("other_plugin")
    params = fields.below("params")
    if not other:
        draft.mapped("plugin", plugin, "template_type")
        for name, value in params.items():
            if re.fullmatch(r"params\.(script|url|method|headers|data|timeout|follow|ssl_cert_bypass|duration)", name):
                draft.mapped(name, value, "parameters")
            else:
                draft.dropped(name, value, "it says how Cronicle reads the output of the plugin")
        return
    draft.waits("plugin", plugin, f"the plugin {other} is a program that reads JSON of Cronicle and answers in it")
    words = f"The event runs the plugin {other}, a program that reads its parameters as JSON."
    choices = {"program": "The job starts the program with the same parameters as its input.", LEAVE_OUT: LEAVE_OUT_WORDS}
    draft.questions.append(Question(text=words, choices=choices))
    for name, value in params.items():
        draft.mapped(name, value, "parameters.input")
