"""Commands without starting one: which programs and variables are refused, and what becomes of output."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from templates_lib.base import RunContext
from templates_lib.command import output as output_module
from templates_lib.command.environment import environment, name_problem
from templates_lib.command.output import LONGEST_LINE, Lines, Output
from templates_lib.command.programs import Account, is_broad, refusal, resolved_folder
from templates_lib.command.template import RunCommand
from templates_lib.masks import Mask
from tests.running import Ctx

ME = os.geteuid()
OTHER = Account(ME + 4711)  # a user to whom nothing here belongs


@pytest.fixture
def ctx(tmp_path: Path) -> RunContext:
    return Ctx(tmp_path, {})()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that its owner alone can change, in such folders."""
    tmp_path.chmod(0o755)
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


# -- programs ---------------------------------------------------------------------------------------------------------


def test_a_program_that_the_user_cannot_change_is_accepted(program: Path) -> None:
    assert refusal("/bin/sh", Account(OTHER.user)) is None
    assert refusal(str(program), OTHER) is None


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.chmod(0o644), "is not executable"),
        (lambda path: path.chmod(0o777), "can change"),
        (lambda path: path.parent.chmod(0o777), "can change"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
        (lambda path: (path.unlink(), path.symlink_to(path)), "cannot be used"),
        (lambda path: (path.unlink(), os.mkfifo(path, 0o755)), "is not a file"),
    ],
)
def test_a_program_is_refused_with_the_reason(program: Path, harm: Callable[[Path], Any], words: str) -> None:
    harm(program)
    assert words in str(refusal(str(program), OTHER))


def test_the_owner_and_the_group_could_change_it(program: Path) -> None:
    info = program.stat()
    assert "can change" in str(refusal(str(program), Account(info.st_uid or 1))) or ME == 0
    program.chmod(0o775)
    assert refusal(str(program), OTHER) is None
    assert str(program) in str(refusal(str(program), Account(OTHER.user, frozenset({info.st_gid}))))


def test_a_folder_where_only_owners_replace_what_is_theirs_is_accepted(program: Path) -> None:
    program.parent.chmod(0o1777)
    assert refusal(str(program), OTHER) is None


def test_links_are_followed_and_each_folder_on_the_way_counts(program: Path) -> None:
    open_folder, closed = program.parent / "open", program.parent / "closed"
    open_folder.mkdir()
    closed.mkdir()
    (closed / "link").symlink_to("../program")
    assert refusal(str(closed / "link"), OTHER) is None
    (open_folder / "link").symlink_to(program)
    open_folder.chmod(0o777)
    (closed / "detour").symlink_to("../open/link")
    assert str(open_folder) in str(refusal(str(closed / "detour"), OTHER))


def test_root_runs_nothing_that_others_could_change(program: Path) -> None:
    if ME != 0:
        assert "other than root" in str(refusal(str(program), Account(0)))
        return
    assert refusal(str(program), Account(0)) is None
    program.chmod(0o757)
    assert "other than root" in str(refusal(str(program), Account(0)))
    program.chmod(0o755)
    os.chown(program, 65534, 65534)
    assert "other than root" in str(refusal(str(program), Account(0)))


@pytest.mark.parametrize("name", ["sh", "bash", "python3", "python3.11", "env", "sudo", "xargs", "find", "busybox", "perl", "node", "ssh"])
def test_programs_that_run_anything_are_known(name: str) -> None:
    assert is_broad(f"/nowhere/{name}")


@pytest.mark.parametrize("name", ["echo", "rotate-reports", "pg_dump", "curl", "findmnt", "shred", "timeoutd"])
def test_others_are_not(name: str) -> None:
    assert not is_broad(f"/nowhere/{name}")


def test_a_link_to_a_shell_is_a_shell(tmp_path: Path) -> None:
    (tmp_path / "harmless").symlink_to("/bin/bash")
    assert is_broad(str(tmp_path / "harmless"))


def test_folders_are_compared_after_links(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "input").mkdir()
    (tmp_path / "in" / "out").symlink_to("/etc")
    allowed = [str(tmp_path / "in")]
    assert resolved_folder(f"{tmp_path}/in/deep", allowed) == str(tmp_path / "in" / "deep")
    for path in (f"{tmp_path}/in/out", f"{tmp_path}/in/../input", f"{tmp_path}/input", "/etc", "/"):
        assert resolved_folder(path, allowed) is None
    assert resolved_folder("/etc", []) is None


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "ld_preload", "GLIBC_TUNABLES", "GCONV_PATH", "PATH", "PYTHONPATH", "PYTHONSTARTUP"),
        *(
            "PERL5OPT",
            "RUBYOPT",
            "NODE_OPTIONS",
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "BASH_ENV",
            "ENV",
            "BASH_FUNC_x",
            "IFS",
            "SHELLOPTS",
        ),
        *("GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "PAGER", "GIT_PAGER", "EDITOR", "OPENSSL_CONF", "XDG_CONFIG_HOME", "JOBWRIGHT_NOW"),
        *("RSYNC_RSH", "TAR_OPTIONS", "LESSOPEN", "CLASSPATH", "LUA_INIT", "PHPRC", "HOSTALIASES"),
    ],
)
def test_variables_that_load_code_are_refused(name: str) -> None:
    assert "is refused" in str(name_problem(name))
    for member in ("environment", "secrets"):
        [problem] = RunCommand().check({"program": "/bin/echo", member: {name: "x"}})
        assert problem.pointer == f"/{member}/{name}"


