"""CronJobs of Kubernetes: expressions as robfig/cron reads them, policies, containers in the cluster and without it, and hostile files."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from app.imports.fires import trigger_of, trigger_times
from app.imports.plan import Plan, State, decide, make_plan, state_of
from app.imports.robfig_fields import RobfigRefused, every_seconds, read_robfig, split_zone
from app.imports.sources import SOURCES, SourceError, SourceOptions
from tests.builders.foreign import kubernetes as corpus
from tests.builders.foreign.checks import check_corpus
from tests.builders.plans import NOW
from tests.lengths import one_in


def plan_of(place: Path, *, zone: str = "UTC", **own: str) -> Plan:
    return make_plan(SOURCES["kubernetes"], str(place), SourceOptions(machine="c1", timezone=zone, own=own), NOW)


def one(folder: Path, *, zone: str = "UTC", run: str = "", **changes: Any) -> Any:
    """The entry of a CronJob whose spec has these changes."""
    job = corpus.cron_job(Random(3), 1)
    job["spec"] = {**{key: job["spec"][key] for key in ("schedule", "jobTemplate")}, **changes}
    (folder / "a.yaml").write_text(yaml.safe_dump(job))
    return plan_of(folder / "a.yaml", zone=zone, **({"run": run} if run else {}))["entries"][0]


def test_two_hundred_cron_jobs(tmp_path: Path) -> None:
    folder = corpus.write(tmp_path / "manifests")
    check_corpus(plan_of(folder, zone="Europe/Berlin"), 200)
    here = plan_of(folder, run="here")
    assert all(state_of(entry) is State.OPEN for entry in here["entries"])
    decide(here, ["all=program"])
    decide(here, ["all=approve"])
    decide(here, ["all=script"])
    assert [entry["id"] for entry in here["entries"] if state_of(entry, here) is State.OPEN] == [
        entry["id"] for entry in here["entries"] if entry["plan_decisions"]
    ]
    decide(here, ["clock-changes=accept"])
    assert {state_of(entry, here) for entry in here["entries"]} == {State.READY}


# -- expressions -------------------------------------------------------------------------------------------------------


def made(random: Random) -> str:
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    names = ((), (), (), ("JAN", "jul", "dec"), ("SUN", "mon", "Fri"))

    def field(place: int) -> str:
        low, high = bounds[place]
        left, right, step = random.randint(low, high), random.randint(low, high), random.randint(1, high)
        first, last = min(left, right), max(left, right)
        choices = [
            str(left),
            "*",
            "*",
            "?",
            f"*/{step}",
            f"{left}/{step}",
            f"{first}-{last}",
            f"{first}-{last}/{step}",
            f"{left},{right}",
            f"*,{left}",
        ]
        return random.choice([*choices, *names[place]])

    return " ".join(field(place) for place in range(5))


def walk(text: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Each minute of a span in which an expression is due, by the bits of robfig/cron: the star bit goes with a step of more than 1."""
    bits, stars = [], []
    for field, (low, high), names in zip(
        text.lower().split(),
        ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6)),
        ({}, {}, {}, {"jan": 1, "jul": 7, "dec": 12}, {"sun": 0, "mon": 1, "fri": 5}),
        strict=True,
    ):
        number, star = 0, False
        for term in field.split(","):
            span, *step = term.split("/")
            ends = [names.get(end, end) for end in span.split("-")]
            begin, end = (low, high) if ends[0] in {"*", "?"} else (int(ends[0]), int(ends[-1]))
            if step and len(ends) == 1:
                end = high
            jump = int(step[0]) if step else 1
            star |= ends[0] in {"*", "?"} and jump == 1
            for value in range(begin, end + 1, jump):
                number |= 1 << value
        bits.append(number)
        stars.append(star)
    at = after + timedelta(minutes=1)
    while at <= until:
        if not bits[3] >> at.month & 1:
            at = (at.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            continue
        days, weekdays = bool(bits[2] >> at.day & 1), bool(bits[4] >> at.isoweekday() % 7 & 1)
        if not ((days and weekdays) if stars[2] or stars[4] else (days or weekdays)):
            at = at.replace(hour=0, minute=0) + timedelta(days=1)
            continue
        if bits[1] >> at.hour & 1 and bits[0] >> at.minute & 1:
            yield at
        at += timedelta(minutes=1)


def test_generated_expressions_fire_when_kubernetes_fires_them() -> None:
    """2,000 expressions: a walk over the minutes, the fields that are read, and the job have the same times."""
    random = Random(4)
    start = datetime(2026, 11, 30, tzinfo=UTC)
    for text in one_in(10, [made(random) for _ in range(2000)]):
        read = read_robfig(text)
        until = start + timedelta(days=500)
        expected = list(islice(walk(text, start, until), 40))
        assert list(islice(read.times("UTC", start, until), 40)) == expected, text
        if expected:
            trigger = trigger_of({"type": "cron", "expression": read.expression(), "timezone": "UTC"})
            assert trigger.not_computable() is None, (text, read.expression())
            assert list(islice(partial(trigger_times, trigger)(start, until), 40)) == expected, (text, read.expression())


@pytest.mark.parametrize(
    "text",
    [
        "* * * *",
        "60 * * * *",
        "* * * * 7",
        "*-5 * * * *",
        "5-1 * * * *",
        "* * * * xyz",
        "*/0 * * * *",
        "@monday",
        ", * * * *",
        "1/x * * * *",
    ],
)
def test_expressions_that_are_refused(text: str) -> None:
    with pytest.raises(RobfigRefused):
        read_robfig(text)


def test_zones_and_durations() -> None:
    assert split_zone("CRON_TZ=Asia/Tokyo 0 6 * * *") == ("Asia/Tokyo", "0 6 * * *")
    assert split_zone("TZ=UTC  @daily") == ("UTC", "@daily")
    assert (every_seconds("@every 1h30m"), every_seconds("@daily")) == (5400, None)
    with pytest.raises(RobfigRefused):
        every_seconds("@every soon")


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_a_cron_job_stays_in_the_cluster(tmp_path: Path) -> None:
    entry = one(tmp_path, schedule="0 6 * * 1", timeZone="Europe/Berlin", concurrencyPolicy="Replace", startingDeadlineSeconds=200)
    job = entry["job"]
    assert state_of(entry) is State.READY
    assert job["schedule"] == {"type": "cron", "expression": "0 6 * * 1", "timezone": "Europe/Berlin"}
    assert (job["overlap"], job["misfire"]) == ("replace", {"policy": "skip", "grace_seconds": 200})
    namespace = entry["job"]["parameters"]["arguments"][0]
    assert job["parameters"] == {"program": "/usr/local/lib/jobwright/run-cronjob.sh", "arguments": [namespace, "job-1", "3600"]}
    assert "kubectl" in entry["script"]
    assert entry["disable"] == f'kubectl --namespace {namespace} patch cronjob job-1 --patch \'{{"spec":{{"suspend":true}}}}\''
    assert entry["enable"].endswith("false}}'")


@pytest.mark.parametrize("place", ["name", "namespace"])
@pytest.mark.parametrize("name", ["--all", "-x", "Nightly", "a b", "a;b", "x" * 53, "a/b"])
def test_a_name_that_no_cluster_has_is_refused(tmp_path: Path, place: str, name: str) -> None:
    manifest = corpus.cron_job(Random(1), 1)
    manifest["metadata"][place] = name
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(manifest))
    (entry,) = plan_of(tmp_path / "a.yaml")["entries"]
    if place == "namespace" and name.startswith("xx"):
        assert entry["kind"] == "job"
        return
    assert (entry["kind"], entry["disable"]) == ("invalid", "")
    assert repr(name) in entry["reason"]


