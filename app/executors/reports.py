"""What a job's process reports, made into what the service knows and its store can hold: pure, and total over any JSON value.

A template runs its own code in its process and can send whatever it likes, by mistake or on purpose.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.executors.base import LogLine
from app.jobs.model import RetryOn
from app.queue.model import AttemptError, Outcome, Status
from app.validation.storable import MOST_WHOLE, Replaced, make_storable, whole_text

LONGEST_LEVEL = 20  # characters
LONGEST_TYPE = 200
LONGEST_MESSAGE = 4_000  # each attempt keeps both, and an execution has up to 101 attempts
LONGEST_TRACEBACK = 8_000
LONGEST_NOTE = 200
LONGEST_SECONDS = 1e9
MOST_RESULT_BYTES = 6 * 1024 * 1024  # beside the parameters (4 MiB), the attempts and their errors in a document of 16 MiB
MOST_NAMED = 5  # values that one line names
LATEST_SECONDS = 253_402_300_799.0  # the end of the year 9999, in seconds since 1970
USAGE = ("cpu_seconds", "max_memory_mb")
UNREADABLE = "The process wrote something unreadable to its message socket"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `done` of `total`, which is None where it is not known."""

    done: int
    total: int | None
    note: str

    def as_document(self) -> dict[str, Any]:
        return {"done": self.done, "total": self.total, "note": self.note}


def message_of(raw: bytes | bytearray) -> Mapping[str, Any] | None:
    """One line of a process as a message; None where it is none."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def log_line(message: Mapping[str, Any], now: float) -> LogLine | None:
    """The line of a log message {log, level, at}; None where it is none. A time that is no time is `now`."""
    text, level, at = message.get("log"), message.get("level"), message.get("at")
    if not isinstance(text, str):
        return None
    return LogLine(_between(at, 0.0, LATEST_SECONDS, now), text_of(level, LONGEST_LEVEL) or "INFO", whole_text(text))


def progress_of(value: Any) -> Progress | None:
    """The progress {done, total, note} of a message; None where it is none. Counts lie between 0 and 2⁶³ - 1."""
    if not isinstance(value, Mapping) or (done := _count(value.get("done"))) is None:
        return None
    return Progress(done, _count(value.get("total")), text_of(value.get("note"), LONGEST_NOTE))


def is_last_word(message: Mapping[str, Any]) -> bool:
    """Whether a message says how a run ended."""
    return any(name in message for name in ("result", "error", "cancelled"))


def error_of(value: Any, traceback: Any) -> AttemptError:
    """The error {type, message, permanent} of a message; of anything else one that shows it."""
    if not isinstance(value, Mapping):
        return AttemptError(type="UnknownError", message=text_of(value, LONGEST_MESSAGE), traceback=text_of(traceback, LONGEST_TRACEBACK))
    return AttemptError(
        type=text_of(value.get("type"), LONGEST_TYPE) or "UnknownError",
        message=text_of(value.get("message"), LONGEST_MESSAGE),
        permanent=value.get("permanent") is True,
        traceback=text_of(traceback, LONGEST_TRACEBACK),
    )


def seconds_of(value: Any, otherwise: float) -> float:
    """A duration in seconds that a process tells, or `otherwise` where it tells none."""
    return _between(value, 0.0, LONGEST_SECONDS, otherwise)


def usage_of(value: Any) -> dict[str, float]:
    """The figures of USAGE that a value has, as numbers from 0 on."""
    given = value if isinstance(value, Mapping) else {}
    return {name: number for name in USAGE if (number := _between(given.get(name), 0.0, LONGEST_SECONDS, -1.0)) >= 0}


def storable_outcome(outcome: Outcome) -> tuple[Outcome, str | None]:
    """An outcome that can be written, and one line that names what of it was replaced; None where nothing was."""
    replaced: list[Replaced] = []
    result = outcome.result
    if result is not None:
        made = make_storable(result if isinstance(result, Mapping) else {"value": result}, most_bytes=MOST_RESULT_BYTES)
        result, replaced = made.value, list(made.replaced)
        if not isinstance(result.get("message", ""), str):
            result["message"] = text_of(result["message"], LONGEST_MESSAGE)
            replaced.append(Replaced("/message", "was no text"))
    error = outcome.error
    if error is not None:
        error = replace(
            error,
            type=text_of(error.type, LONGEST_TYPE),
            message=text_of(error.message, LONGEST_MESSAGE),
            traceback=text_of(error.traceback, LONGEST_TRACEBACK),
        )
    tidy = replace(outcome, result=result, error=error, seconds=seconds_of(outcome.seconds, 0.0), usage=usage_of(outcome.usage))
    return tidy, in_words(replaced)


def unwritten(outcome: Outcome, why: Exception) -> Outcome:
    """What is recorded in place of an outcome that the database refuses."""
    ended = f"It ended as {outcome.status.value}, but what it reported could not be written"
    error = AttemptError(type="UnwritableReport", message=f"{ended}: {text_of(str(why), 500)}", permanent=True, kind=RetryOn.ERROR)
    return Outcome(status=Status.FAILED, error=error, seconds=seconds_of(outcome.seconds, 0.0), began_at=outcome.began_at)


def in_words(replaced: Sequence[Replaced]) -> str | None:
    """One line that names what was replaced; None where nothing was."""
    if not replaced:
        return None
    named = "; ".join(f"{one.pointer or '/'} {one.reason}" for one in replaced[:MOST_NAMED])
    more = f"; and {len(replaced) - MOST_NAMED} more" if len(replaced) > MOST_NAMED else ""
    return whole_text(f"What the result held and cannot be kept was replaced: {named}{more}")


def text_of(value: Any, longest: int) -> str:
    """A value as a text of at most `longest` characters that the store can hold; None is the empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        value = make_storable(value, most_bytes=LONGEST_MESSAGE).value
        value = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return whole_text(value[:longest])


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(min(max(value, 0), MOST_WHOLE))


def _between(value: Any, least: float, most: float, otherwise: float) -> float:
    """A finite number between two bounds, else `otherwise`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most or math.isnan(value):
        return otherwise
    return float(value)
