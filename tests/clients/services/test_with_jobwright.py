"""Services and a served Jobwright: one with the library, in WSGI and in ASGI, and one without it keep one contract."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.services.driver import Program
from tests.clients.services.served import Installation
from tests.clients.services.test_contract import COMMANDS
from tests.lengths import LONG
from tests.support import eventually

LOAD = 1000 if LONG else 30  # runs during a rolling deployment
RESULT = {"success": True, "itemsProcessed": 2, "itemsSucceeded": 2, "itemsFailed": 0}


@pytest.fixture(scope="module")
def installation(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(mongod, tmp_path_factory.mktemp("installation"))
    yield made
    made.close()


Start = Callable[[str], Program]


@pytest.fixture(params=COMMANDS)
def start(request: pytest.FixtureRequest, installation: Installation, tmp_path: Path) -> Iterator[Start]:
    """Starts an instance of a version."""
    started: list[Program] = []

    def start(version: str) -> Program:
        started.append(installation.program(COMMANDS[request.param], tmp_path / str(len(started)), version, JOBWRIGHT_GRACE_SECONDS="10"))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.terminate()
    for program in started:
        program.ended()
        program.stop()


@pytest.fixture
def program(start: Start) -> Program:
    return start(uuid.uuid4().hex[:6])


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that opens the gate of a run; it is open in the end in any case."""
    path = tmp_path / "gate"
    yield path
    path.touch()


def test_runs_end_as_the_service_says(installation: Installation, program: Program, gate: Path) -> None:
    counted, accepted, fails = (
        installation.run("count", {"items": 12, "bad": 2}),
        installation.run("gated", {"gate": str(gate)}),
        installation.run("fails", {"how": "permanent"}),
    )
    eventually(lambda: "waiting at the gate" in installation.log(accepted), every=0.1)
    assert installation.execution(accepted)["status"] == "running"
    gate.touch()
    ended = installation.ended(counted)
    assert ended["status"] == "success"
    assert (ended["result"]["itemsProcessed"], ended["result"]["itemsSucceeded"], ended["result"]["itemsFailed"]) == (12, 10, 2)
    ended = installation.ended(accepted)
    assert ended["status"] == "success", ended
    assert "through the gate" in installation.log(accepted)
    ended = installation.ended(fails)
    assert ended["status"] == "failed"
    assert "failed: permanent" in str(ended["attempts"])
    assert [program.effects(execution) for execution in (counted, accepted, fails)] == [1, 1, 1]


def test_forged_reports_are_refused_and_change_nothing(installation: Installation, program: Program, gate: Path) -> None:
    execution = installation.run("gated", {"gate": str(gate)})
    url = program.callback(execution)
    end = f"{url}/complete"
    assert installation.report(end, RESULT, unsigned=True).status_code == 401
    assert installation.report(end, RESULT, key=f"whsec_{secrets.token_hex(16)}").status_code == 401
    for seconds in (-301, 330):  # the clock goes on meanwhile; tests with a clock of their own try 301 s ahead
        assert installation.report(end, RESULT, seconds=seconds).status_code == 401
    assert installation.report(f"{url[:-4]}AAAA/complete", RESULT).status_code == 404
    assert installation.report(f"{url}/heartbeat", {}, seconds=-290).status_code == 200
    assert installation.execution(execution)["status"] == "running"
    gate.touch()
    assert installation.ended(execution)["result"]["metadata"] == {"gate": str(gate)}


def test_a_doubled_end_is_answered_alike_and_what_comes_after_it_is_refused(
    installation: Installation, program: Program, gate: Path
) -> None:
    execution = installation.run("gated", {"gate": str(gate)})
    url = program.callback(execution)
    with ThreadPoolExecutor(10) as pool:
        doubled = list(pool.map(lambda _: installation.report(f"{url}/complete", RESULT), range(10)))
    assert {answer.status_code for answer in doubled} == {200}
    assert {answer.json()["status"] for answer in doubled} == {"success"}
    before = installation.ended(execution)
    late = {
        "complete": {**RESULT, "itemsProcessed": 3, "itemsSucceeded": 3},
        "fail": {"error": "late"},
        "progress": {"done": 1},
        "logs": {"first": 1, "lines": [{"level": "INFO", "message": "a late line"}]},
        "heartbeat": {},
        "extend": {"seconds": 60},
    }
    assert {name: installation.report(f"{url}/{name}", body).status_code for name, body in late.items()} == dict.fromkeys(late, 409)
    assert installation.execution(execution) == before
    assert "a late line" not in installation.log(execution)


