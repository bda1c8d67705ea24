"""The plan of an import: what becomes of each entry and each of its fields. It is a file, and its hash says whether it was changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from dataclasses import field as dataclass_field
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from app.errors import JobwrightError
from app.imports.entries import ACCEPT, APPROVE, LEAVE_OUT, LEAVE_OUT_WORDS, CommandLine, Draft, Entry, EntryKind, Question, Reading
from app.imports.fires import Times, compare, trigger_of, trigger_times
from app.imports.mapping.command import TEMPLATE
from app.imports.mapping.jobs import map_entry
from app.imports.mapping.named import check_calls
from app.imports.names import name_of_command, name_of_job, short, unique
from app.imports.sources.base import Source, SourceOptions
from app.imports.undecided import ask_to_accept

FORMAT = 3
LONGEST_DESCRIPTION = 1_800
CLOCK_CHANGES = "clock-changes"
JOBS_AT_CHANGES = (
    "A job with fixed times runs what the clock skips right after it, and what comes twice the first time only. A cron expression whose"
    " minute or hour begins with * follows the clock."
)

Plan = dict[str, Any]
PlanEntry = dict[str, Any]


class PlanError(JobwrightError):
    """The plan cannot be used; the message says why."""

    title = "The plan cannot be used"
    status = 422


class State(StrEnum):
    """What the plan does with an entry."""

    READY = "ready"  # apply creates its job
    OPEN = "open"  # somebody must decide first
    WAITS = "waits"  # something of Jobwright is missing, such as a template
    LEFT_OUT = "left out"  # somebody has decided so
    NOTE = "note"  # it is disabled where it comes from
    INVALID = "invalid"  # the old scheduler refuses it, too


def make_plan(source: Source, place: str, options: SourceOptions, now: datetime, *, templates: Collection[str] | None = None) -> Plan:
    """Returns the plan of a source. `templates` are the types of the templates that there are; None if that is not known."""
    source.check(options)
    check_calls(options.calls)
    options = replace(options, now=now)
    reading = source.read(place, options)
    shared = _Shared(options=options, now=now, templates=templates)
    entries = [_plan_entry(source, entry, shared) for entry in reading.entries]
    plan: Plan = {
        "jobwright_import": FORMAT,
        "source": _identity(source, place, options, reading),
        "made_at": now.isoformat(timespec="seconds"),
    }
    plan |= {"remarks": list(reading.remarks), "decisions": _decisions(source, entries), "entries": entries}
    return {**plan, "hash": plan_hash(plan)}


def _identity(source: Source, place: str, options: SourceOptions, reading: Reading) -> dict[str, Any]:
    shown = source.shown_place(place, options)
    return {"type": source.type, "place": shown, **options.in_plan(), "name": reading.name, "digest": reading.digest}


def plan_hash(plan: Mapping[str, Any]) -> str:
    """Returns the hash over the source and the plan. Decisions do not change it."""
    rest = _undecided({key: value for key, value in plan.items() if key not in {"hash", "entries"}})
    entries = [_undecided(entry) for entry in plan["entries"]]
    return hashlib.sha256(json.dumps([rest, entries], sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _undecided(part: Mapping[str, Any]) -> dict[str, Any]:
    return {**part, "decisions": [{**decision, "chosen": None} for decision in part.get("decisions", ())]}


def read_plan(text: str) -> Plan:
    """Returns the plan in a file. Raises PlanError if it is none, or if anything but decisions was changed."""
    try:
        plan = json.loads(text)
        current = plan["jobwright_import"] == FORMAT
        whole = current and plan["hash"] == plan_hash(plan)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanError("The file is not a plan of `jobwright import plan`.") from error
    if not current:
        raise PlanError("The plan was made by another release of Jobwright. Make it again with `jobwright import plan`.")
    if not whole:
        raise PlanError("The plan was changed by hand, beyond its decisions. Make it again with `jobwright import plan`.")
    for owner, decision in _all_decisions(plan):
        if decision["chosen"] is not None and decision["chosen"] not in decision["choices"]:
            raise PlanError(f"{owner}: {decision['chosen']!r} is not one of the choices {', '.join(decision['choices'])}.")
    return dict(plan)


def _all_decisions(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the decisions of a plan and of its entries, each with the id that decides it."""
    for decision in plan["decisions"]:
        yield decision["id"], decision
    for entry in plan["entries"]:
        for decision in entry["decisions"]:
            yield entry["id"], decision