def test_the_proposed_script_is_one_for_sh(tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text(one(tmp_path)["script"])
    shell = shutil.which("sh")
    assert shell
    assert subprocess.run([shell, "-n", script], check=False).returncode == 0


@pytest.mark.parametrize(("ends", "code"), [("complete", 0), ("failed", 1)])
def test_the_proposed_script_waits_for_the_job_and_prints_its_output(tmp_path: Path, ends: str, code: int) -> None:
    script, tool = tmp_path / "run", tmp_path / "kubectl"
    script.write_text(one(tmp_path)["script"])
    tool.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\ncase "$*" in *wait*condition={ends}*) exit 0;; *wait*) exit 1;; *logs*) echo done;; esac\n'
    )
    tool.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    shell = shutil.which("sh") or "/bin/sh"
    done = subprocess.run(
        [shell, script, "shop", "nightly", "60"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, "done" in done.stdout) == (code, True)
    assert "--namespace shop create job nightly-" in (tmp_path / "calls").read_text()


def test_a_command_without_its_container_must_be_decided(tmp_path: Path) -> None:
    entry = one(tmp_path, run="here")
    assert state_of(entry) is State.OPEN
    assert entry["job"]["parameters"]["arguments"][-2:] == ["--days", "30"]
    assert entry["job"]["parameters"]["environment"] == {"REGION": "eu"}
    assert "DB_PASSWORD" in entry["job"]["parameters"]["secrets"]
    assert [need["secret"] for need in entry["needs"]] == ["the value of DB_PASSWORD"]


def test_what_the_cluster_fills_in_and_an_entrypoint_are_asked_about(tmp_path: Path) -> None:
    template = corpus.cron_job(Random(3), 1)["spec"]["jobTemplate"]
    container = template["spec"]["template"]["spec"]["containers"][0]
    container.pop("command", None)
    container |= {"workingDir": "/app", "envFrom": [{"configMapRef": {"name": "settings"}}]}
    container["env"] = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "API_TOKEN", "value": "hunter22"},
    ]
    entry = one(tmp_path, run="here", jobTemplate=template)
    assert "hunter22" not in json.dumps(entry)
    asked = " ".join(decision["question"] for decision in entry["decisions"])
    assert "POD, all of settings" in asked
    assert "$ENTRYPOINT" in entry["script"]


