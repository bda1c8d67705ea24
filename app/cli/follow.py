"""Follows a run: prints the lines of its log as they come, until it ends or people stop looking."""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import click

from app.cli.client import Client, segment
from app.cli.failures import ExitCode, Failed
from app.cli.look_up import EXECUTIONS, outcome_of
from app.cli.output import echo, moment, note, print_json, span
from templates_lib.messages import amount

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 1.5  # seconds between two questions
HINT_SECONDS = 10.0  # after which people who wait for a start learn why there may be none
WAIT_SECONDS = 10  # that one request waits for the end of a run
PATIENCE_SECONDS = 60.0  # that the server may be away while a run is followed
LINES = 1000  # of the log at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """How a run is followed.

    With `lines`, its log is printed, from `level` on. After `seconds`, if given, people stop waiting. With `cancel_on_interrupt`, Ctrl-C
    cancels the run; without it, the run goes on.
    """

    lines: bool = True
    level: str = "DEBUG"
    seconds: float | None = None
    cancel_on_interrupt: bool = False


def follow(client: Client, execution_id: str, how: Following) -> dict[str, Any]:
    """Returns the execution when it has ended. Raises Failed after `how.seconds`, and after Ctrl-C."""
    log = LogPrinter(client, execution_id, level=how.level) if how.lines else None
    deadline = None if how.seconds is None else time.monotonic() + how.seconds
    pause, status, hint_at = FIRST_PAUSE, "", time.monotonic() + HINT_SECONDS
    try:
        while True:
            wait = None if log is not None or not status else _seconds_to_wait(deadline)
            execution: dict[str, Any] = _patiently(functools.partial(read_execution, client, execution_id, wait=wait))
            printed = _patiently(log.print_new) if log is not None else 0
            if execution.get("ended"):
                return execution
            if execution["status"] != status:
                status = execution["status"]
                _say_status(execution)
            if status == "queued" and time.monotonic() > hint_at:
                note("The run still waits. If it should have started, check with `jobwright doctor` that a scheduler is online.")
                hint_at = math.inf
            if deadline is not None and time.monotonic() > deadline:
                raise Failed(
                    f"The run has not ended within {span(how.seconds)}; it goes on. See: jobwright execution show {execution_id}",
                    ExitCode.TIMED_OUT,
                )
            pause = FIRST_PAUSE if printed else min(pause * 1.5, LONGEST_PAUSE)
            time.sleep(pause)
    except KeyboardInterrupt:
        raise _interrupted(client, execution_id, cancel=how.cancel_on_interrupt) from None


def report_run(client: Client, answer: Mapping[str, Any], how: Following | None, *, as_json: bool) -> None:
    """Prints the run that an answer names. With `how`, follows it, prints its outcome and ends the command with the code for that."""
    execution_id = str(answer["execution_id"])
    if how is None:
        if as_json:
            print_json(answer)
        else:
            note(_message(answer))
            echo(execution_id)
        return
    note(f"{_message(answer)} Execution {execution_id}")
    execution = follow(client, execution_id, replace(how, lines=how.lines and not as_json))
    code = say_outcome(execution)
    if as_json:
        print_json({"execution": execution})
    if code is not ExitCode.OK:
        sys.exit(code)


def print_log(client: Client, execution_id: str, *, level: str, follows: bool) -> None:
    """Prints the log of an execution. With `follows`, also the lines that come later, until it ends."""
    if follows:
        say_outcome(follow(client, execution_id, Following(level=level)))
    elif not LogPrinter(client, execution_id, level=level).print_new():
        note("The log is empty.")


def read_execution(client: Client, execution_id: str, *, wait: int | None = None) -> dict[str, Any]:
    """Returns an execution; with `wait`, once it has ended, or after `wait` seconds."""
    return dict(client.get(f"{EXECUTIONS}/{segment(execution_id)}", "execution", wait=wait)["execution"])


def _seconds_to_wait(deadline: float | None) -> int | None:
    """Returns how long one request may wait for the end of a run."""
    left = WAIT_SECONDS if deadline is None else min(WAIT_SECONDS, int(deadline - time.monotonic()))
    return left if left > 0 else None


def say_outcome(execution: Mapping[str, Any]) -> ExitCode:
    """Prints how an execution ended, on standard error, and returns the exit code for that."""
    status, words = str(execution.get("status")), outcome_of(execution)
    seconds = execution.get("duration_seconds")
    attempts = len(execution.get("attempts") or ())
    facts = [span(seconds)] if isinstance(seconds, int | float) else []
    facts += [amount(attempts, "attempt")] if attempts > 1 else []
    after = f" after {' and '.join(facts)}" if facts else ""
    note(f"{status.capitalize()}{after}{f': {words}' if words else ''}")
    return ExitCode.OK if status == "success" else ExitCode.FAILED


class LogPrinter:
    """Prints the log of an execution, each line once."""

    def __init__(self, client: Client, execution_id: str, *, level: str) -> None:
        self._client, self._path = client, f"{EXECUTIONS}/{segment(execution_id)}/logs"
        self._cursor, self._attempt, self._levels = "", 1, LEVELS[LEVELS.index(level) :]

    def print_new(self) -> int:
        """Prints the lines that have come since the last call, and returns their number."""
        count = 0
        while True:
            page = self._client.get(self._path, "logs", after=self._cursor or None, limit=LINES)
            for line in page["logs"]:
                self._print(line)
            count += len(page["logs"])
            self._cursor = str(page.get("next") or self._cursor)
            if len(page["logs"]) < LINES:
                return count

    def _print(self, line: Mapping[str, Any]) -> None:
        from app.validation.terminal import plain  # noqa: PLC0415 - `--help` does without it

        attempt = line.get("attempt")
        if isinstance(attempt, int) and attempt > self._attempt:
            self._attempt = attempt
            note(f"Attempt {attempt}")
        level = str(line.get("level") or "")
        if level in self._levels or level not in LEVELS:
            time_of_day = moment(line.get("timestamp"), seconds=True)
            echo(f"{time_of_day}  {level:<8}  {plain(str(line.get('message') or ''))}")


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _message(answer: Mapping[str, Any]) -> str:
    return f"{str(answer.get('message') or 'Run queued').rstrip('.')}."


def _say_status(execution: Mapping[str, Any]) -> None:
    if execution["status"] == "queued":
        note("The run waits for its start.")
    if execution["status"] == "retrying":
        note(f"The attempt failed: {outcome_of(execution)}. The run will be retried.")


def _patiently(ask: Callable[[], Any]) -> Any:
    """Returns the answer to a question; while the server is away or asks to wait, it is put again for a while."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    told = False
    while True:
        try:
            return ask()
        except Failed as failed:
            if failed.exit_code is not ExitCode.UNREACHABLE or time.monotonic() > deadline:
                raise
            if not told:
                note(f"jobwright: {failed.message} Trying again for {span(PATIENCE_SECONDS)}.")
                told = True
            time.sleep(LONGEST_PAUSE)


def _interrupted(client: Client, execution_id: str, *, cancel: bool) -> Failed:
    click.echo(err=True)
    if cancel:
        client.post(f"{EXECUTIONS}/{segment(execution_id)}/cancel", "execution")
        return Failed("The run is being cancelled.", ExitCode.INTERRUPTED)
    return Failed(
        "Stopped following. The run goes on.\n"
        f"  Follow it again:  jobwright execution logs --follow {execution_id}\n"
        f"  Cancel it:        jobwright execution cancel {execution_id}",
        ExitCode.INTERRUPTED,
    )