def decide(plan: Plan, decisions: Sequence[str]) -> None:
    """Puts decisions, each as `ENTRY=choice`, into a plan. ENTRY is the id of an entry or of a decision of the plan, or `all`. Raises
    PlanError."""
    known = {"all", *(entry["id"] for entry in plan["entries"]), *(decision["id"] for decision in plan["decisions"])}
    for decision in decisions:
        wanted, equals, choice = decision.partition("=")
        if not equals or wanted not in known:
            raise PlanError(
                f"{decision!r} is not a decision. Write ENTRY=choice with the id of an entry or of a decision of the plan, or all=choice."
            )
        places = [place for owner, place in _all_decisions(plan) if wanted in {owner, "all"} and choice in place["choices"]]
        if not places:
            shared = [name for entry in plan["entries"] if entry["id"] == wanted for name in entry["plan_decisions"]]
            also = f" It waits for the decision {', '.join(shared)} of the whole plan." if shared else ""
            raise PlanError(f"{choice!r} is not a choice of {wanted}.{also}")
        for place in places:
            place["chosen"] = choice


def state_of(entry: PlanEntry, plan: Plan | None = None) -> State:
    """Returns what a plan does with an entry, by the decisions so far. Without the plan, its decisions count as open."""
    if entry["kind"] != EntryKind.JOB:
        return State(entry["kind"])
    chosen = [decision["chosen"] for decision in entry["decisions"]]
    of_plan = {decision["id"]: decision["chosen"] for decision in plan["decisions"]} if plan else {}
    chosen += [of_plan.get(name) for name in entry["plan_decisions"]]
    if LEAVE_OUT in chosen:
        return State.LEFT_OUT
    if entry["waits_for"]:
        return State.WAITS
    return State.OPEN if None in chosen else State.READY


def read_again(plan: Plan, source: Source, address: str = "") -> Reading:
    """Returns what the source of a plan has now. `address` is that of a store, with its credentials. Raises SourceError; PlanError if the
    address leads to another store."""
    known = plan["source"]
    reading = source.read(known["place"], SourceOptions.of_plan(known, address))
    if reading.name != known["name"]:
        raise PlanError(f"The plan is of {known['name']}, and the address is that of {reading.name}.")
    return reading


def refuse_changed(plan: Plan, reading: Reading) -> None:
    """Raises PlanError if a reading of the source shows that it has changed since the plan was made."""
    if reading.digest != plan["source"]["digest"]:
        raise PlanError(f"{plan['source']['place']} has changed since the plan was made. Make the plan again.")


# -- entries -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Shared:
    """What the entries of a plan share: names of jobs and connections that are taken, and what is known about the registry."""

    options: SourceOptions
    now: datetime
    templates: Collection[str] | None
    names: set[str] = dataclass_field(default_factory=set)
    connections: dict[str, dict[tuple[str, ...], str]] = dataclass_field(default_factory=dict)


_NO_JOB: PlanEntry = {
    "reason": "",
    "disabled": "",
    "fields": [],
    "decisions": [],
    "plan_decisions": {},
    "job": None,
    "needs": [],
    "waits_for": "",
    "script": "",
    "fires": None,
    "disable": "",
    "enable": "",
}


def _plan_entry(source: Source, entry: Entry, shared: _Shared) -> PlanEntry:
    plain: PlanEntry = {"id": entry.id, "where": entry.where, "kind": entry.kind.value, "raw": entry.raw, "secrets": list(entry.secrets)}
    if entry.kind is not EntryKind.JOB:
        return {**plain, **_NO_JOB, "reason": entry.reason}
    if entry.command is not None and (damage := _damage(entry.command)):
        return {**plain, **_NO_JOB, "kind": EntryKind.INVALID.value, "reason": damage}
    draft = Draft(body=_body(source, entry), prints=entry.prints, connections=shared.connections)
    times = source.schedule(entry, shared.options, draft)
    map_entry(entry, source, shared.options, draft)
    if entry.disabled:
        draft.mapped("disabled", entry.disabled, "paused", "the job is created paused, and cutting over leaves it so")
    _name(source, entry, draft, shared.names)
    _defaults(draft)
    fires = compared(draft, times, shared.now) if times is not None else None
    _approvals(draft)
    waits_for = ""
    if shared.templates is not None and draft.body["template_type"] not in shared.templates:
        waits_for = f"the template {draft.body['template_type']}"
        if draft.body["template_type"] == TEMPLATE:
            waits_for += ", which is off until JOBWRIGHT_COMMAND_PROGRAMS lists programs. Then make the plan again"
    return {
        **plain,
        "reason": "",
        "disabled": entry.disabled,
        "fields": [asdict(field) for field in draft.fields],
        "decisions": [{"question": asked.text, "choices": dict(asked.choices), "chosen": None} for asked in draft.questions],
        "plan_decisions": draft.plan_questions,
        "job": draft.body,
        "needs": [asdict(need) for need in draft.needs],
        "waits_for": waits_for,
        "script": draft.script,
        "fires": fires,
        "disable": source.disable(entry),
        "enable": source.enable(entry),
    }


