"""Following a run: what is said while it waits, while the server is away, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from app.cli import follow as module
from app.cli.client import Client
from app.cli.failures import ExitCode, Failed
from app.cli.follow import Following, follow, report_run, say_outcome

AWAY = Failed("http://h does not answer.", ExitCode.UNREACHABLE)


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Server(Client):
    """Answers questions about one execution with what it is told, one after the other; the last answer stays."""

    def __init__(self, *states: dict[str, Any] | Failed | type[KeyboardInterrupt]) -> None:
        self.states = list(states)
        self.cancelled = False

    def get(self, path: str, member: str, **query: Any) -> dict[str, Any]:
        if path.endswith("/logs"):
            return {"logs": [], "next": ""}
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Failed) or state is KeyboardInterrupt:
            raise state
        return {"execution": state}

    def post(self, path: str, member: str, body: Any = None, *, key: str | None = None, **query: Any) -> dict[str, Any]:
        self.cancelled = path.endswith("/cancel")
        return {"execution": {}}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    passing = Clock()
    monkeypatch.setattr(module, "time", passing)
    return passing


QUEUED, RUNNING = {"status": "queued", "ended": False}, {"status": "running", "ended": False}
DONE = {"status": "success", "ended": True, "duration_seconds": 2.0}


def test_a_run_that_is_not_started_gets_one_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(Server(*[QUEUED] * 40, DONE), "x", Following(lines=False)) == DONE
    told = capsys.readouterr().err
    assert (told.count("waits for its start"), told.count("jobwright doctor")) == (1, 1)


def test_a_server_that_is_away_for_a_moment_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(Server(RUNNING, AWAY, AWAY, AWAY, DONE), "x", Following()) == DONE
    assert capsys.readouterr().err.count("Trying again") == 1


def test_a_server_that_stays_away_is_an_error(clock: Clock) -> None:
    with pytest.raises(Failed) as failed:
        follow(Server(RUNNING, AWAY), "x", Following())
    assert (failed.value.exit_code, module.PATIENCE_SECONDS < clock.now < module.PATIENCE_SECONDS + 10) == (ExitCode.UNREACHABLE, True)


def test_a_refusal_is_not_asked_again() -> None:
    with pytest.raises(Failed) as failed:
        follow(Server(RUNNING, Failed("Not allowed.", ExitCode.REFUSED)), "x", Following())
    assert failed.value.exit_code == ExitCode.REFUSED


@pytest.mark.parametrize("cancels", [False, True])
def test_ctrl_c_cancels_only_where_that_is_asked_for(cancels: bool) -> None:
    server = Server(RUNNING, KeyboardInterrupt)
    with pytest.raises(Failed) as failed:
        follow(server, "x", Following(cancel_on_interrupt=cancels))
    assert (failed.value.exit_code, server.cancelled, "goes on" in failed.value.message) == (ExitCode.INTERRUPTED, cancels, not cancels)


def test_a_retry_says_why_the_attempt_failed(capsys: pytest.CaptureFixture[str]) -> None:
    retrying = {"status": "retrying", "ended": False, "error": {"message": "No disk"}}
    follow(Server(RUNNING, retrying, RUNNING, DONE), "x", Following(lines=False))
    assert "The attempt failed: No disk. The run will be retried." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("execution", "words", "code"),
    [
        ({"status": "success", "duration_seconds": 2.0, "result": {"message": "Deleted 3"}}, "Success after 2 s: Deleted 3\n", 0),
        ({"status": "failed", "attempts": [{}, {}], "error": {"message": "No disk"}}, "Failed after 2 attempts: No disk\n", 1),
        ({"status": "skipped", "reason": "overlap"}, "Skipped: overlap\n", 1),
        ({"status": "cancelled"}, "Cancelled\n", 1),
    ],
)
def test_the_outcome_is_one_line_and_the_exit_code(
    execution: dict[str, Any], words: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say_outcome(execution) == code
    assert capsys.readouterr().err == words


def test_a_message_ends_with_one_full_stop(capsys: pytest.CaptureFixture[str]) -> None:
    for message in ("Job started", "The run is queued."):
        report_run(Server(DONE), {"execution_id": "x", "message": message}, None, as_json=False)
    assert capsys.readouterr().err == "Job started.\nThe run is queued.\n"
