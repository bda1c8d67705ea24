"""Jobs of Rundeck: schedules of Quartz, steps, options, nodes, notifications, in YAML and XML."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from app.imports.plan import Plan, State, decide, make_plan, state_of
from app.imports.scripts import read_script
from app.imports.sources import SOURCES, SourceError, SourceOptions
from tests.builders.foreign import rundeck as corpus
from tests.builders.foreign.checks import check_corpus
from tests.builders.plans import NOW


def plan_of(place: Path, *, zone: str = "Europe/Berlin") -> Plan:
    return make_plan(SOURCES["rundeck"], str(place), SourceOptions(machine="web1", timezone=zone), NOW)


def one(folder: Path, *, zone: str = "Europe/Berlin", **changes: Any) -> Any:
    """The entry of a job with these changes; a None takes a field away."""
    job = {
        **corpus.job(Random(1), 1),
        "nodefilters": None,
        "notification": None,
        "retry": None,
        "timeout": None,
        "timeZone": None,
        **changes,
    }
    (folder / "a.yaml").write_text(yaml.safe_dump([{key: value for key, value in job.items() if value is not None}]))
    return plan_of(folder / "a.yaml", zone=zone)["entries"][0]


def steps(*commands: dict[str, Any], keepgoing: bool = False) -> dict[str, Any]:
    return {"keepgoing": keepgoing, "strategy": "node-first", "commands": list(commands)}


def test_two_hundred_jobs(tmp_path: Path) -> None:
    check_corpus(plan_of(corpus.write(tmp_path / "jobs.yaml")), 200)


def test_fields_of_a_job(tmp_path: Path) -> None:
    entry = one(
        tmp_path,
        schedule={"crontab": "0 30 6 ? * 6#3 2027-2028"},
        timeZone="Asia/Tokyo",
        group="shop/reports",
        multipleExecutions=True,
        maxMultipleExecutions="3",
        timeout="1h30m",
        retry={"retry": "2", "delay": "5m"},
        nodefilters={"filter": "name: Web1"},
        notification={
            "onfailure": {"email": {"recipients": "ops@example.com, ${job.user.email}"}},
            "onstart": {"urls": "https://example.com"},
        },
        sequence=steps({"exec": "/opt/a --site ${option.site} '${unquotedoption.days}'", "description": "first"}),
    )
    job = entry["job"]
    assert state_of(entry) is State.READY
    assert job["schedule"] == {
        "type": "calendar",
        "rule": "FREQ=MONTHLY;BYDAY=3FR;BYHOUR=6;BYMINUTE=30",
        "timezone": "Asia/Tokyo",
        "start_at": "2026-12-31T15:00:00+00:00",
        "end_at": "2028-12-31T15:00:00+00:00",
    }
    assert job["parameters"] == {"program": "/opt/a", "arguments": ["--site", "main shop", "30"]}
    assert (job["overlap"], job["concurrency"], job["timeout_seconds"]) == ("allow", {"max_instances": 3}, 5400)
    assert job["retry_policy"] == {"max_retries": 2, "retry_delay_seconds": 300, "backoff": "fixed"}
    assert (job["needs"], job["notifications"], job["tags"]) == (
        ["host=web1"],
        {"on_failure": ["ops@example.com"]},
        ["imported", "shop/reports"],
    )
    identity = entry["disable"].rpartition(" ")[2]
    assert (entry["disable"], entry["enable"]) == (f"rd jobs unschedule --id {identity}", f"rd jobs reschedule --id {identity}")
    assert one(tmp_path, uuid="--all", id="--all")["disable"] == "rd jobs unschedule --id=--all"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (corpus.FORMS[0], "30 5 * * 1,3"),
        (corpus.FORMS[1], "10 * * * *"),
        (corpus.FORMS[2], "0 1 1 * *"),
        (corpus.FORMS[3], "0 */4 * 1-6 6"),
        ({"crontab": "0 0  12 * * ?"}, "0 12 * * *"),
        ({"time": {"hour": "3"}}, "0 3 * * *"),
    ],
)
def test_schedules_in_both_forms(tmp_path: Path, schedule: dict[str, Any], expected: str) -> None:
    assert one(tmp_path, schedule=schedule)["job"]["schedule"]["expression"] == expected


def test_switches_and_jobs_without_a_schedule(tmp_path: Path) -> None:
    entry = one(tmp_path, schedule=None, scheduleEnabled=False, executionEnabled=False)
    assert (entry["job"]["schedule"], entry["disabled"]) == ({"type": "manual"}, "its schedule is off and its execution is off")


def test_scripts_of_one_command_and_others(tmp_path: Path) -> None:
    job = one(tmp_path, sequence=steps({"script": "#!/bin/bash\n# c\nset -e\n/opt/a --b\n"}))["job"]
    assert job["parameters"] == {"program": "/opt/a", "arguments": ["--b"]}
    entry = one(tmp_path, sequence=steps({"script": "a=1\n/opt/a $a $RD_OPTION_SITE @option.days@\n", "args": "x ${option.days}"}))
    assert state_of(entry) is State.OPEN
    assert entry["script"] == "#!/bin/sh\nexport RD_OPTION_SITE='main shop'\nset -- x 30\na=1\n/opt/a $a $RD_OPTION_SITE 30\n\n"
    entry = one(tmp_path, sequence=steps({"script": "print(1)", "scriptInterpreter": "python3"}))
    assert entry["script"].startswith("#!/usr/bin/env python3\nprint(1)\n")
    assert read_script("#!\n/a").shell == "/bin/sh"


def test_several_steps_are_one_script(tmp_path: Path) -> None:
    several = ({"exec": "/opt/a"}, {"exec": "/opt/b", "errorhandler": {"exec": "/opt/c"}})
    assert "/opt/a && /opt/b || /opt/c" in one(tmp_path, sequence=steps(*several))["script"]
    assert "/opt/a ; /opt/b" in one(tmp_path, sequence=steps(*several, keepgoing=True))["script"]
    assert "/opt/a && {\nx\ny" in one(tmp_path, sequence=steps({"exec": "/opt/a"}, {"script": "x\ny"}))["script"]


@pytest.mark.parametrize(
    ("changes", "choice"),
    [
        ({"sequence": steps({"jobref": {"name": "Other", "group": "x"}})}, "by-hand"),
        ({"sequence": steps({"scripturl": "https://example.com/x.sh"})}, "by-hand"),
        ({"sequence": steps({"type": "com.example.step", "nodeStep": True, "configuration": {"a": "b"}})}, "by-hand"),
        ({"sequence": steps({"exec": "/opt/a ${node.hostname}"})}, "by-hand"),
        ({"sequence": steps({"exec": "/opt/a ${job.username}"})}, "by-hand"),
        ({"nodefilters": {"filter": "tags: web"}}, "one"),
        ({"schedule": {"crontab": "* * * L * ?"}}, "manual"),
        ({"schedule": {"crontab": "0 0 0 1 1 ? 2027,2029"}}, "manual"),
        ({"timeZone": "Mars/Base"}, "manual"),
    ],
)
def test_what_a_person_must_decide(tmp_path: Path, changes: dict[str, Any], choice: str) -> None:
    entry = one(tmp_path, **changes)
    assert state_of(entry) is State.OPEN
    assert choice in {known for decision in entry["decisions"] for known in decision["choices"]}


def test_secure_options_and_secrets_are_not_in_a_plan(tmp_path: Path) -> None:
    options = [{"name": "pw", "secure": True, "storagePath": "keys/db", "value": "hunter21"}, {"name": "api_token", "value": "hunter22"}]
    entry = one(tmp_path, options=options, sequence=steps({"exec": "/opt/a --password ${option.pw} --token=hunter23 ${option.api_token}"}))
    assert "hunter" not in json.dumps(entry)
    assert state_of(entry) is State.OPEN
    assert "‹secret-1›" in entry["script"]


def test_options_as_an_object_equal_ids_and_refused_schedules(tmp_path: Path) -> None:
    entry = one(tmp_path, options={"site": {"value": "x"}}, sequence=steps({"exec": "/opt/a ${option.site} ${job.name}"}))
    assert entry["job"]["parameters"]["arguments"][0] == "x"
    job = corpus.job(Random(1), 1)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump([job, job]))
    assert len({entry["id"] for entry in plan_of(tmp_path / "a.yaml")["entries"]}) == 2
    entry = one(tmp_path, schedule={"crontab": "0 0 0 * * *"})
    assert (entry["kind"], "either as day of month or as day of week" in entry["reason"]) == ("invalid", True)
    with pytest.raises(SourceError, match="such as --zone"):
        one(tmp_path, zone="")


XML = """<joblist>
  <job>
    <executionEnabled>true</executionEnabled><id>u1</id><uuid>u1</uuid><name>From XML</name><loglevel>INFO</loglevel>
    <context><options preserveOrder='true'><option name='site' value='a b' /><option name='n' value='2' required='true' /></options></context>
    <notification><onfailure><email recipients='ops@example.com' /></onfailure></notification>
    <nodefilters><filter>web1</filter></nodefilters>
    <schedule><month month='*' /><time hour='05' minute='30' seconds='0' /><weekday day='MON-FRI' /><year year='*' /></schedule>
    <scheduleEnabled>true</scheduleEnabled><retry delay='10s'>3</retry>
    <sequence keepgoing='false' strategy='node-first'>
      <command><exec>/opt/a ${option.site}</exec></command>
    </sequence>
  </job>
  <job>
    <id>u2</id><name>Second</name><schedule crontab='0 0 9 L * ? *' />
    <sequence keepgoing='true'>
      <command><scriptargs>x</scriptargs><scriptfile>/opt/b.sh</scriptfile></command>
      <command><node-step-plugin type='copy'><configuration><entry key='a' value='b' /></configuration></node-step-plugin></command>
    </sequence>
  </job>
