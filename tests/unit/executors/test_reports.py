"""Whatever a job's process reports becomes something that the store can hold."""

from __future__ import annotations

import json
import math
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.executors.judge import judge
from app.executors.reports import (
    LONGEST_MESSAGE,
    MOST_RESULT_BYTES,
    is_last_word,
    log_line,
    message_of,
    progress_of,
    storable_outcome,
    text_of,
    usage_of,
)
from app.mongo import CODEC, portions
from app.node.recorder import CHUNK_BYTES, LINES_A_CHUNK, _size
from app.queue.model import AttemptError, Outcome, Status
from app.validation.storable import unstorable

TEXTS = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["\0", "\ud800", "a\0b", "$set", "a.b", "", "__proto__"])
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(-(2**300), 2**300) | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5), max_leaves=20)
WORDS = st.sampled_from(
    [
        "log",
        "level",
        "at",
        "progress",
        "done",
        "total",
        "note",
        "result",
        "error",
        "type",
        "message",
        "permanent",
        "traceback",
        "cancelled",
        "usage",
        "seconds",
        "cpu_seconds",
        "max_memory_mb",
        "end",
        "begin",
        "more",
        "dropped",
    ]
)
MESSAGES = st.dictionaries(WORDS | TEXTS, VALUES | st.dictionaries(WORDS, VALUES, max_size=4), max_size=6)


def storable(value: Any) -> bool:
    bson.encode({"value": value}, codec_options=CODEC)
    return not unstorable(value, most_bytes=16 * 2**20)


@given(MESSAGES)
def test_every_message_has_a_meaning_or_none(message: dict[str, Any]) -> None:
    line, progress = log_line(message, 1.0), progress_of(message.get("progress"))
    if line is not None:
        assert isinstance(line.message, str)
        assert storable([line.message, line.level])
        assert math.isfinite(line.at)
        assert 0 <= line.at < 253_402_300_800
    if progress is not None:
        assert storable(progress.as_document())
        assert 0 <= progress.done < 2**63
    assert all(math.isfinite(one) and one >= 0 for one in usage_of(message.get("usage")).values())


@given(
    MESSAGES,
    st.integers(0, 65_535),
    st.sampled_from([None, "timeout", "cancel", "drain", "lease_lost", "flood", "processes", "broken: \ud800"]),
)
def test_every_last_word_is_judged_and_can_be_written(message: dict[str, Any], status: int, why: str | None) -> None:
    last = message if is_last_word(message) else None
    outcome, named = storable_outcome(judge(last, status=status, why=why, timeout_seconds=1, usage={}, seconds=math.nan))
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
    assert all(one in named for one in ("/x is a whole number beyond 64 bits", "/y is no finite number", "/a"))


def test_a_result_of_many_megabytes_is_cut_and_named() -> None:
    outcome, named = storable_outcome(Outcome(status=Status.SUCCESS, result={"message": "m", "rows": list(range(3_000_000))}))
    assert outcome.result is not None
    assert len(bson.encode(outcome.result)) <= MOST_RESULT_BYTES
    assert named is not None
    assert "is too large" in named


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        b"[]",
        b"1",
        b'"log"',
        b"null",
        b"{",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b"9" * 10_000,
        b'{"x": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_message_is_none(raw: bytes) -> None:
    assert message_of(raw) is None


def test_a_text_of_anything_is_short_and_a_text() -> None:
    for value in (None, 1, 2**10_000, [1, "\ud800"], {"a": {"b": object}}, "x" * 100_000, math.nan, b"bytes"):
        assert len(text_of(value, LONGEST_MESSAGE)) <= LONGEST_MESSAGE
        assert storable(text_of(value, LONGEST_MESSAGE))


@given(st.lists(st.sampled_from(["", "x" * 8_000, "😀" * 8_000]), max_size=300))
def test_a_chunk_of_a_log_has_room_in_a_document(texts: list[str]) -> None:
    lines = [{"message": text, "level": "INFO"} for text in texts]
    chunks = list(portions(lines, _size, most_bytes=CHUNK_BYTES, most=LINES_A_CHUNK))
    assert [line for portion in chunks for line in portion] == lines
    assert all(len(bson.encode({"lines": portion})) < CHUNK_BYTES * 1.2 and len(portion) <= LINES_A_CHUNK for portion in chunks)
