"""All sources that jobs can be imported from: a corpus of each is mapped by itself, explained whole, and never begins at a wrong time."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from app.imports.entries import APPROVE, Draft, EntryKind, Fate
from app.imports.fires import trigger_of, trigger_times
from app.imports.plan import CLOCK_CHANGES, State, decide, make_plan, read_plan, state_of
from app.imports.sources import SOURCES
from app.imports.views import as_html, as_text
from tests.builders.corpora import corpus_of
from tests.builders.plans import NOW

LEAST = 0.98  # of the entries of a corpus, without a decision of their own but the approval of a secret
DAYS = 400


@pytest.mark.parametrize("name", SOURCES)
def test_a_corpus_is_mapped_by_itself_and_explained_whole(name: str, tmp_path: Path, mongod: str) -> None:
    source, corpus = SOURCES[name], corpus_of(name, tmp_path, mongod)
    reading = source.read(corpus.place, corpus.options)
    assert len(reading.entries) >= corpus.entries
    assert len({entry.id for entry in reading.entries}) == len(reading.entries)
    plan = make_plan(source, corpus.place, corpus.options, NOW)
    assert read_plan(json.dumps(plan)) == plan
    assert as_text(plan)
    assert as_html(plan)
    shared = {entry["id"] for entry in plan["entries"] if entry["plan_decisions"]}
    assert [(asked["id"], asked["entries"]) for asked in plan["decisions"]] == [(CLOCK_CHANGES, len(shared))] * bool(shared)
    assert {state_of(entry, plan) for entry in plan["entries"] if entry["id"] in shared} <= {State.OPEN}
    if shared:
        decide(plan, [f"{CLOCK_CHANGES}=accept"])
    wrong = {}
    for entry, planned in zip(reading.entries, plan["entries"], strict=True):
        if planned["kind"] != EntryKind.JOB:
            assert planned["reason"], planned
            continue
        fields = planned["fields"]
        unexplained = [field["name"] for field in fields if not (field["target"] if field["fate"] == Fate.MAPPED else field["reason"])]
        assert not unexplained, planned
        assert corpus.fields(entry) <= {field["name"] for field in fields}, planned
        assert planned["disable"], planned
        assert planned["enable"], planned
        asked = [decision for decision in planned["decisions"] if APPROVE not in decision["choices"]]
        if asked or any(field["fate"] == Fate.WAITS for field in fields):
            assert state_of(planned, plan) is State.OPEN, planned
            wrong[entry.raw] = [decision["question"] for decision in asked]
        elif not planned["decisions"]:
            assert state_of(planned, plan) is State.READY, planned
    assert len(wrong) <= (1 - LEAST) * len(reading.entries), wrong


@pytest.mark.parametrize("name", SOURCES)
def test_no_job_of_a_corpus_begins_at_a_wrong_time_in_400_days(name: str, tmp_path: Path, mongod: str) -> None:
    source, corpus = SOURCES[name], corpus_of(name, tmp_path, mongod)
    reading = source.read(corpus.place, corpus.options)
    planned = {entry["id"]: entry for entry in make_plan(source, corpus.place, corpus.options, NOW)["entries"]}
    until, compared = NOW + timedelta(days=DAYS), 0
    for entry in reading.entries:
        if entry.kind is not EntryKind.JOB:
            continue
        times = source.schedule(entry, corpus.options, Draft(body={"name": "", "tags": []}))
        schedule = planned[entry.id]["job"]["schedule"]
        asked = any("times differ" in decision["question"] for decision in planned[entry.id]["decisions"])
        if times is None or asked:
            continue
        ours = partial(trigger_times, trigger_of(schedule))
        assert next(ours(NOW, until), None) == next(times(NOW, until), None), (entry.raw, schedule)
        compared += 1
    assert compared >= LEAST * 0.9 * corpus.entries
