"""Services keep the protocol (docs/reference/service-protocol.md): one with the library, in WSGI and in ASGI, and one in plain WSGI."""

from __future__ import annotations

import os
import secrets
import shlex
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.services.driver import TOKEN, CalledProgram, FakeJobwright
from tests.support import eventually

COMMANDS = {
    "library, WSGI": ["python", "-m", "tests.clients.services.programs.library_service"],
    "library, ASGI": [
        "python", "-m", "uvicorn", "tests.clients.services.programs.library_service:app", "--port", "{port}", "--log-level", "warning",
    ],
    "plain WSGI": ["python", "-m", "tests.clients.services.programs.plain_wsgi"],
}  # fmt: off
JOBS = {"count", "gated", "watched", "slow", "brief", "fails"}
if "CONTRACT_SERVICE" in os.environ:
    COMMANDS["CONTRACT_SERVICE"] = shlex.split(os.environ["CONTRACT_SERVICE"])

Start = Callable[..., CalledProgram]


@pytest.fixture(scope="module", params=COMMANDS)
def command(request: pytest.FixtureRequest) -> list[str]:
    return COMMANDS[request.param]


@pytest.fixture(scope="module")
def service(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[CalledProgram]:
    """A service that the tests of this file share; none of them stops it."""
    jobwright = FakeJobwright()
    program = CalledProgram(command, jobwright, tmp_path_factory.mktemp("service"))
    try:
        yield program.wait_ready()
    finally:
        program.stop()
        jobwright.stop()


@pytest.fixture
def start(command: list[str], tmp_path: Path) -> Iterator[Start]:
    """Starts a service of a test's own."""
    started: list[CalledProgram] = []

    def start(jobwright: FakeJobwright | None = None, **settings: str) -> CalledProgram:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(CalledProgram(command, jobwright or FakeJobwright(), folder, **settings))
        return started[-1]

    yield start
    for program in started:
        program.stop()
        program.jobwright.stop()


@pytest.fixture
def execution() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that opens the gate of a run; it is open in the end in any case."""
    path = tmp_path / "gate"
    yield path
    path.touch()


# -- registration ----------------------------------------------------------------------------------------------------


def test_it_registers_its_jobs_with_its_token_and_says_that_it_is_ready(service: CalledProgram) -> None:
    manifest = service.jobwright.manifests[0]
    assert {job["name"] for job in manifest["jobs"]} == JOBS
    assert next(job for job in manifest["jobs"] if job["name"] == "count")["cronExpression"] == "0 9 * * MON"
    assert isinstance(manifest["version"], str)
    beat = service.jobwright.heartbeats[0]
    assert beat["state"] == "ready"
    assert set(beat["jobs"]) == {*JOBS, "gone"}
    assert 0 < len(beat["instance"]) <= 100
    assert set(service.jobwright.tokens) == {f"Bearer {TOKEN}"}


def test_it_registers_when_jobwright_comes_later(start: Start) -> None:
    jobwright = FakeJobwright()
    jobwright.away = True
    program = start(jobwright)
    eventually(program.answers)
    assert not jobwright.manifests
    jobwright.away = False
    program.wait_ready()
    assert jobwright.manifests


# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_callback", [True, False])
def test_a_short_run_answers_with_its_counts(service: CalledProgram, execution: str, with_callback: bool) -> None:
    callback = service.jobwright.attempt() if with_callback else None
    answer = service.call("count", execution, {"items": 12, "bad": 2}, callback=callback)
    assert answer.status_code == 200
    result = answer.json()
    assert result["success"] is True
    assert (result["itemsProcessed"], result["itemsSucceeded"], result["itemsFailed"]) == (12, 10, 2)
    assert result["error"] == "2 of 12 items are bad"


def test_a_long_run_is_accepted_and_reports_lines_progress_and_its_end(service: CalledProgram, execution: str, gate: Path) -> None:
    attempt = service.jobwright.attempt()
    assert service.call("gated", execution, {"gate": str(gate)}, callback=attempt).status_code == 202
    eventually(lambda: service.jobwright.of(attempt, "progress"))
    eventually(lambda: service.jobwright.of(attempt, "heartbeat"))
    gate.touch()
    end = service.jobwright.end_of(attempt)
    assert end.name == "complete"
    assert end.body["success"] is True
    assert end.body["itemsProcessed"] == 2
    assert end.body["metadata"] == {"gate": str(gate)}
    lines = {
        batch.body["first"] + number: line["message"]
        for batch in service.jobwright.of(attempt, "logs")
        for number, line in enumerate(batch.body["lines"])
    }
    assert lines == {1: "waiting at the gate", 2: "through the gate"}
    assert service.jobwright.of(attempt, "progress")[-1].body == {"done": 1, "total": 2, "note": "at the gate"}
    assert all(report.signed for report in service.jobwright.reports)


def test_without_a_callback_a_long_run_answers_in_the_end(service: CalledProgram, execution: str, gate: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.call, "gated", execution, {"gate": str(gate)})
        eventually(lambda: service.effects(execution))
        assert not answer.done()
        gate.touch()
        assert answer.result().status_code == 200
    assert answer.result().json()["itemsSucceeded"] == 2


@pytest.mark.parametrize(
    ("how", "statuses", "words"),
    [
        ("result", {200}, "all 3 items failed"),
        ("error", {200, 500}, "it broke"),
        ("permanent", {400, 422}, "failed: permanent"),
        ("later", {429, 503}, "failed: later"),
    ],
)
def test_a_failure_says_whether_another_attempt_helps(
    service: CalledProgram, execution: str, how: str, statuses: set[int], words: str
) -> None:
    answer = service.call("fails", execution, {"how": how}, callback=service.jobwright.attempt())
    assert answer.status_code in statuses
    assert words in answer.json()["error"]
    assert answer.json().get("success") is not True
    assert answer.headers.get("Retry-After") == ("7" if how == "later" else None)


# -- duplicates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_callback", [True, False])
def test_a_storm_of_duplicates_has_one_effect_and_one_result(service: CalledProgram, execution: str, with_callback: bool) -> None:
    attempt = service.jobwright.attempt() if with_callback else None
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: service.call("count", execution, {"items": 3}, callback=attempt), range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["itemsProcessed"] for answer in answers} == {3}
    assert service.effects(execution) == 1


def test_a_storm_on_a_long_run_has_one_effect_and_one_end(service: CalledProgram, execution: str, gate: Path) -> None:
    attempt = service.jobwright.attempt()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: service.call("gated", execution, {"gate": str(gate)}, callback=attempt), range(10)))
    assert {answer.status_code for answer in answers} == {202}
    gate.touch()
    service.jobwright.end_of(attempt)
    again = service.call("gated", execution, {"gate": str(gate)}, callback=attempt)
    assert again.status_code in {200, 202}
    assert service.effects(execution) == 1
    assert len(service.jobwright.of(attempt, "complete")) == 1


def test_a_further_attempt_of_what_has_succeeded_does_nothing_again(service: CalledProgram, execution: str) -> None:
    first = service.call("count", execution, {"items": 3})
    second = service.call("count", execution, {"items": 3}, attempt=2)
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json()["itemsProcessed"] == 3
    assert service.effects(execution) == 1


def test_a_further_attempt_of_what_has_failed_does_the_work_again(service: CalledProgram, execution: str) -> None:
    for attempt in (1, 2):
        service.call("fails", execution, {"how": "result"}, attempt=attempt)
    assert service.effects(execution) == 2


def test_a_call_of_an_older_attempt_is_refused_with_409(service: CalledProgram, execution: str) -> None:
    service.call("count", execution, attempt=2)
    assert service.call("count", execution, attempt=1).status_code == 409
    assert service.effects(execution) == 1


def test_a_newer_attempt_during_the_work_reports_the_one_result(service: CalledProgram, execution: str, gate: Path) -> None:
    first, second = service.jobwright.attempt(), service.jobwright.attempt()
    config = {"gate": str(gate)}
    assert service.call("gated", execution, config, callback=first).status_code == 202
    eventually(lambda: service.effects(execution))
    assert service.call("gated", execution, config, attempt=2, callback=second).status_code == 202
    first.over = True
    gate.touch()
    assert service.jobwright.end_of(second).body["success"] is True
    assert service.effects(execution) == 1


# -- signatures ------------------------------------------------------------------------------------------------------

FORGERIES: dict[str, Callable[[CalledProgram, str, str], tuple[str, dict[str, str]]]] = {
    "301 s ago": lambda program, body, message: (body, program.signed(body, message, seconds=-301)),
    "30 s more than allowed ahead": lambda program, body, message: (body, program.signed(body, message, seconds=330)),  # the clock goes on
    "another key": lambda program, body, message: (body, program.signed(body, message, keys=[f"whsec_{secrets.token_hex(16)}"])),
    "a changed body": lambda program, body, message: (body.replace('"attempt": 1', '"attempt": 2'), program.signed(body, message)),
    "a flipped byte": lambda program, body, message: (body.replace("scheduler", "schedulex"), program.signed(body, message)),
    "another id": lambda program, body, message: (body, {**program.signed(body, message), "webhook-id": f"{message}0"}),
    "no id": lambda program, body, message: (body, dropped(program.signed(body, message), "webhook-id")),
    "no timestamp": lambda program, body, message: (body, dropped(program.signed(body, message), "webhook-timestamp")),
    "no signature": lambda program, body, message: (body, dropped(program.signed(body, message), "webhook-signature")),
    "nothing": lambda program, body, message: (body, {}),
    "an empty signature": lambda program, body, message: (body, {**program.signed(body, message), "webhook-signature": "v1,"}),
    "another version": lambda program, body, message: (
        body,
        {**program.signed(body, message), "webhook-signature": program.signed(body, message)["webhook-signature"].replace("v1,", "v2,")},
    ),
    "a time that is not one": lambda program, body, message: (body, {**program.signed(body, message), "webhook-timestamp": "now"}),
}


def dropped(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_call_is_refused_with_401_and_does_nothing(service: CalledProgram, execution: str, forgery: str) -> None:
    body, headers = FORGERIES[forgery](service, service.body("count", execution), f"{execution}:1")
    assert service.send("count", body, headers).status_code == 401
    assert service.effects(execution) == 0


@pytest.mark.parametrize("seconds", [-290, 290])
def test_clocks_may_differ_by_nearly_five_minutes(service: CalledProgram, execution: str, seconds: int) -> None:
    body = service.body("count", execution)
    assert service.send("count", body, service.signed(body, f"{execution}:1", seconds=seconds)).status_code == 200


@pytest.mark.parametrize("number", [0, 1])
def test_each_of_two_active_keys_is_taken(service: CalledProgram, execution: str, number: int) -> None:
    body = service.body("count", execution)
    other = f"whsec_{secrets.token_hex(16)}"
    headers = service.signed(body, f"{execution}:1", keys=[other, service.jobwright.keys[number]])
    assert service.send("count", body, headers).status_code == 200


# -- what is not a call ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '"text"', '{"jobName": "count"}', '{"jobName": "gated", "executionId": "e"}'])
def test_a_signed_body_that_is_no_call_is_a_permanent_failure(service: CalledProgram, body: str) -> None:
    status = service.send("count", body, service.signed(body, "e:1")).status_code
    assert 400 <= status < 500
    assert status not in {408, 409, 410, 425, 429}


def test_a_config_that_does_not_fit_is_a_permanent_failure(service: CalledProgram, execution: str) -> None:
    answer = service.call("count", execution, {"items": "many"})
    assert answer.status_code == 422
    assert "items" in answer.json()["error"]
    assert service.effects(execution) == 0


def test_an_unknown_job_is_not_retired_by_accident(service: CalledProgram, execution: str) -> None:
    answer = service.call("unknown", execution)
    assert answer.status_code >= 400
    assert answer.status_code != 410, "during a rolling deployment, another instance may have the job"


def test_a_job_that_is_gone_is_410(service: CalledProgram, execution: str) -> None:
    assert service.call("gone", execution).status_code == 410


@pytest.mark.parametrize("path", ["/api/jobs/count", "/api/jobs/execute", "/api/jobs/a/b/execute", "/api/jobs//execute"])
def test_other_addresses_run_nothing(service: CalledProgram, path: str) -> None:
    assert service.client.post(path, json={}).status_code in {401, 404, 405}


# -- reports ---------------------------------------------------------------------------------------------------------


def test_a_cancelled_run_stops_and_says_so(service: CalledProgram, execution: str, gate: Path) -> None:
    attempt = service.jobwright.attempt()
    service.call("gated", execution, {"gate": str(gate)}, callback=attempt)
    attempt.cancelling = True
    end = service.jobwright.end_of(attempt)
    assert end.body.get("success") is not True


def test_a_run_whose_attempt_is_over_stops_and_ends_nothing(service: CalledProgram, execution: str, gate: Path) -> None:
    attempt = service.jobwright.attempt()
    service.call("gated", execution, {"gate": str(gate)}, callback=attempt)
    eventually(lambda: service.effects(execution))
    attempt.over = True
    eventually(lambda: [one for one in service.jobwright.reports if one.token == attempt.token and one.answered == 409])
    second = service.jobwright.attempt()

    def redone() -> bool:
        """A further attempt is worked on: anew once the older one has stopped, or with its work if it has not stopped yet."""
        answer = service.call("gated", execution, {"gate": str(gate)}, attempt=2, callback=second)
        return answer.status_code == 202

    eventually(redone)
    gate.touch()
    assert service.jobwright.end_of(second).body["success"] is True
    assert not service.jobwright.of(attempt, "complete")
    assert service.effects(execution) in {1, 2}


@pytest.mark.parametrize("answers", [[425], [500, 503], [429]])
def test_an_end_is_reported_until_it_is_taken(service: CalledProgram, execution: str, gate: Path, answers: list[int]) -> None:
    attempt = service.jobwright.attempt()
    service.call("gated", execution, {"gate": str(gate)}, callback=attempt)
    eventually(lambda: service.jobwright.of(attempt, "progress"))
    with service.jobwright.lock:
        attempt.answers = list(answers)
    gate.touch()
    service.jobwright.end_of(attempt)
    assert len(service.jobwright.of(attempt, "complete")) == 1


def test_an_end_outlives_an_outage_of_jobwright(start: Start, execution: str, gate: Path) -> None:
    service = start().wait_ready()
    attempt = service.jobwright.attempt()
    assert service.call("gated", execution, {"gate": str(gate)}, callback=attempt).status_code == 202
    eventually(lambda: service.jobwright.of(attempt, "progress"))
    service.jobwright.away = True
    gate.touch()
    eventually(lambda: [path for path in service.jobwright.missed if path.endswith(("/logs", "/complete"))])
    assert not service.jobwright.of(attempt, "complete")
    service.jobwright.away = False
    assert service.jobwright.end_of(attempt).body["success"] is True
    assert service.effects(execution) == 1


# -- stopping --------------------------------------------------------------------------------------------------------


def test_an_instance_that_stops_finishes_its_work_and_says_goodbye(start: Start, execution: str, gate: Path) -> None:
    service = start().wait_ready()
    attempt = service.jobwright.attempt()
    assert service.call("gated", execution, {"gate": str(gate)}, callback=attempt).status_code == 202
    eventually(lambda: service.effects(execution))
    service.terminate()
    eventually(lambda: "draining" in [beat["state"] for beat in service.jobwright.heartbeats])

    def refused() -> bool:
        """Calls that were on their way are still taken for a moment; after that, another instance has to do it."""
        other = str(uuid.uuid4())
        answer = service.call("count", other)
        assert service.effects(other) == (answer.status_code == 200)
        return answer.status_code == 503 and bool(answer.headers["Retry-After"])

    eventually(refused)
    assert service.process.poll() is None
    gate.touch()
    assert service.jobwright.end_of(attempt).body["success"] is True
    service.ended()
    assert service.jobwright.heartbeats[-1]["state"] == "stopped"


def test_what_cannot_be_finished_is_handed_back_and_not_called_permanent(start: Start, execution: str, gate: Path) -> None:
    service = start(JOBWRIGHT_GRACE_SECONDS="0.2").wait_ready()
    attempt = service.jobwright.attempt()
    assert service.call("gated", execution, {"gate": str(gate)}, callback=attempt).status_code == 202
    eventually(lambda: service.effects(execution))
    service.terminate()
    end = service.jobwright.end_of(attempt)
    assert end.name == "fail"
    assert end.body.get("permanent", False) is False
    service.ended()


def test_a_process_that_is_killed_registers_again_as_another_instance(start: Start) -> None:
    jobwright = FakeJobwright()
    first = start(jobwright).wait_ready()
    first.stop()
    second = start(jobwright)
    eventually(lambda: len({beat["instance"] for beat in jobwright.heartbeats}) == 2)
    second.wait_ready()
