"""Events of Cronicle and xyOps: pages with negative numbers, counts that must agree, times, plugins, limits and actions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app.imports.fires import trigger_of, trigger_times
from app.imports.plan import Plan, State, make_plan, state_of
from app.imports.sources import SOURCES, SourceError, SourceOptions
from app.imports.sources.cronicle_timing import TimingRefused, read_timing
from tests.builders.foreign import cronicle as corpus
from tests.builders.foreign.checks import check_corpus
from tests.builders.plans import NOW
from tests.lengths import one_in


def plan_of(place: Path, *, zone: str = "Europe/Berlin", **own: str) -> Plan:
    return make_plan(SOURCES["cronicle"], str(place), SourceOptions(machine="web1", timezone=zone, own=own), NOW)


def one(folder: Path, *, zone: str = "Europe/Berlin", **changes: Any) -> Any:
    """The entry of an event with these changes."""
    (folder / "a.json").write_text(json.dumps({"rows": [{**corpus.event(Random(1), 0), "timezone": "", "target": "allgrp", **changes}]}))
    return plan_of(folder / "a.json", zone=zone)["entries"][0]


def test_two_hundred_events(tmp_path: Path) -> None:
    plan = plan_of(corpus.write(tmp_path / "export.txt"))
    check_corpus(plan, 200)
    assert [entry["disabled"] for entry in plan["entries"]].count("is not enabled") == 10


def test_a_list_with_another_number_of_items_than_it_says_is_refused(tmp_path: Path) -> None:
    file = corpus.write(tmp_path / "export.txt", 30)
    text = file.read_text().replace("global/schedule/-2 - ", "global/schedule/-2x - ")
    file.write_text(text)
    with pytest.raises(SourceError, match="says that its length is 30, but it has 0 items"):
        plan_of(file)
    file.write_text(text.replace('"first_page": -2', '"first_page": '))
    with pytest.raises(SourceError, match="line 6: the value of global/schedule is not valid JSON"):
        plan_of(file)
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(SourceError, match="has no events"):
        plan_of(tmp_path / "none.json")


def test_generated_timings_have_the_times_of_a_walk_over_the_minutes() -> None:
    """2,000 timings: the walk is over hours and compares each number, as the scheduler does once a minute."""
    random, start = Random(5), datetime(2026, 11, 30, tzinfo=UTC)

    def some(numbers: range, most: int) -> list[int]:
        return random.sample(list(numbers), random.randint(1, most))

    for _ in one_in(10, range(2000)):
        timing: dict[str, Any] = {"minutes": some(range(60), 3), "hours": some(range(24), 4)}
        for name, numbers in (("weekdays", range(7)), ("months", range(1, 13)), ("days", range(1, 32)), ("days", range(-7, 0))):
            if random.random() < 0.3:
                timing[name] = timing.get(name, []) + some(numbers, 4)
        read = read_timing(timing)
        assert read is not None
        until = start + timedelta(days=300)
        expected = [moment for day in range(300) for moment in _of_day(timing, start + timedelta(days=day))][:30]
        found = [moment for moment in islice(read.times("UTC", start - timedelta(seconds=1), until), 30) if moment < until]
        assert found == expected, timing
        trigger = trigger_of(read.sets.schedule("UTC"))
        ours = [moment for moment in islice(partial(trigger_times, trigger)(start - timedelta(seconds=1), until), 30) if moment < until]
        assert ours == expected, timing


def _of_day(timing: dict[str, Any], day: datetime) -> list[datetime]:
    backwards = day.day - ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day - 1
    if "weekdays" in timing and (day.weekday() + 1) % 7 not in timing["weekdays"]:
        return []
    if ("months" in timing and day.month not in timing["months"]) or ("days" in timing and not {day.day, backwards} & set(timing["days"])):
        return []
    return [day + timedelta(hours=hour, minutes=minute) for hour in sorted(timing["hours"]) for minute in sorted(timing["minutes"])]


def test_fields_of_an_event(tmp_path: Path) -> None:
    entry = one(
        tmp_path,
        timing={"hours": [4], "minutes": [30]},
        catch_up=1,
        max_children=1,
        queue=1,
        timeout=120,
        retries=2,
        retry_delay=10,
        notify_fail="ops@example.com",
        target="web1.example.com",
        params={"script": "#!/bin/sh\n/opt/a --b 'c d'\n", "annotate": 0},
    )
    job = entry["job"]
    assert state_of(entry) is State.READY
    assert job["schedule"] == {"type": "cron", "expression": "30 4 * * *", "timezone": "Europe/Berlin"}
    assert (job["overlap"], job["misfire"], job["timeout_seconds"]) == ("queue", {"policy": "all", "max_catch_up": 100}, 120)
    assert job["retry_policy"] == {"max_retries": 2, "retry_delay_seconds": 10, "backoff": "fixed"}
    assert (job["notifications"], job["needs"]) == ({"on_failure": ["ops@example.com"]}, ["host=web1.example.com"])
    assert job["parameters"] == {"program": "/opt/a", "arguments": ["--b", "c d"]}
    assert entry["disable"] == (
        'curl -fsS "$CRONICLE_URL/api/app/update_event/v1" -H "X-API-Key: $CRONICLE_API_KEY" -H "Content-Type: application/json"'
        ' -d \'{"id":"ek0000abc","enabled":0}\''
    )
    assert '"enabled":1' in entry["enable"]
    assert plan_of(tmp_path / "a.json", api="https://cron.example.com/")["entries"][0]["disable"].startswith(
        "curl -fsS https://cron.example.com/api/app/update_event/v1 -H"
    )


def test_calls_become_webhooks_without_their_secrets(tmp_path: Path) -> None:
    params = {
        "method": "POST",
        "url": "https://example.com/x",
        "headers": "Authorization: Bearer hunter22hunter\nX-A: 1",
        "data": "{}",
        "timeout": "9",
    }
    entry = one(tmp_path, plugin="urlplug", params=params)
    assert "hunter22" not in json.dumps(entry)
    assert (entry["job"]["template_type"], entry["job"]["parameters"]["timeout"]) == ("webhook_trigger", 9)


@pytest.mark.parametrize(
    ("changes", "choice"),
    [
        ({"chain": "ek9"}, "by-hand"),
        ({"chain_error": "ek9"}, "by-hand"),
        ({"multiplex": 1}, "one"),
        ({"target": "My Group"}, "any"),
        ({"plugin": "pother", "params": {"a": "b"}}, "program"),
        ({"params": {"script": "#!/bin/sh\na\nb\n"}}, "script"),
        ({"params": {"script": "#!/usr/bin/perl\nprint 1;\n"}}, "script"),
        ({"timing": {"hours": ["x"]}}, "manual"),
        ({"timing": {"hours": [25]}}, "manual"),
        ({"timezone": "Mars/Base"}, "manual"),
    ],
)
def test_what_a_person_must_decide(tmp_path: Path, changes: dict[str, Any], choice: str) -> None:
    entry = one(tmp_path, **changes)
    assert state_of(entry) is State.OPEN
    assert choice in {known for decision in entry["decisions"] for known in decision["choices"]}


def test_an_event_without_times_and_the_zone_of_the_server(tmp_path: Path) -> None:
    assert one(tmp_path, timing=False)["job"]["schedule"] == {"type": "manual"}
    with pytest.raises(SourceError, match="such as --zone"):
        one(tmp_path, zone="")


# -- xyOps -------------------------------------------------------------------------------------------------------------


def xyops(folder: Path, triggers: list[dict[str, Any]], **changes: Any) -> Any:
    event = {
        "id": "e1",
        "title": "Nightly",
        "enabled": True,
        "plugin": "shellplug",
        "params": {"script": "/opt/a"},
        "targets": ["main"],
        "triggers": triggers,
    }
    document = {
        "type": "xyOps",
        "version": "1.0",
        "items": [{"type": "plugin", "data": {"id": "p"}}, {"type": "event", "data": {**event, **changes}}],
    }
    (folder / "x.json").write_text(json.dumps(document))
    return plan_of(folder / "x.json")["entries"][0]


def test_triggers_of_xyops(tmp_path: Path) -> None:
    manual = {"type": "manual", "enabled": True}
    twice = [{"type": "schedule", "enabled": True, "hours": [hour], "minutes": [30], "timezone": "America/New_York"} for hour in (4, 16)]
    assert xyops(tmp_path, [manual, *twice])["job"]["schedule"] == {
        "type": "cron",
        "expression": "30 4,16 * * *",
        "timezone": "America/New_York",
    }
    entry = xyops(tmp_path, [manual, {"type": "interval", "enabled": True, "start": 1754580000, "duration": 90}, {"type": "catchup"}])
    assert entry["job"]["schedule"]["interval_seconds"] == 90
    assert (entry["fires"]["equal"], entry["job"]["misfire"]["policy"]) == (True, "all")
    entry = xyops(tmp_path, [{"type": "single", "enabled": True, "epoch": 1798750800}])
    assert (entry["job"]["schedule"]["type"], entry["fires"]["first"]) == ("once", "2026-12-31T21:00:00+00:00")
    assert xyops(tmp_path, [manual])["job"]["schedule"] == {"type": "manual"}
    assert xyops(tmp_path, [{**twice[0], "enabled": False}])["job"]["schedule"] == {"type": "manual"}
    assert '"enabled":false' in entry["disable"]
    longer = [{"type": "interval", "start": 1754580000, "duration": 31_536_001}]
    far = [{"type": "single", "epoch": 999_999_999_999}]
    for triggers in ([twice[0], {**twice[0], "minutes": [1]}], [twice[0], {"type": "nth", "every": 2}], longer, far):
        entry = xyops(tmp_path, triggers)
        assert (state_of(entry), entry["job"]["schedule"]) == (State.OPEN, {"type": "manual"}), triggers


def test_limits_and_actions_of_xyops(tmp_path: Path) -> None:
    limits = [
        {"type": "time", "enabled": True, "duration": 60},
        {"type": "job", "amount": 1},
        {"type": "retry", "amount": 3, "duration": 5},
        {"type": "mem", "amount": 1},
    ]
    actions = [
        {"condition": "error", "type": "email", "email": "a@example.com"},
        {"condition": "error", "type": "web_hook", "web_hook": "w1"},
    ]
    entry = xyops(tmp_path, [{"type": "schedule", "hours": [1], "minutes": [0]}], limits=limits, actions=actions)
    job = entry["job"]
    assert (job["timeout_seconds"], job["overlap"], job["retry_policy"]["max_retries"]) == (60, "skip", 3)
    assert job["notifications"] == {"on_failure": ["a@example.com"]}
    assert state_of(entry) is State.READY
    actions = [{"condition": "success", "type": "run_event", "event_id": "e2"}]
    assert state_of(xyops(tmp_path, [{"type": "manual"}], actions=actions)) is State.OPEN


def test_timings_that_are_refused() -> None:
    with pytest.raises(TimingRefused, match="days are not all between"):
        read_timing({"days": [40]})
    assert read_timing(None) is None
