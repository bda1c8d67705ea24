"""The expression of a rule (`where`), in CEL: which of the events that its condition finds it is about.

CEL has no loops but its macros. They are refused, and so are patterns, whose costs depend on more than their length. What is left takes
time in proportion to the length of the expression and of the values, and both are bounded. It can reach nothing but the event.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from app.notification.rules.rule import JobFacts
from app.queue.execution import Execution
from templates_lib.messages import Said, say

LONGEST_WHERE = 1_000  # characters
DEEPEST = 20  # brackets inside one another
LONGEST_VALUE = 1_000  # characters of a value of an event
MOST_TAGS = 50
MACROS = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter|reduce|transformList|transformMap|sortBy)\s*\(|//|\bcel\s*\.")
FUNCTIONS = frozenset(
    {
        *("_+_", "_-_", "_*_", "_/_", "_%_", "-_", "!_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_&&_", "_||_", "_?_:_"),
        *("@in", "_[_]", "size", "contains", "startsWith", "endsWith", "int", "double", "string", "has"),
    }
)
SAMPLE: Mapping[str, Any] = {
    "job": {"id": "", "name": "", "group": "", "template": "", "tags": [""]},
    "execution": {
        "id": "",
        "status": "failed",
        "reason": "",
        "trigger": "schedule",
        "attempts": 1,
        "duration_seconds": 0.5,
        "error_type": "",
        "error": "",
        "node": "",
    },
}


class WhereRefused(Exception):
    """An expression cannot be used; the message says why."""


@lru_cache(maxsize=512)
def compiled(where: str) -> Any:
    """Returns an expression ready to run. Raises WhereRefused."""
    if len(where) > LONGEST_WHERE:
        raise WhereRefused(say("must have at most {most} characters", most=LONGEST_WHERE))
    if MACROS.search(where):
        raise WhereRefused(say("must not have loops (all, exists, map, filter) or comments"))
    if _depth(where) > DEEPEST:
        raise WhereRefused(say("must not have more than {most} brackets inside one another", most=DEEPEST))
    try:
        import cel  # noqa: PLC0415 - only rules with an expression need it

        program = cel.compile(where)
        names, functions = program.variables(), program.functions()
    except Exception as error:  # the library raises errors of several kinds
        raise WhereRefused(say("is not a valid expression: {error}", error=_first_line(error))) from None
    _refuse_unknown(names, SAMPLE)
    _refuse_unknown(functions, FUNCTIONS)
    return program


def problem(where: str) -> str | None:
    """Returns why an expression cannot be used; None if it can. It is also tried, so that names that no event has are found."""
    try:
        result = compiled(where).execute(SAMPLE)
    except WhereRefused as error:
        words: str = error.args[0]
        return words
    except Exception as error:
        return say("cannot be computed for an event: {error}", error=_first_line(error))
    return None if isinstance(result, bool) else say("must be true or false for each event")


def holds(where: str, event: Mapping[str, Any]) -> bool:
    """Returns whether an event fulfils an expression. What cannot be computed is fulfilled: one message too many is better than none."""
    if not where:
        return True
    try:
        return compiled(where).execute(event) is not False
    except Exception:  # the library raises errors of several kinds
        return True


def event_of(job: JobFacts, execution: Execution) -> dict[str, Any]:
    """Returns what expressions see of the end of an execution."""
    error = execution.error
    return {
        "job": {
            "id": job.id,
            "name": _short(job.name),
            "group": _short(job.group),
            "template": _short(job.template),
            "tags": [_short(tag) for tag in sorted(job.tags)[:MOST_TAGS]],
        },
        "execution": {
            "id": execution.id,
            "status": str(execution.status),
            "reason": str(execution.reason or ""),
            "trigger": str(execution.triggered_by),
            "attempts": len(execution.attempts),
            "duration_seconds": float(execution.duration_seconds or 0),
            "error_type": _short(error.type) if error else "",
            "error": _short(error.message) if error else "",
            "node": _short(execution.execution_host or ""),
        },
    }


def _short(text: str) -> str:
    return text[:LONGEST_VALUE]


def _refuse_unknown(names: Collection[str], known: Collection[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise WhereRefused(say("has a name or a function that is not known: {name}", name=unknown[0][:50]))


def _depth(where: str) -> int:
    depth = deepest = 0
    for letter in where:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _first_line(error: BaseException) -> Said | str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
