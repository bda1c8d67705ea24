"""A plan for people: as text, and as a page of HTML that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from app.imports.fires import trigger_of
from app.imports.plan import Plan, PlanEntry, State, state_of
from templates_lib.messages import amount

_LONGEST = 100
_COUNTED = {State.OPEN: "to decide", State.WAITS: "waiting"}
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h2{font-size:1.05rem;margin:1.6rem 0 .3rem}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{overflow-x:auto;padding:.5rem;border:1px solid #8886;border-radius:4px}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #8884;overflow-wrap:anywhere}
.state{font-weight:600}
"""


def summary(plan: Plan) -> str:
    """Returns how many entries there are of each state: `3 ready, 1 to decide.`"""
    counts = Counter(state_of(entry, plan) for entry in plan["entries"])
    words = ", ".join(f"{counts[state]} {_COUNTED.get(state, state.value)}" for state in State if counts[state])
    return f"{words}." if words else "The source has no entries."


def as_text(plan: Plan) -> str:
    """Returns the plan as text."""
    source = plan["source"]
    lines = [f"Source      {source['name']}", f"Time zone   {source['timezone'] or 'of each entry'}", f"Plan        {plan['hash'][:16]}"]
    lines += [f"Remark      {remark}" for remark in plan["remarks"]]
    for decision in plan["decisions"]:
        lines += ["", *(line.removeprefix("    ") for line in _decision_lines(decision))]
    for entry in plan["entries"]:
        lines += ["", *_entry_lines(plan, entry)]
    needed = connections_of(plan)
    if needed:
        lines += ["", "Before `apply`, create those of these connections that do not exist yet:"]
        lines += [f"  {need}" for need in needed]
    return "\n".join([*lines, "", summary(plan)]) + "\n"


def connections_of(plan: Plan) -> list[str]:
    """Returns the connections that the entries to be imported need, each once, with its kind and settings in words."""
    wanted = [entry for entry in plan["entries"] if state_of(entry, plan) in {State.READY, State.WAITS, State.OPEN}]
    return sorted({need_in_words(need) for entry in wanted for need in entry["needs"]})


def need_in_words(need: Mapping[str, Any]) -> str:
    """Returns a connection that a job needs as text: `files of kind file_store (path /srv)`."""
    settings = ", ".join(f"{name} {value}" for name, value in need["settings"].items())
    secret = f", with {need['secret']}" if need["secret"] else ""
    return f"{need['name']} of kind {need['kind']}{f' ({settings})' if settings else ''}{secret}"


def _decision_lines(decision: dict[str, Any]) -> Iterator[str]:
    named = f"{decision['id']}: " if "id" in decision else ""
    yield f"    decide   {named}{decision['question']}"
    for choice, meaning in decision["choices"].items():
        yield f"             {'*' if decision['chosen'] == choice else ' '} {choice}: {meaning}"


def _entry_lines(plan: Plan, entry: PlanEntry) -> Iterator[str]:
    yield f"{state_of(entry, plan).value:<10} {entry['id']}  ({entry['where']})"
    yield f"  {entry['raw']}"
    if entry["reason"]:
        yield f"  It {entry['reason']}." if entry["kind"] == "note" else f"  {entry['reason']}"
    if entry["job"] is None:
        return
    job = entry["job"]
    yield f"  Job {job['name']!r}: template {job['template_type']}, {_schedule(job)}"
    if entry["disabled"]:
        yield f"  It {entry['disabled']}, and stays so."
    for field in entry["fields"]:
        target = f" -> {field['target']}" if field["target"] else ""
        reason = f" ({field['reason']})" if field["reason"] else ""
        yield f"    {field['fate']:<8} {field['name']}: {_short(field['value'])}{target}{reason}"
    for need in entry["needs"]:
        yield f"    needs    the connection {need_in_words(need)}"
    if entry["waits_for"]:
        yield f"    waits for: {entry['waits_for']}"
    for name, words in entry["plan_decisions"].items():
        yield f"    decide   with {name}, for the whole plan: {words}"
    for decision in entry["decisions"]:
        yield from _decision_lines(decision)
    if entry["script"]:
        yield from (f"    script   {line}" for line in entry["script"].splitlines())
    if entry["fires"]:
        yield f"    times    {_fires(entry['fires'])}"