def test_suspended_jobs_stay_so_and_intervals(tmp_path: Path) -> None:
    entry = one(tmp_path, suspend=True, schedule="@every 1h30m")
    assert entry["disabled"] == "is suspended"
    assert entry["job"]["schedule"] == {"type": "interval", "interval_seconds": 5400}
    entry = one(tmp_path, schedule="@every 9000h")
    assert (state_of(entry), entry["job"]["schedule"]) == (State.OPEN, {"type": "manual"})


def test_the_zone_of_the_controller_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--zone UTC"):
        one(tmp_path, zone="")
    assert one(tmp_path, zone="", schedule="TZ=Asia/Tokyo 0 1 * * *")["job"]["schedule"]["timezone"] == "Asia/Tokyo"
    with pytest.raises(SourceError, match="not an IANA"):
        one(tmp_path, zone="Mars/Base")
    with pytest.raises(SourceError, match="not a way to run"):
        one(tmp_path, run="there")


@pytest.mark.parametrize(
    ("changes", "words"), [({"schedule": "x"}, "fields"), ({"timeZone": "Mars"}, "IANA"), ({"jobTemplate": {}}, "no containers")]
)
def test_what_the_api_server_refuses(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    entry = one(tmp_path, **changes)
    assert (entry["kind"], words in entry["reason"]) == ("invalid", True)


# -- files -------------------------------------------------------------------------------------------------------------

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "too many or too deeply"),
        ("a: &a [*a]\n", "too many or too deeply|not valid YAML"),
        ("a: [1\nb: }", "line 2"),
        ("kind: CronJob\nspec: {{ .Values.x }}\n  a", "helm template"),
        ("[" * 100_000, "not valid YAML|too deeply"),
        ("{" * 50_000, "not valid YAML|too deeply"),
        ("kind: ConfigMap", "has no CronJob"),
        ("", "has no CronJob"),
        ("a: !!python/object/apply:os.system ['touch /tmp/no']", "has no CronJob"),
    ],
)
def test_hostile_files_are_refused_with_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SourceError, match=words):
        plan_of(tmp_path)


def test_wrong_encodings_and_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_bytes("kind: é".encode("latin-1"))
    with pytest.raises(SourceError, match="is not UTF-8: the byte at position 6"):
        plan_of(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfek\0")
    with pytest.raises(SourceError, match="is not UTF-8"):
        plan_of(tmp_path)
    monkeypatch.setattr("app.imports.sources.documents.LARGEST_BYTES", 1)
    with pytest.raises(SourceError, match="more than 1 bytes"):
        plan_of(tmp_path)
    with pytest.raises(SourceError, match="does not exist"):
        plan_of(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no file that can be read"):
        plan_of(tmp_path / "empty")