@pytest.mark.parametrize(
    "name", ["HOME", "TZ", "LDAP_HOST", "NODE_ENV", "RETRIES", "PGPASSWORD", "GIT_AUTHOR_NAME", "ENVIRONMENT", "PATHS"]
)
def test_other_variables_may_be_set(name: str) -> None:
    assert name_problem(name) is None


def test_a_command_gets_nothing_of_the_service(ctx: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MONGODB_URI", "JOBWRIGHT_SECRET_KEY", "PYTHONPATH", "LD_PRELOAD", "ANYTHING"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    found = environment(ctx, {"A": "1"}, {"A": "2"})
    assert "canary" not in found.values()
    assert set(found) == {
        *("PATH", "LANG", "TZ", "HOME", "TMPDIR", "A"),
        *("JOBWRIGHT_EXECUTION_ID", "JOBWRIGHT_ATTEMPT", "JOBWRIGHT_NOW", "JOBWRIGHT_CORRELATION_ID"),
    } | ({"LC_ALL"} & set(os.environ))
    assert (found["A"], found["TZ"], found["HOME"]) == ("2", "Europe/Berlin", str(ctx.files))


def test_two_meanings_and_two_values_are_refused() -> None:
    codes = [{"code": 1, "meaning": "success"}, {"code": 1, "meaning": "warning"}]
    params = {"program": "/bin/echo", "environment": {"A": "1"}, "secrets": {"A": "2"}, "exit_codes": codes}
    assert [problem.pointer for problem in RunCommand().check(params)] == ["/secrets/A", "/exit_codes/1/code"]


# -- output -----------------------------------------------------------------------------------------------------------


def test_secrets_never_leave_wherever_the_stream_is_cut() -> None:
    """Random cuts of random output: no piece, and no two pieces together, hold a secret."""
    chance = random.Random(4)
    secrets = ["hunter2-hunter2", "abc", "line one\nline two!"]
    for _ in range(200):
        parts = ["x" * chance.randrange(9000), *secrets, "\n", "y" * chance.randrange(4100), "é", "\r\n", "::result {}"]
        text = "".join(chance.choice(parts) for _ in range(12))
        data, lines, seen = text.encode(), Lines(Mask(secrets)), []
        while data:
            size = chance.randrange(1, 5000)
            seen += lines.feed(data[:size])
            data = data[size:]
        seen += lines.feed(b"")
        assert all(secret not in "".join(seen) for secret in ("hunter2-hunter2", "abc", "line one", "line two!"))


def test_lines_are_whole_whatever_the_cuts() -> None:
    lines = Lines(Mask([]))
    assert [*lines.feed("grü".encode()[:-1]), *lines.feed("ü".encode()[-1:] + b"n\r\nzw"), *lines.feed(b"ei"), *lines.feed(b"")] == [
        "grün",
        "zwei",
    ]
    assert list(Lines(Mask([])).feed(b"\n\na\n")) == ["", "", "a"]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "job")
    return caplog


def test_an_endless_line_is_cut_and_nothing_is_lost(ctx: RunContext, logged: pytest.LogCaptureFixture) -> None:
    output = Output(ctx, Mask([]), error_level=logging.WARNING)
    for _ in range(10):
        output.feed(b"z" * 5000, error=False)
    output.close()
    assert "".join(logged.messages) == "z" * 50_000
    assert max(map(len, logged.messages)) == LONGEST_LINE


def test_binary_output_is_counted(ctx: RunContext, logged: pytest.LogCaptureFixture) -> None:
    output = Output(ctx, Mask([]), error_level=logging.WARNING)
    output.feed(b"\x7fELF\0\0\0\nwords\n\xff\xfe\xfd\xfc\n", error=False)
    output.close()
    assert logged.messages == ["words", "11 characters of binary output are not shown"]


def test_a_flood_ends_in_its_last_lines(ctx: RunContext, logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "MOST_LOGGED", 1000)
    output = Output(ctx, Mask([]), error_level=logging.WARNING)
    output.feed(b"".join(b"line %d\n" % n for n in range(1000)) + b'::result {"n": 7}\n', error=False)
    output.close()
    assert len(logged.messages) < 60
    assert logged.messages[-21:-19] == ["978 further lines are not in the log. The last lines were:", "line 980"]
    assert (logged.messages[-1], output.result, output.lines) == ("line 999", {"n": 7}, 1001)


def test_reports_are_read_from_standard_output_alone(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    make = Ctx(tmp_path, {})
    output = Output(make(), Mask(["hunter2"]), error_level=logging.ERROR)
    output.feed(b'::progress 3/10 copying hunter2\n::progress 4\n::result {"a": ["hunter2"], "hunter2": 1}\n::progress x\n', error=False)
    output.feed(b"::progress 9/9\n::result {}\n", error=True)
    output.feed(b"::result [1]\n::result {\n", error=False)
    output.close()
    assert make.steps == [(3, 10), (4, None)]
    assert output.result == {"a": ["***"], "***": 1}
    told = "A line begins with ::result, but no JSON object follows"
    assert logged.messages == ["::progress x", "::progress 9/9", "::result {}", told, "::result [1]", told, "::result {"]