def _schedule(job: dict[str, Any]) -> str:
    trigger = trigger_of(job["schedule"])
    if not trigger.is_timed:
        return "without a schedule"
    return f"at {trigger.notation} in {trigger.timezone}" if trigger.notation else f"{trigger.words()} ({trigger.timezone})"


def _fires(fires: dict[str, Any]) -> str:
    if fires["equal"]:
        return f"{amount(fires['compared'], 'time')} compared, all equal; the first is {fires['first']}"
    return f"{amount(fires['compared'], 'time')} compared; they differ at {fires['wrong']}"


def _short(text: str) -> str:
    line = text.replace("\n", " ")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def as_html(plan: Plan) -> str:
    """Returns the plan as a page."""
    source = plan["source"]
    about = f"{summary(plan)} Made at {plan['made_at']}. Plan {plan['hash'][:16]}."
    head = f"<h1>Import of {escape(source['name'])}</h1><p>{escape(about)}</p>"
    head += f"<p>Time zone: {escape(source['timezone'] or 'of each entry')}.</p>"
    head += "".join(f"<p>{escape(remark)}</p>" for remark in plan["remarks"])
    head += "".join(f"<h2>Decision {escape(decision['id'])}</h2>{_decision_html(decision)}" for decision in plan["decisions"])
    body = "".join(_entry_html(plan, entry) for entry in plan["entries"])
    title = f"Import of {escape(source['name'])}"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head>{meta}<title>{title}</title><style>{_STYLE}</style></head><body>{head}{body}</body></html>\n'
    )


def _decision_html(decision: dict[str, Any]) -> str:
    choices = [(choice, meaning, "chosen" if decision["chosen"] == choice else "") for choice, meaning in decision["choices"].items()]
    return f"<p>{escape(decision['question'])}</p>{_table(('Choice', 'Meaning', ''), choices)}"


def _entry_html(plan: Plan, entry: PlanEntry) -> str:
    state = state_of(entry, plan).value
    parts = [f'<h2><span class="state">{state}</span> {escape(entry["id"])} <small>{escape(entry["where"])}</small></h2>']
    parts.append(f"<pre>{escape(entry['raw'])}</pre>")
    if entry["reason"]:
        parts.append(f"<p>{escape(entry['reason'])}</p>")
    if entry["job"] is None:
        return "".join(parts)
    about = f": template {entry['job']['template_type']}, {_schedule(entry['job'])}."
    parts.append(f"<p>Job <b>{escape(entry['job']['name'])}</b>{escape(about)}</p>")
    if entry["disabled"]:
        parts.append(f"<p>It {escape(entry['disabled'])}, and stays so.</p>")
    rows = [(field["name"], field["value"], field["fate"], field["target"], field["reason"]) for field in entry["fields"]]
    parts.append(_table(("Field", "Value", "What becomes of it", "Field of the job", "Reason"), rows))
    if entry["needs"]:
        needs = [(need["name"], need["kind"], str(need["settings"] or ""), need["secret"]) for need in entry["needs"]]
        parts.append(_table(("Connection", "Kind", "Settings", "Secret"), needs))
    if entry["waits_for"]:
        parts.append(f"<p>Waits for: {escape(entry['waits_for'])}.</p>")
    parts += [f"<p>Decided with {escape(name)}, for the whole plan: {escape(words)}</p>" for name, words in entry["plan_decisions"].items()]
    parts += [_decision_html(decision) for decision in entry["decisions"]]
    if entry["script"]:
        parts.append(f"<pre>{escape(entry['script'])}</pre>")
    if entry["fires"]:
        parts.append(f"<p>{escape(_fires(entry['fires']))}.</p>")
    return "".join(parts)


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
