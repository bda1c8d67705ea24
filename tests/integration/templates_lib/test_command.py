"""The template Command with real programs, in the test's own process."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from templates_lib.base import Cancelled, Commands, JobResult, RunContext, TemplateError
from templates_lib.command.template import RunCommand
from tests.running import Ctx
from tests.support import alive, eventually

SH = "/bin/sh"


@pytest.fixture
def make(tmp_path: Path) -> Ctx:
    return Ctx(tmp_path, {})


def run(make: Ctx, script: str, *, folders: tuple[str, ...] = (), **params: Any) -> JobResult:
    ctx = make(commands=Commands((SH,), folders))
    return RunCommand().run({"program": SH, "arguments": ["-c", script], **params}, ctx)


def refused(make: Ctx, script: str, **params: Any) -> TemplateError:
    with pytest.raises(TemplateError) as raised:
        run(make, script, **params)
    return raised.value


def test_arguments_arrive_as_they_are(make: Ctx, caplog: pytest.LogCaptureFixture) -> None:
    odd = ["", " ", "a b", "$(touch owned)", "`id`", "; rm -rf /", "*", "-n", "|", "> x", "ü\n€", "'\"\\"]
    caplog.set_level("INFO", "job")
    params = {"program": SH, "arguments": ["-c", 'printf "[%s]" "$@"', "sh", *odd]}
    RunCommand().run(params, make(commands=Commands((SH,))))
    assert "\n".join(caplog.messages[1:]) == "".join(f"[{argument}]" for argument in odd)
    assert not list(make.files.iterdir())


def test_the_input_folder_rights_and_environment_are_those_of_the_job(make: Ctx, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    script = 'read line; touch new; echo "::result {\\"line\\": \\"$line\\", \\"at\\": \\"$PWD\\", \\"a\\": \\"$A\\"}"'
    asked = {"folder": str(folder), "input": "one\ntwo\n", "environment": {"A": "b"}, "umask": "022"}
    result = run(make, script, folders=(str(folder),), **asked)
    ended = {"exit_code": 0, "outcome": "success", "lines": 1, "error_lines": 0}
    assert result.data == {"line": "one", "at": str(folder), "a": "b", **ended}
    assert (folder / "new").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("code", "meaning", "message"),
    [
        (0, "success", "Ended (exit code 0)"),
        (3, "warning", "Ended with a warning (exit code 3)"),
        (4, "skipped", "There was nothing to do"),
    ],
)
def test_exit_codes_that_are_successes(make: Ctx, code: int, meaning: str, message: str) -> None:
    result = run(make, f"exit {code}", exit_codes=[{"code": code, "meaning": meaning}] if code else [])
    assert message in result.message
    assert (result.data["outcome"], result.data["exit_code"]) == (meaning, code)


def test_exit_codes_that_are_failures(make: Ctx) -> None:
    error = refused(make, "echo out; echo no disk >&2; exit 5")
    assert str(error) == "/bin/sh ended with exit code 5: no disk"
    assert (error.permanent, error.data["last_lines"], error.data["outcome"]) == (False, ["out", "no disk"], "failure")
    assert refused(make, "exit 6", exit_codes=[{"code": 6, "meaning": "permanent"}]).permanent
    assert str(refused(make, "", exit_codes=[{"code": 0, "meaning": "failure"}])) == "/bin/sh ended with exit code 0"


def test_error_output_can_be_a_failure(make: Ctx) -> None:
    assert run(make, "echo fine", error_output="failure").data["outcome"] == "success"
    assert str(refused(make, "echo oh >&2", error_output="failure")) == "/bin/sh wrote to standard error: oh"


def test_an_end_by_a_signal_is_explained(make: Ctx) -> None:
    assert str(refused(make, "kill -9 $$")) == "/bin/sh was killed by SIGKILL; the machine may be out of memory"
    assert str(refused(make, "kill -SEGV $$")) == "/bin/sh was killed by SIGSEGV"
    assert str(refused(make, "exit 137")).startswith("/bin/sh ended with exit code 137, which often means SIGKILL")


def test_secrets_are_masked_in_log_result_and_errors(make: Ctx, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "job")
    secrets = {"TOKEN": "hunter2-hunter2"}
    error = refused(make, 'echo "$TOKEN"; echo "::result {\\"t\\": \\"$TOKEN\\"}"; echo "bad $TOKEN" >&2; exit 1', secrets=secrets)
    assert str(error).endswith(": bad ***")
    assert error.data["t"] == "***"
    assert "hunter2" not in f"{caplog.text}{error}{error.data}"


def test_what_is_left_behind_is_ended(make: Ctx, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "job")
    result = run(make, 'sleep 600 & echo "::result {\\"left\\": $!}"')
    assert "left processes behind" in caplog.text
    eventually(lambda: not alive(result.data["left"]))


def test_a_stop_ends_the_command_and_what_it_started(make: Ctx, tmp_path: Path) -> None:
    def stop() -> None:
        eventually((tmp_path / "pid").exists)
        make.stop.set()

    threading.Thread(target=stop).start()
    with pytest.raises(Cancelled):
        run(make, f"trap '' TERM; sleep 600 & echo $! > {tmp_path}/pid; wait; sleep 600; sleep 600")
    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize(
    ("commands", "params", "words"),
    [
        (Commands(), {"program": SH}, "Commands are switched off here"),
        (Commands(("/bin/echo",)), {"program": SH}, "is not one of the programs"),
        (Commands((SH,)), {"program": "/bin/../bin/sh"}, "is not one of the programs"),
        (Commands((SH,)), {"program": "//bin/sh"}, "is not one of the programs"),
        (Commands((SH,)), {"program": SH, "folder": "/etc"}, "is not one of the folders"),
        (Commands((SH,), ("/srv",)), {"program": SH, "folder": "/srv/../etc"}, "is not one of the folders"),
        (Commands((SH,), ("/nowhere",)), {"program": SH, "folder": "/nowhere/x"}, "does not exist"),
        (Commands((SH,)), {"program": SH, "environment": {"HOME": "/root"}}, "is not one of the folders"),
        (Commands((SH,)), {"program": SH, "environment": {"LD_PRELOAD": "/x.so"}}, "LD_PRELOAD is refused"),
        (Commands((SH,)), {"program": SH, "arguments": ["x" * 32_000] * 40}, "more than a program can get"),
        (Commands((SH,)), {"program": SH, "arguments": ["€" * 50_000]}, "more than a program can get"),
    ],
)
def test_what_is_not_allowed_is_refused_by_run_and_dry_run(make: Ctx, commands: Commands, params: dict[str, Any], words: str) -> None:
    ctx: RunContext = make(commands=commands)
    for work in (RunCommand().run, RunCommand().preview):
        with pytest.raises(TemplateError, match=words) as raised:
            work(params, ctx)
        assert raised.value.permanent


def test_a_script_that_cannot_be_started_says_why(make: Ctx, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    tmp_path.chmod(0o755)
    if os.geteuid() != 0:
        with pytest.raises(TemplateError, match="the user that runs jobs can change"):
            RunCommand().run({"program": str(script)}, make(commands=Commands((str(script),))))
        return
    with pytest.raises(TemplateError, match="cannot be started: No such file") as raised:
        RunCommand().run({"program": str(script)}, make(commands=Commands((str(script),))))
    assert raised.value.permanent


def test_the_dry_run_shows_the_command_and_starts_nothing(make: Ctx, tmp_path: Path) -> None:
    params = {
        "program": SH,
        "arguments": ["-c", f"touch {tmp_path}/owned; echo a b"],
        "secrets": {"X": "hunter2"},
        "environment": {"Y": "1"},
    }
    result = RunCommand().preview(params, make(commands=Commands((SH,))))
    assert result.data["arguments"] == params["arguments"]
    assert result.data["program"] == os.path.realpath(SH)
    assert result.data["environment"] == {"X": "***", "Y": "1"}
    assert "hunter2" not in str(result)
    assert not (tmp_path / "owned").exists()


def test_output_arrives_while_the_command_runs(make: Ctx, tmp_path: Path) -> None:
    done: list[float] = []
    script = f"echo '::progress 1/2'; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"

    def report(step: int, total: int | None, note: str) -> None:
        done.append(time.monotonic())
        (tmp_path / "go").touch()

    RunCommand().run({"program": SH, "arguments": ["-c", script]}, make(commands=Commands((SH,)), report=report))
    assert done
