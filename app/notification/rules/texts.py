"""The texts of a rule: its own title and text of messages, in the language of dynamic values.

They run no code and reach nothing but the values below. The length of the source, the number of expressions and the length of every
result are bounded, and each expression is read once, so that the time is bounded too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.errors import FieldError
from app.validation.dynamic import Known, Wrong, as_text, names_in, resolve
from templates_lib.messages import Said, say

MOST_BYTES = 4_096  # of a source, in UTF-8
LONGEST_TITLE = 500  # characters of the source of a title
FIELDS = ("title", "text")
LOG = "log."  # how the names of parts of the log begin
# What the names mean. `where` uses the same names, as far as it has them.
NAMES: Mapping[str, Said] = {
    "job.id": say("The id of the job"),
    "job.name": say("The name of the job"),
    "job.group": say("The group of the job"),
    "job.template": say("The type of the template, such as sql_query"),
    "job.tags": say("The tags of the job, a list"),
    "execution.id": say("The id of the execution"),
    "execution.status": say("The status of the execution, such as failed"),
    "execution.reason": say("Why the run was skipped"),
    "execution.trigger": say("What triggered the execution, such as schedule"),
    "execution.attempts": say("The number of attempts"),
    "execution.scheduled_for": say("The scheduled time of the run"),
    "execution.started_at": say("When the run started"),
    "execution.ended_at": say("When the run ended"),
    "execution.duration_seconds": say("How long the run took, in seconds"),
    "execution.error_type": say("The type of the error, such as ConnectionError"),
    "execution.error": say("The message of the error"),
    "execution.message": say("The message of the result"),
    "execution.node": say("The node that ran the job"),
    "log.error": say("The last error in the log, without secrets"),
    "log.lines": say("The last lines of the log, without secrets"),
    "rule": say("The name of the rule"),
    "severity": say("The severity of the rule: info, warning or critical"),
    "kind": say("What the message is: firing, reminder or notice"),
    "subject": say("The name of what the message is about, such as a job or a node"),
    "count": say("How often the condition was found to hold, in a row"),
    "since": say("When the incident began"),
    "title": say("The built-in title, in the language of the recipient"),
    "why": say("What was found, in the language of the recipient"),
    "link": say("The address of the page of the execution or of the incident"),
    "now": say("When it happened"),
}
_THEN = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
# A value of each type, to try texts with. Names that are not here are texts.
_SAMPLE: Mapping[str, Any] = {
    **dict.fromkeys(NAMES, "x"),
    **dict.fromkeys(("execution.scheduled_for", "execution.started_at", "execution.ended_at", "since", "now"), _THEN),
    **dict.fromkeys(("execution.attempts", "count"), 3),
    "execution.duration_seconds": 12.5,
    "job.tags": ["x"],
}
_DYNAMIC: Mapping[str, Any] = {"type": "string", "x-dynamic": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The sources of a title and of a text; an empty one leaves the built-in words."""

    title: str = ""
    text: str = ""

    @property
    def names(self) -> frozenset[str]:
        """Returns the names that they use. Raises Wrong."""
        return frozenset((*names_in(self.title), *names_in(self.text)))

    @property
    def shows_log(self) -> bool:
        """Returns whether they show parts of the log themselves."""
        try:
            return any(name.startswith(LOG) for name in self.names)
        except Wrong:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why one of the texts could not be used for a message. `field` is `title` or `text`."""

    field: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The texts with values; None where there is no source, or where it has a fault."""

    title: str | None = None
    text: str | None = None
    fault: Fault | None = None


def written(texts: Texts, values: Mapping[str, Any]) -> Written:
    """Returns the texts with these values, by the names of NAMES. A value that is missing, None or empty is not known."""
    known, results, faults = _known(values), dict[str, str | None](), list[Fault]()
    for field in FIELDS:
        source = getattr(texts, field)
        resolved = resolve(_DYNAMIC, source, known)
        results[field] = as_text(resolved.value) if source.strip() and not resolved.errors else None
        faults += [Fault(field=field, error=error.message) for error in resolved.errors[:1]]
    return Written(**results, fault=faults[0] if faults else None)


def problems(texts: Mapping[str, Any]) -> list[FieldError]:
    """Returns why texts cannot be used: what is not an expression, names and filters that do not exist, and what is too long. Whether each
    event has a value is not known before."""
    errors = []
    for field in FIELDS:
        words = _problem(texts.get(field) or "")
        errors += [] if words is None else [FieldError(f"/texts/{field}", words)]
    return errors


def _problem(source: str) -> str | None:
    if len(source.encode(errors="replace")) > MOST_BYTES:
        return say("must have at most {most:,} bytes", most=MOST_BYTES)
    try:
        unknown = next((name for name in names_in(source) if name not in NAMES), None)
    except Wrong as wrong:
        return str(wrong)
    if unknown is not None:
        return say("{name} is not known. Known names: {known}", name=unknown[:50], known=", ".join(NAMES))
    return next((error.message for error in resolve(_DYNAMIC, source, _known(_SAMPLE)).errors), None)


def _known(values: Mapping[str, Any]) -> Known:
    more: dict[str, Any] = {}
    for name in NAMES:
        value = values.get(name)
        begin, _, end = name.partition(".")
        if end:
            more.setdefault(begin, {})[end] = None if value in ("", []) else value
        else:
            more[begin] = None if value == "" else value
    return Known(
        now=values["now"],
        execution_id=values.get("execution.id") or "",
        scheduled_for=values.get("execution.scheduled_for"),
        job_id=values.get("job.id") or "",
        job_name=values.get("job.name") or "",
        more=more,
    )