def _damage(command: CommandLine) -> str:
    """Returns why a job cannot run the same command; "" if it can."""
    text = "".join((command.text, command.stdin or "", *command.environment, *command.environment.values()))
    if "\ufffd" in text:
        return "the command or one of its variables is not UTF-8. Convert the file with iconv"
    return "the command or one of its variables contains a NUL character" if "\0" in text else ""


def _body(source: Source, entry: Entry) -> dict[str, Any]:
    description = f"Imported from {source.title.lower()} {entry.where}:\n\n    {entry.raw}"[:LONGEST_DESCRIPTION]
    return {"name": "", "description": description, "tags": ["imported"]}


def _name(source: Source, entry: Entry, draft: Draft, taken: set[str]) -> None:
    """Names the job after the comment above the entry, or after what it does."""
    named = entry.name or (short(entry.call.name) if entry.call else name_of_job(draft.body) or name_of_command(entry.line.text))
    draft.body["name"] = unique(named, taken)
    if entry.name:
        draft.mapped(source.named_by, entry.name, "name")


def _defaults(draft: Draft) -> None:
    """Says what a job does where the old scheduler says nothing: missed times, overlap and failures."""
    body = draft.body
    if body["schedule"]["type"] != "manual" and "misfire" not in body:
        body["misfire"] = {"policy": "skip"}
        draft.mapped(
            "missed times", "", "misfire.policy", "the old scheduler does not make up for times that it missed; neither does the job"
        )
    if "overlap" not in body:
        body["overlap"] = "skip"
        draft.mapped("overlap", "", "overlap", "a job does not run beside itself. If the command may, change the overlap to allow")
    body.setdefault("retry_policy", {"max_retries": 0})


def compared(draft: Draft, times: Times, now: datetime) -> dict[str, Any]:
    """Compares the times of the job with those of the entry. A difference must be decided: for the whole plan if there are differences only
    in hours that a clock change skips or repeats, else for the entry."""
    trigger = trigger_of(draft.body["schedule"])
    result = compare(times, partial(trigger_times, trigger), trigger.timezone, now)
    shown = {"compared": result.compared, "equal": result.equal, "first": _text(result.first), "wrong": _text(result.wrong)}
    if result.wrong is not None:
        only = "the old scheduler" if result.theirs else "the job"
        words = f"The times differ: only {only} starts at {_text(result.wrong)}."
        if result.at_changes:
            draft.plan_questions[CLOCK_CHANGES] = words
            return shown
        ask_to_accept(draft, words, "The job is created with its own times.")
    return shown


def _decisions(source: Source, entries: Sequence[PlanEntry]) -> list[dict[str, Any]]:
    """Returns the decisions of a plan that concern several of its entries."""
    count = sum(CLOCK_CHANGES in entry["plan_decisions"] for entry in entries)
    if not count:
        return []
    whose = "1 entry has" if count == 1 else f"{count} entries have"
    question = (
        f"{whose} other times than the job, only in hours that a clock change skips or repeats. {source.at_clock_changes} {JOBS_AT_CHANGES}"
    )
    choices = {ACCEPT: "These jobs are created with their own times.", LEAVE_OUT: "These entries are not imported."}
    return [{"id": CLOCK_CHANGES, "entries": count, "question": question, "choices": choices, "chosen": None}]


def _approvals(draft: Draft) -> None:
    """Asks for approval of connections that hold a secret: people create them, because a plan contains no secret."""
    secret = [f"{need.name} (kind {need.kind}: {need.secret})" for need in draft.needs if need.secret]
    if secret:
        words = f"The entry contains a secret. Create this connection with it first: {'; '.join(secret)}."
        choices = {APPROVE: "The connection exists, and the job may use it.", LEAVE_OUT: LEAVE_OUT_WORDS}
        draft.questions.append(Question(text=words, choices=choices))


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
