"""Whatever a job's process reports becomes something that the store can hold."""

from __future__ import annotations

import json
import math
from typing import Any

import bson
from hypothesis import given
from hypothesis import strategies as st

from app.executors.outcomes import (
    MOST_RESULT_BYTES,
    ProcessEnd,
    attempt_outcome,
    storable_outcome,
    usage_figures,
)
from app.executors.reports import UNREADABLE, log_line, progress_document
from app.mongo import CODEC, portions
from app.node.recorder import CHUNK_BYTES, LINES_A_CHUNK, _size
from app.queue.model import AttemptError, Outcome, Status
from app.sandbox.protocol import Begun, Dropped, End, Ended, Log, Progress, Start, StopReason, TooLate
from app.validation.storable import unstorable

TEXTS = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["\0", "\ud800", "a\0b", "$set", "a.b", "", "__proto__"])
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(-(2**300), 2**300) | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5), max_leaves=20)
PARTS = ("type", "message", "permanent", "traceback", "cpu_seconds", "max_memory_mb")
ERRORS = VALUES | st.dictionaries(st.sampled_from(PARTS), VALUES, max_size=4)


def as_line(name: str, fields: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Lines with the name of a message and any values in its fields."""
    return st.fixed_dictionaries({"message": st.just(name)}, optional=dict.fromkeys(fields, ERRORS))


MESSAGES = st.dictionaries(TEXTS | st.sampled_from(["message", *End._fields, *Log._fields]), VALUES, max_size=6) | st.one_of(
    as_line(kind.__name__, kind._fields) for kind in (Begun, Dropped, End, Ended, Log, Progress, Start, TooLate)
)
FIELDS = dict.fromkeys(End._fields, VALUES) | {"error": ERRORS, "deferred": st.none() | ERRORS, "usage": ERRORS}
ENDS = st.builds(End, **FIELDS)


def storable(value: Any) -> bool:
    bson.encode({"value": value}, codec_options=CODEC)
    return not unstorable(value, most_bytes=16 * 2**20)


@given(VALUES, VALUES, VALUES)
def test_every_log_message_becomes_a_line(text: Any, level: Any, at: Any) -> None:
    line = log_line(Log(text, level, at), 1.0)
    assert line.message == UNREADABLE if not isinstance(text, str) else isinstance(line.message, str)
    assert storable([line.message, line.level])
    assert math.isfinite(line.at)
    assert 0 <= line.at < 253_402_300_800


@given(VALUES, VALUES, VALUES)
def test_every_progress_becomes_a_document_or_none(done: Any, total: Any, note: Any) -> None:
    progress = progress_document(Progress(done, total, note))
    if progress is not None:
        assert storable(progress)
        assert 0 <= progress["done"] < 2**63


@given(ERRORS)
def test_usage_is_figures_that_are_numbers(usage: Any) -> None:
    assert all(math.isfinite(figure) and figure >= 0 for figure in usage_figures(usage).values())


@given(st.none() | ENDS, st.integers(0, 65_535), st.none() | st.sampled_from(StopReason), TEXTS)
def test_every_last_message_gives_an_outcome_that_can_be_written(
    end: End | None, status: int, reason: StopReason | None, broken: str
) -> None:
    process = ProcessEnd(status=status, reason=reason, broken=broken)
    outcome, named = storable_outcome(attempt_outcome(end, process, timeout_seconds=1, seconds=math.nan))
    error = outcome.error.as_document() if outcome.error else None
    assert storable({"result": outcome.result, "error": error, "usage": dict(outcome.usage), "seconds": outcome.seconds})
    assert outcome.result is None or isinstance(outcome.result.get("message", ""), str)
    assert named is None or storable(named)
    assert json.dumps([outcome.result, error], allow_nan=False)


@given(st.dictionaries(TEXTS, VALUES, max_size=5), TEXTS, TEXTS, TEXTS)
def test_every_outcome_can_be_written_and_says_what_was_replaced(result: dict[str, Any], kind: str, words: str, trace: str) -> None:
    error = AttemptError(type=kind, message=words, traceback=trace)
    outcome, named = storable_outcome(Outcome(status=Status.FAILED, result=result, error=error, seconds=math.inf, usage={"x": math.nan}))
    assert storable(outcome.result)
    assert outcome.error is not None
    assert storable(outcome.error.as_document())
    if unstorable(result):
        assert named is not None
    elif isinstance(result.get("message", ""), str):
        assert (outcome.result, named) == (result, None), "what can be held stays as it is"


def test_the_values_of_the_report_are_replaced_and_named() -> None:
    outcome, named = storable_outcome(Outcome(status=Status.SUCCESS, result={"x": 2**200, "a\0b": 1, "y": float("nan"), "kept": [1, "é"]}))
    assert outcome.result == {"x": str(2**200), "a\u2400b": 1, "y": "nan", "kept": [1, "é"]}
    assert named is not None
    assert all(one in named for one in ("/x is a whole number of more than 64 bits", "/y is not a finite number", "/a"))


def test_a_result_of_many_megabytes_is_cut_and_named() -> None:
    outcome, named = storable_outcome(Outcome(status=Status.SUCCESS, result={"message": "m", "rows": list(range(3_000_000))}))
    assert outcome.result is not None
    assert len(bson.encode(outcome.result)) <= MOST_RESULT_BYTES
    assert named is not None
    assert "is too large" in named


@given(st.lists(st.sampled_from(["", "x" * 8_000, "😀" * 8_000]), max_size=300))
def test_a_chunk_of_a_log_has_room_in_a_document(texts: list[str]) -> None:
    lines = [{"message": text, "level": "INFO"} for text in texts]
    chunks = list(portions(lines, _size, most_bytes=CHUNK_BYTES, most=LINES_A_CHUNK))
    assert [line for portion in chunks for line in portion] == lines
    assert all(len(bson.encode({"lines": portion})) < CHUNK_BYTES * 1.2 and len(portion) <= LINES_A_CHUNK for portion in chunks)