</joblist>
"""


def test_xml_has_the_same_jobs(tmp_path: Path) -> None:
    (tmp_path / "jobs.xml").write_text(XML)
    first, second = plan_of(tmp_path)["entries"]
    job = first["job"]
    assert (job["name"], job["schedule"]["expression"], job["needs"]) == ("From XML", "30 5 * * 1-5", ["host=web1"])
    assert job["parameters"] == {"program": "/opt/a", "arguments": ["a b"]}
    assert (job["retry_policy"]["max_retries"], job["notifications"]) == (3, {"on_failure": ["ops@example.com"]})
    assert second["job"]["schedule"]["rule"] == "FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=9;BYMINUTE=0"
    assert any("Step 2 is copy" in decision["question"] for decision in second["decisions"])
    plan = plan_of(tmp_path)
    decide(plan, ["all=by-hand"])
    assert {state_of(entry) for entry in plan["entries"]} == {State.READY}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><joblist>&b;</joblist>", "has a document type"),
        ("<joblist><job>", "is not valid XML"),
        ("<joblist/>", "has no jobs"),
        ("<joblist><job>" + "<a>" * 5000 + "</a>" * 5000 + "</job></joblist>", "too deeply nested"),
        ("[]", "has no jobs"),
        ("- name: x\n  - y", "line 2"),
    ],
)
def test_hostile_files_are_refused_with_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SourceError, match=words):
        plan_of(tmp_path)
