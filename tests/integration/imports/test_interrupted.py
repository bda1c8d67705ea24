"""`jobwright import apply` against a server by HTTP and against the registry of this machine, killed at many points; and cut-over."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.commands import Forked, jobwright
from tests.support import Service, eventually

ENTRIES = 24
POINTS = (0, 1, 2, 5, 9, 14, 20)  # how many entries have a record when the command is killed


@pytest.fixture(scope="module")
def service(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("imports")
    started = Service("web", uri=mongod, database=f"imports_{os.getpid()}", data_dir=folder, warm=True).wait_ready()
    yield started
    started.stop()


@pytest.fixture(params=["server", "local"])
def environment(request: pytest.FixtureRequest, service: Service) -> dict[str, str]:
    """That of a command that speaks with a server by a token for reading and writing, or with the registry itself."""
    if request.param == "local":
        return dict(service.environment)
    return remote(service, "read", "write")


def remote(service: Service, *scopes: str) -> dict[str, str]:
    clean = {name: value for name, value in service.environment.items() if not name.startswith(("JOBWRIGHT_", "MONGODB_"))}
    return {**clean, "JOBWRIGHT_SERVER": service.address, "JOBWRIGHT_TOKEN": service.token(scopes=list(scopes))}


def plan_of(environment: dict[str, str], folder: Path, text: str) -> Path:
    tab, plan = folder / "tab", folder / "plan.json"
    tab.write_text(text)
    words = ("--machine", f"m-{folder.name}", "--zone", "Europe/Berlin", "--layout", "user", "--output", str(plan))
    jobwright(environment, "import", "plan", str(tab), *words, check=True)
    return plan


def rows(environment: dict[str, str], *words: str) -> list[dict[str, str]]:
    done = jobwright(environment, "import", *words, "--json")
    found: list[dict[str, str]] = json.loads(done.stdout)["entries"]
    return found


def test_an_import_that_is_killed_at_any_point_is_completed_by_the_next_and_makes_each_job_once(
    service: Service, environment: dict[str, str], mongod: str, tmp_path: Path
) -> None:
    lines = (f"# Call {number} of {tmp_path.name}\n{number} 3 * * * curl -fsS https://example.com/{number}\n" for number in range(ENTRIES))
    plan = plan_of(environment, tmp_path, "".join(lines))
    source = json.loads(plan.read_text())["source"]["name"]
    with MongoClient[dict[str, Any]](mongod) as client:
        database = client[service.environment["JOBWRIGHT_DATABASE"]]
        for point in POINTS:
            process = Forked(environment, ("import", "apply", str(plan)), out=tmp_path / "out", err=tmp_path / "err")
            eventually(lambda point=point: database["imports"].count_documents({"source": source}) >= point, seconds=60)
            process.kill()
            process.wait(60)
        done = rows(environment, "apply", str(plan))
        assert {row["result"] for row in done} <= {"created", "exists"}
        assert len(done) == ENTRIES
        assert {row["result"] for row in rows(environment, "apply", str(plan))} == {"exists"}
        imported = list(database["imports"].find({"source": source}))
        assert len(imported) == ENTRIES
        assert {row["state"] for row in imported} == {"made"}
        assert database["dynamic_jobs"].count_documents({"_id": {"$in": [row["job_id"] for row in imported]}}) == ENTRIES
        names = [row["name"] for row in imported]
        assert database["dynamic_jobs"].count_documents({"name": {"$in": names}}) == len(set(names)) == ENTRIES
    back = rows(environment, "roll-back", str(plan))
    assert [row["result"] for row in back] == ["deleted"] * ENTRIES


def test_a_token_that_may_only_read_plans_and_imports_nothing(service: Service, tmp_path: Path) -> None:
    reader = remote(service, "read")
    plan = plan_of(reader, tmp_path, "0 3 * * * curl -fsS https://example.com/only\n")
    refused = jobwright(reader, "import", "apply", str(plan))
    assert refused.returncode != 0
    assert "failed" in refused.stdout
    assert rows(remote(service, "read", "write"), "roll-back", str(plan)) == []


def test_cut_over_switches_on_what_is_disabled_and_nothing_twice(service: Service, tmp_path: Path) -> None:
    environment = remote(service, "read", "write")
    plan = plan_of(environment, tmp_path, "".join(f"{n} 4 * * * curl -fsS https://example.com/cut{n}\n" for n in range(3)))
    tab = tmp_path / "tab"
    jobwright(environment, "import", "apply", str(plan), check=True)
    first = jobwright(environment, "import", "cut-over", str(plan), "--count", "2")
    assert (first.returncode, first.stdout.count("active    ")) == (1, 2)
    assert "| sed '1s/^/#jobwright# /' |" in first.stdout
    lines = tab.read_text().splitlines()
    tab.write_text("\n".join(["# new", "5" + lines[0], *lines[1:]]) + "\n")
    edited = rows(environment, "cut-over", str(plan))
    assert [row["result"] for row in edited] == ["changed", "active", "active"], "the first one runs at another time"
    assert "sed '4s/" in edited[2]["detail"]
    tab.write_text("\n".join(["#jobwright# " + lines[0], "#jobwright# " + lines[1], lines[2]]) + "\n")
    assert [row["result"] for row in rows(environment, "cut-over", str(plan))] == ["on", "on", "active"]
    assert [row["result"] for row in rows(environment, "cut-over", str(plan))] == ["active"]
    assert [row["result"] for row in rows(environment, "cut-over", str(plan), "--disabled")] == ["on"]
    assert "No job waits to be switched on" in jobwright(environment, "import", "cut-over", str(plan), check=True).stderr
    twice = jobwright(environment, "import", "verify", str(plan))
    assert (twice.returncode, twice.stdout.count("runs twice")) == (1, 1)


def test_apply_says_how_the_jobs_are(service: Service, tmp_path: Path) -> None:
    environment = remote(service, "read", "write")
    name = tmp_path.name
    plan = plan_of(
        environment,
        tmp_path,
        f"# {name} a\n0 6 * * * curl -fsS https://x.example.com/a\n# {name} b\n@reboot curl -fsS https://x.example.com/b\n",
    )
    for options in (("--shadow",), ()):
        text = jobwright(environment, "import", "apply", str(plan), *options, check=True).stdout
        assert "These jobs are in shadow mode." in text
        assert (text.count("These jobs "), text.count("| sed '")) == (1, 2)
    jobwright(environment, "job", "pause", f"{name} a", check=True)
    assert "These jobs are paused. Before" in jobwright(environment, "import", "apply", str(plan), check=True).stdout
    jobwright(environment, "import", "cut-over", str(plan), "--disabled", check=True)
    text = jobwright(environment, "import", "apply", str(plan), check=True).stdout
    assert "These jobs are switched on. Disable" in text
    assert "These jobs have no schedule" in text
    assert text.count("These jobs ") == 2
    with service.api() as api:
        rows_of = api.get("/api/admin/imports", params={"source": json.loads(plan.read_text())["source"]["name"]}).json()["imports"]
        (job_id,) = [row["job_id"] for row in rows_of if row["name"] == f"{name} a"]
        assert api.delete(f"/api/admin/scheduler-jobs/{job_id}").status_code == 200
    gone = jobwright(environment, "import", "apply", str(plan), check=True).stdout
    assert f"{name} a. Somebody has deleted the job since" in gone
    assert gone.count("| sed '") == 1


def test_roll_back_deletes_what_its_plan_has_created_and_names_what_stays(service: Service, tmp_path: Path) -> None:
    environment = remote(service, "read", "write")
    lines = [f"# {tmp_path.name} {n}\n{n} 5 * * * curl -fsS https://example.com/{n}\n" for n in range(4)]
    first = plan_of(environment, tmp_path, "".join(lines[:3])).rename(tmp_path / "first.json")
    jobwright(environment, "import", "apply", str(first), check=True)
    source = json.loads(first.read_text())["source"]["name"]
    with service.api() as api:
        jobs = {row["name"]: row["job_id"] for row in api.get("/api/admin/imports", params={"source": source}).json()["imports"]}
        changed = api.put(f"/api/admin/scheduler-jobs/{jobs[f'{tmp_path.name} 2']}", json={"description": "mine"})
        assert changed.status_code == 200
    second = plan_of(environment, tmp_path, "".join(lines[:2] + lines[3:]))
    assert [row["result"] for row in rows(environment, "apply", str(second))] == ["exists", "exists", "created"]

    back = jobwright(environment, "import", "roll-back", str(second), check=True)
    assert sorted(line.split()[0] for line in back.stdout.splitlines()) == ["deleted", "other", "other", "other", "to"]
    assert f"other plan {tmp_path.name} 0: the plan {json.loads(first.read_text())['hash'][:16]} has created it. It stays." in back.stdout
    assert "add --all-plans" in back.stderr
    nothing = jobwright(environment, "import", "roll-back", str(second), check=True)
    assert "Nothing of this plan was applied." in nothing.stderr

    rest = jobwright(environment, "import", "roll-back", str(second), "--all-plans")
    assert (rest.returncode, rest.stdout.count("deleted ")) == (1, 2)
    assert "was changed after the import" in rest.stdout
    assert rest.stdout.count("to enable the original again") == 2
    assert [row["result"] for row in rows(environment, "roll-back", str(first))] == ["kept"]


def test_only_entries_that_differ_at_clock_changes_wait_for_that_decision(service: Service, tmp_path: Path) -> None:
    environment = remote(service, "read", "write")
    lines = "0 3 * * * curl -fsS https://example.com/same\n5-2,*/10 2 * * * curl -fsS https://example.com/changed\n"
    plan = plan_of(environment, tmp_path, lines)
    refused = jobwright(environment, "import", "apply", str(plan), check=True).stdout
    assert [line.split()[0] for line in refused.splitlines()[:2]] == ["created", "open"]
    assert "only the old scheduler starts at " in refused
    assert "  --decide clock-changes=accept: These jobs are created with their own times.\n" in refused
    assert jobwright(environment, "import", "verify", str(plan)).stdout.count("as planned") == 1
    assert [row["result"] for row in rows(environment, "apply", str(plan), "--decide", "clock-changes=leave-out")] == ["exists", "left out"]
    assert [row["result"] for row in rows(environment, "cut-over", str(plan), "--disabled")] == ["on"]

    assert [row["result"] for row in rows(environment, "apply", str(plan), "--decide", "clock-changes=accept")] == ["exists", "created"]
    assert [row["result"] for row in rows(environment, "cut-over", str(plan), "--disabled")] == ["on"]
    chosen = json.loads(plan.read_text())
    chosen["decisions"][0]["chosen"] = "accept"
    plan.write_text(json.dumps(chosen))
    assert [row["result"] for row in rows(environment, "apply", str(plan))] == ["exists", "exists"]
    assert jobwright(environment, "import", "verify", str(plan)).stdout.count("runs twice") == 2
    assert [row["result"] for row in rows(environment, "roll-back", str(plan))] == ["deleted", "deleted"]