def test_a_report_of_an_older_attempt_is_refused(installation: Installation, program: Program, gate: Path) -> None:
    execution = installation.run("gated", {"gate": str(gate)})
    first = program.callback(execution)
    assert installation.report(f"{first}/fail", {"error": "the test fails the first attempt"}).status_code == 200
    eventually(lambda: installation.attempts(execution) == 2, every=0.05)
    assert installation.report(f"{first}/complete", RESULT).status_code == 409
    assert installation.report(f"{first}/fail", {"error": "again"}).status_code == 409
    gate.touch()
    ended = installation.ended(execution)
    assert ended["status"] == "success", ended
    assert ended["result"]["metadata"] == {"gate": str(gate)}
    assert installation.attempts(execution) == 2


def test_an_end_after_the_deadline_is_refused(installation: Installation, program: Program, gate: Path) -> None:
    execution = installation.run("brief", {"gate": str(gate)}, retries=0)
    url = program.callback(execution)
    assert installation.ended(execution)["status"] == "timeout"
    gate.touch()
    assert installation.report(f"{url}/complete", RESULT).status_code == 409
    assert installation.execution(execution)["status"] == "timeout"


def test_a_storm_of_duplicates_has_one_effect(installation: Installation, program: Program, gate: Path) -> None:
    execution = installation.run("gated", {"gate": str(gate)})
    program.callback(execution)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: installation.call(program, "gated", execution), range(10)))
        assert {answer.status_code for answer in answers} == {202}
        gate.touch()
        assert installation.ended(execution)["status"] == "success"
        answers = list(pool.map(lambda _: installation.call(program, "gated", execution), range(10)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert program.effects(execution) == 1
    assert installation.attempts(execution) == 1


def test_a_key_is_rotated_without_a_refused_call(installation: Installation, start: Start) -> None:
    old = start(uuid.uuid4().hex[:6])
    installation.rotate_key()
    execution = installation.run("count", {"items": 1})
    assert installation.ended(execution)["status"] == "success"
    new = start(uuid.uuid4().hex[:6])  # with both keys, the new one first
    old.terminate()
    old.ended()
    installation.remove_previous_key()
    execution = installation.run("count", {"items": 2})
    assert installation.ended(execution)["status"] == "success"
    assert new.effects(execution) == 1


def test_410_retires_the_job(installation: Installation, program: Program) -> None:
    assert program.process.poll() is None
    with installation.served.client(installation.token) as client:
        body = {"name": "gone", "serviceName": "contract-service", "serviceUrl": program.address}
        answer = client.post("/api/jobs/register", json=body)
        assert answer.json()["created"] + answer.json()["updated"] == ["gone"], answer.text
    execution = installation.run("gone", {})
    ended = installation.ended(execution)
    assert ended["status"] == "failed"
    assert len(ended["attempts"]) == 1
    eventually(lambda: not installation.jobs("gone"), every=0.1)
    assert installation.execution(execution)["status"] == "failed"


def test_during_a_rolling_deployment_no_run_fails_and_none_is_done_twice(installation: Installation, start: Start) -> None:
    old, new = uuid.uuid4().hex[:6], uuid.uuid4().hex[:6]
    first = [start(old), start(old)]
    installation.allow_many("count")
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(installation.run, "count", {"items": number}) for number in range(LOAD)]
        second = [start(new)]
        first[0].terminate()
        first[0].ended()
        second.append(start(new))
        first[1].terminate()
        first[1].ended()
        executions = [run.result() for run in runs]
    assert {installation.ended(execution)["status"] for execution in executions} == {"success"}
    effects = {execution: sum(program.effects(execution) for program in (*first, *second)) for execution in executions}
    assert set(effects.values()) == {1}
    assert installation.ready(old) == 0
