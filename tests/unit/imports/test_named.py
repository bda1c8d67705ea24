"""Functions, tasks and events: what they become, and what becomes of their secrets; addresses of stores, which no plan contains."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.imports.entries import Call, Draft, Entry, EntryKind, Reading
from app.imports.fires import Times
from app.imports.plan import State, make_plan, state_of
from app.imports.secrets import Redactor
from app.imports.sources import Source, SourceError, SourceOptions
from app.imports.sources.addresses import full_address, host_of, without_credentials
from app.imports.views import as_html, as_text
from tests.builders.plans import NOW

OPTIONS = SourceOptions(machine="web1")


class Some(Source):
    """A source with one call."""

    type = "some"
    title = "Some"
    options = {"app": "the application"}

    def __init__(self, call: Call, **fields: Any) -> None:
        self._entry = replace(Entry(id="a", where="db:a", kind=EntryKind.JOB, raw="{}", call=call), **fields)

    def read(self, place: str, options: SourceOptions) -> Reading:
        return Reading(name=f"some:{options.machine}:{place}", digest="1", entries=(self._entry,))

    def schedule(self, entry: Entry, options: SourceOptions, draft: Draft) -> Times | None:
        start = NOW - timedelta(hours=1)
        draft.body["schedule"] = {"type": "interval", "interval_seconds": 7200, "start_at": start.isoformat(), "timezone": "UTC"}
        draft.mapped("every", "2 hours", "schedule.interval_seconds")

        def times(after: datetime, until: datetime) -> Iterator[datetime]:
            moment = start + ((after - start) // timedelta(hours=2) + 1) * timedelta(hours=2)
            while moment <= until:
                yield moment
                moment += timedelta(hours=2)

        return times

    def arguments_of(self, call: Call, options: SourceOptions) -> list[str] | None:
        return ["some-tool", "-A", options.get("app"), call.name] if options.get("app") else None

    def disable(self, entry: Entry) -> str:
        return f"some off {entry.id}"

    def enable(self, entry: Entry) -> str:
        return f"some on {entry.id}"


def planned(call: Call, options: SourceOptions = OPTIONS, **fields: Any) -> Mapping[str, Any]:
    plan = make_plan(Some(call, **fields), "x", options, NOW)
    assert as_html(plan)
    assert "Every 2 hours" in as_text(plan)
    (entry,) = plan["entries"]
    assert all(field["target"] or field["reason"] for field in entry["fields"])
    return dict(entry)


CALL = Call(name="send digest", arguments=(1, [True]), keywords={"to": "x", "deep": {"n": None}}, sending={"queue": "slow"})


def test_a_call_becomes_the_job_of_a_service_by_default() -> None:
    entry = planned(CALL)
    assert (state_of(entry), entry["job"]["name"], entry["fires"]["equal"]) == (State.READY, "send digest", True)
    config = {"args": [1, [True]], "kwargs": {"to": "x", "deep": {"n": None}}}
    assert entry["job"]["parameters"] == {"service": "some", "job_name": "send digest", "config": config}
    assert [need["kind"] for need in entry["needs"]] == ["service"]
    only_named = planned(replace(CALL, arguments=()), replace(OPTIONS, calls="service:mailer"))
    assert only_named["job"]["parameters"] == {"service": "mailer", "job_name": "send digest", "config": {"to": "x", "deep": {"n": None}}}


def test_a_call_becomes_a_command_with_its_values_as_json() -> None:
    parameters = planned(CALL, replace(OPTIONS, calls="command:/opt/call"))["job"]["parameters"]
    assert parameters["program"] == "/opt/call"
    assert [parameters["arguments"][0], *map(json.loads, parameters["arguments"][1:])] == ["send digest", [1, [True]], dict(CALL.keywords)]
    assert planned(CALL, replace(OPTIONS, calls="command"))["job"]["parameters"]["program"] == "/usr/local/lib/jobwright/call-some"
    own = planned(CALL, replace(OPTIONS, calls="command", own={"app": "shop"}))["job"]["parameters"]
    assert own == {"program": "/usr/bin/some-tool", "arguments": ["-A", "shop", "send digest"]}


def test_a_call_becomes_a_message_on_a_subject() -> None:
    job = planned(replace(CALL, name="shop.jobs:send digest"), replace(OPTIONS, calls="bus:events"))["job"]
    assert (job["template_type"], job["parameters"]["connection"], job["parameters"]["subject"]) == (
        "message_command",
        "events",
        "shop.jobs.send-digest",
    )


@pytest.mark.parametrize("calls", ["service", "command:/opt/call", "bus:events"])
def test_secrets_of_a_call_are_not_in_its_job_and_wait_for_approval(calls: str) -> None:
    redactor = Redactor()
    keywords = redactor.redact_json({"api_key": "hunter2hunter", "list": [{"password": "correct horse"}, 7], "n": 1})
    assert redactor.found
    entry = planned(
        Call(name="send", keywords=keywords), replace(OPTIONS, calls=calls), secrets=tuple(redactor.found), prints=tuple(redactor.prints)
    )
    assert (state_of(entry), list(entry["decisions"][0]["choices"])) == (State.OPEN, ["approve", "leave-out"])
    assert "hunter2" not in json.dumps(entry)
    assert "correct horse" not in json.dumps(entry)
    parameters = entry["job"]["parameters"]
    assert "‹secret" not in json.dumps(parameters, ensure_ascii=False)
    if calls.startswith("command"):
        assert "$JOBWRIGHT_SECRET_1" in parameters["arguments"][2]
        assert set(parameters["secrets"]) == {"JOBWRIGHT_SECRET_1", "JOBWRIGHT_SECRET_2"}
    else:
        assert parameters.get("config", parameters.get("payload")) == {"list": [{}, 7], "n": 1}


def test_values_that_cannot_be_read_and_disabled_entries_are_said() -> None:
    entry = planned(Call(name="send", unreadable="it is an object of the class shop.Order"), disabled="is disabled in Some")
    assert (state_of(entry), list(entry["decisions"][0]["choices"])) == (State.OPEN, ["empty", "leave-out"])
    assert entry["disabled"] == "is disabled in Some"
    assert ("disabled", "paused") in [(field["name"], field["target"]) for field in entry["fields"]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (replace(OPTIONS, own={"tpyo": "x"}), "Some has no option 'tpyo'. Known options: app."),
        (replace(OPTIONS, calls="mail"), "'mail' is not a way to make calls"),
        (replace(OPTIONS, calls="command:call.sh"), "needs the absolute path of a program"),
    ],
)
def test_unknown_options_are_refused(options: SourceOptions, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        make_plan(Some(CALL), "x", options, NOW)


def test_a_password_does_not_belong_into_the_place_of_a_store() -> None:
    for place in ("mongodb://u:secret@db/app", "mongodb://u:sec/ret@db/app", "mongodb://db/app?password=secret"):
        with pytest.raises(SourceError, match="which other users of the machine can read") as refused:
            full_address(place, OPTIONS, {"mongodb"})
        assert "secret" not in str(refused.value)
        assert "sec" not in without_credentials(place).replace("://", "").removeprefix("mongodb")
    with_address = replace(OPTIONS, address="mongodb+srv://u:p@db/app")
    assert full_address("", with_address, {"mongodb"}) == "mongodb+srv://u:p@db/app"
    assert full_address("mongodb://u@db/app", OPTIONS, {"mongodb"}) == "mongodb://u@db/app"
    for place, words in (("", "is missing"), ("redis://db", "must begin with mongodb://"), ("db/app", "must begin with")):
        with pytest.raises(SourceError, match=words):
            full_address(place, OPTIONS, {"mongodb"})
    assert "p@" not in repr(with_address)
    assert "address" not in with_address.in_plan()
    assert without_credentials("mongodb://u:p@db:1,db2/app?authSource=admin&tls=true") == "mongodb://db:1,db2/app?authSource=admin&tls=true"
    assert without_credentials("postgresql://db/app?password=x&sslmode=require") == "postgresql://db/app?sslmode=require"
    assert [host_of(text) for text in ("mongodb://u:p@db:1,db2/app", "sqlite:///a/b.db")] == ["db:1", "localhost"]
