"""Services and Jobwright die while runs are accepted: each run ends as its service says, or is retried by the policy of its job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.services.driver import Program
from tests.clients.services.served import Installation
from tests.clients.services.test_contract import COMMANDS
from tests.support import eventually

Start = Callable[..., Program]


@pytest.fixture(scope="module")
def installation(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(mongod, tmp_path_factory.mktemp("installation"))
    yield made
    made.close()


@pytest.fixture(params=["library, WSGI", "plain WSGI"])
def start(request: pytest.FixtureRequest, installation: Installation, tmp_path: Path) -> Iterator[Start]:
    """Starts an instance. Those with the library keep their state in a file, one after the other the same."""
    started: list[Program] = []

    def start(version: str) -> Program:
        settings = {"JOBWRIGHT_STATE": str(tmp_path / "state"), "JOBWRIGHT_GRACE_SECONDS": "1"}
        started.append(installation.program(COMMANDS[request.param], tmp_path / str(len(started)), version, **settings))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.terminate()
            program.ended()
        program.stop()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """A file that opens the gate of a run; it is open in the end in any case."""
    path = tmp_path / "gate"
    yield path
    path.touch()


def test_a_run_whose_service_is_killed_is_lost_and_done_by_another_instance(installation: Installation, start: Start, gate: Path) -> None:
    first = start("killed")
    # Until its time to live is over, the dead instance may be tried again.
    execution = installation.run("watched", {"gate": str(gate)}, retries=20)
    first.callback(execution)
    first.stop()  # kill -9
    second = start("after")
    gate.touch()
    ended = installation.ended(execution)
    assert ended["status"] == "success", ended
    assert ended["result"]["metadata"] == {"gate": str(gate)}
    assert installation.attempts(execution) >= 2
    assert (first.effects(execution), second.effects(execution)) == (1, 1)


@pytest.mark.parametrize("kill", [True, False], ids=["kill -9", "SIGTERM"])
def test_an_end_that_is_reported_while_jobwright_is_away_is_taken_when_it_is_back(
    installation: Installation, start: Start, gate: Path, kill: bool
) -> None:
    program = start("reports")
    execution = installation.run("gated", {"gate": str(gate)})
    program.callback(execution)
    eventually(lambda: "waiting at the gate" in installation.log(execution), every=0.1)
    attempt = installation.attempts(execution)
    with installation.away(kill=kill):
        gate.touch()
    ended = installation.ended(execution)
    assert ended["status"] == "success", ended
    assert ended["result"]["metadata"] == {"gate": str(gate)}
    assert installation.attempts(execution) == attempt
    assert program.effects(execution) == 1
    assert installation.log(execution).count("through the gate") == 1


def test_jobwright_is_killed_between_call_and_answer(installation: Installation, start: Start, gate: Path) -> None:
    """The further attempt has the same key, and gets the result of the work that the first one has begun."""
    program = start("between")
    execution = installation.run("slow", {"gate": str(gate)})
    program.callback(execution)
    with installation.away(kill=True):
        gate.touch()
    ended = installation.ended(execution)
    assert ended["status"] == "success", ended
    assert program.effects(execution) == 1
