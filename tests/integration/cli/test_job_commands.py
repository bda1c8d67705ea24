"""`jobwright job` and `jobwright execution` against a running server with a token, and against the registry of this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.validation.terminal import printable
from tests.commands import Forked, jobwright
from tests.support import Service, eventually

HOSTILE = "\x1b]0;title\x07\u202etxt\x1b[2Jend"


@pytest.fixture(scope="module")
def service(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = Service("serve", uri=mongod, database=f"cli_{os.getpid()}", data_dir=tmp_path_factory.mktemp("cli"), warm=True).wait_ready()
    jobs = [
        {"name": "Quick job", "template_type": "test_scheduler", "parameters": {"log_lines": 3}, "tags": ["shop"]},
        {"name": "Slow job", "template_type": "test_scheduler", "parameters": {"seconds": 600, "message": HOSTILE}},
        {"name": "Failing job", "template_type": "test_scheduler", "parameters": {"outcome": "permanent"}},
        {
            "name": "Paused / job?",
            "template_type": "webhook_trigger",
            "parameters": {"url": "https://example.com/"},
            "run_limit": {"runs": 4, "seconds": 3600, "excess": "queue"},
        },
    ]
    with started.api() as api:
        for job in jobs:
            assert api.post("/api/admin/scheduler-jobs", json={"schedule": {"type": "manual"}, **job}).status_code == 201
    yield started
    started.stop()


@pytest.fixture(scope="module", params=["server", "this machine"])
def environment(request: pytest.FixtureRequest, service: Service) -> dict[str, str]:
    """What names the registry: a server and a token, or the database."""
    if request.param == "this machine":
        return service.environment
    clean = {name: value for name, value in service.environment.items() if not name.startswith(("JOBWRIGHT_", "MONGODB_"))}
    return {**clean, "JOBWRIGHT_SERVER": service.address, "JOBWRIGHT_TOKEN": service.token()}


def test_jobs_are_listed_by_filters_in_a_table_and_as_rest_has_them(environment: dict[str, str]) -> None:
    table = jobwright(environment, "job", "list", check=True).stdout.splitlines()
    assert table[0].split() == ["NAME", "TEMPLATE", "SCHEDULE", "STATE", "LAST", "RUN", "RESULT", "NEXT", "RUN", "ID"]
    assert [line.split("  ")[0] for line in table[1:]] == ["Failing job", "Paused / job?", "Quick job", "Slow job"]
    answer = json.loads(jobwright(environment, "job", "list", "--tag", "shop", "--json", check=True).stdout)
    assert ([job["name"] for job in answer["jobs"]], answer["total"]) == (["Quick job"], 1)
    some = jobwright(environment, "job", "list", "--template", "webhook_trigger", "--search", "paus", check=True).stdout
    assert [line.split("  ")[0] for line in some.splitlines()[1:]] == ["Paused / job?"]
    none = jobwright(environment, "job", "list", "--status", "timeout", check=True)
    assert (none.stdout, none.stderr) == ("", "There are no jobs to show.\n")


def test_the_limit_of_runs_is_shown_where_a_job_has_one(environment: dict[str, str]) -> None:
    shown = jobwright(environment, "job", "show", "Paused / job?", check=True).stdout
    assert re.search(r"^Limit of runs +4 runs within 1 h; more wait$", shown, re.MULTILINE)
    assert "Limit of runs" not in jobwright(environment, "job", "show", "Quick job", check=True).stdout


def test_a_followed_run_prints_its_log_and_ends_as_the_run_did(environment: dict[str, str]) -> None:
    done = jobwright(environment, "job", "run", "Quick job", "--follow")
    assert (done.returncode, [line.split("  ")[-1] for line in done.stdout.splitlines()][1:]) == (0, ["line 1", "line 2", "line 3"])
    assert "Success after" in done.stderr
    failed = jobwright(environment, "job", "run", "Failing job", "--wait")
    assert (failed.returncode, failed.stdout, "Failed after" in failed.stderr) == (1, "", True)
    assert "Failing job" in jobwright(environment, "job", "list", "--status", "failed", check=True).stdout
    assert jobwright(environment, "job", "logs", "Quick job", check=True).stdout.splitlines()[-1].endswith("line 3")


def test_a_run_takes_other_values_and_a_wrong_one_is_named(environment: dict[str, str]) -> None:
    execution = jobwright(environment, "job", "run", "Quick job", "--set", "message=[1]", "--set", "log_lines=0", "--wait", "--json")
    refused = jobwright(environment, "job", "run", "Quick job", "--set", "log_lines=-1")
    assert (refused.returncode, refused.stderr.splitlines()) == (
        4,
        ["jobwright: Some fields are not valid:", "  parameters.log_lines: must be at least 0"],
    )
    assert execution.returncode == 4, "a list is not a message"
    told = jobwright(environment, "job", "run", "Quick job", "--set", "message=hello", "--wait", "--json", check=True)
    execution_of = json.loads(told.stdout)["execution"]
    assert execution_of["result"]["message"] == "hello"
    assert execution_of["triggered_by"] == ("api" if "JOBWRIGHT_SERVER" in environment else "manual")


def test_a_run_that_takes_too_long_goes_on_and_can_be_cancelled(environment: dict[str, str]) -> None:
    waited = jobwright(environment, "job", "run", "Slow job", "--wait", "--timeout", "0.5")
    assert (waited.returncode, "it goes on" in waited.stderr) == (124, True)
    refused = jobwright(environment, "job", "run", "Slow job")
    assert (refused.returncode, "Job already running" in refused.stderr) == (4, True)
    running = jobwright(environment, "execution", "list", "--job", "Slow job", "--status", "running", "--json", check=True)
    (execution,) = json.loads(running.stdout)["executions"]
    jobwright(environment, "execution", "cancel", execution["id"], check=True)
    eventually(lambda: "cancelled" in jobwright(environment, "execution", "show", execution["id"]).stdout)
    again = jobwright(environment, "execution", "cancel", execution["id"])
    assert (again.returncode, "already ended" in again.stderr) == (4, True)
    log = jobwright(environment, "execution", "logs", execution["id"], check=True).stdout
    assert ("end" in log, printable(log) == log, "\x1b" in log) == (True, True, False)


@pytest.mark.parametrize("cancels", [False, True])
def test_ctrl_c_stops_following_and_says_what_becomes_of_the_run(environment: dict[str, str], tmp_path: Path, cancels: bool) -> None:
    words = ("job", "run", "Slow job", "--follow", *(["--cancel-on-interrupt"] if cancels else []))
    out, err = tmp_path / "out", tmp_path / "err"
    process = Forked(environment, words, out=out, err=err)
    eventually(lambda: out.exists() and "(attempt 1)" in out.read_text())
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    execution = err.read_text().partition("Execution ")[2].split()[0]
    assert ("goes on" in err.read_text(), "being cancelled" in err.read_text()) == (not cancels, cancels)
    if not cancels:
        jobwright(environment, "execution", "cancel", execution, check=True)
    eventually(lambda: "cancelled" in jobwright(environment, "execution", "show", execution).stdout)


def test_several_jobs_are_switched_and_a_wrong_name_stops_none(environment: dict[str, str], service: Service) -> None:
    done = jobwright(environment, "job", "disable", "Quick job", "Quik job", "Paused / job?")
    assert (done.returncode, done.stdout.splitlines()) == (3, ["Disabled Quick job.", "Disabled Paused / job?."])
    assert "Did you mean 'Quick job'?" in done.stderr
    jobwright(environment, "job", "enable", "Quick job", "Paused / job?", check=True)
    by_hand = jobwright(environment, "job", "pause", "Quick job", "--reason", "x", "--until", "2026-13-01")
    assert by_hand.returncode == 2
    with service.api() as api:
        events = api.get("/api/admin/audit-events", params={"action": "job.enable", "limit": 1}).json()["events"]
    assert events[0]["via"] == ("api" if "JOBWRIGHT_SERVER" in environment else "cli")


def test_a_pause_says_until_when_and_a_resume_whether_there_was_one(environment: dict[str, str], service: Service) -> None:
    job = "Daily job"
    with service.api() as api:
        body = {"name": job, "template_type": "test_scheduler", "schedule": {"type": "cron", "expression": "0 3 * * *"}}
        job_id = api.post("/api/admin/scheduler-jobs", json=body).json()["job"]["id"]
    assert jobwright(environment, "job", "resume", job, check=True).stdout == f"{job} is not paused.\n"
    assert jobwright(environment, "job", "pause", job, check=True).stdout == f"Paused {job} until someone resumes it.\n"
    assert jobwright(environment, "job", "resume", job, check=True).stdout == f"Resumed {job}.\n"
    paused = jobwright(environment, "job", "pause", job, "--until", "tomorrow 8:00", "--reason", "the move", check=True)
    assert re.fullmatch(rf"Paused {re.escape(job)} until \d{{4}}-\d\d-\d\d 08:00\.\n", paused.stdout)
    until = json.loads(jobwright(environment, "job", "show", job, "--json").stdout)["job"]["paused"]["until"]
    for_two_hours = jobwright(environment, "job", "pause", job, "--until", "2 h", check=True).stdout
    assert for_two_hours != paused.stdout
    sooner = json.loads(jobwright(environment, "job", "show", job, "--json").stdout)["job"]["paused"]
    assert (sooner["until"] == until, sooner["reason"]) == (False, "")
    late = jobwright(environment, "job", "pause", job, "--until", "yesterday")
    assert (late.returncode, "must be in the future" in late.stderr) == (4, True)
    with service.api() as api:
        assert api.delete(f"/api/admin/scheduler-jobs/{job_id}").status_code == 200


def test_ids_of_executions_are_completed_and_only_unended_ones_to_cancel(environment: dict[str, str]) -> None:
    ended = json.loads(jobwright(environment, "job", "run", "Quick job", "--wait", "--json").stdout)["execution"]["id"]
    running = jobwright(environment, "job", "run", "Slow job", check=True).stdout.strip()

    def offered(command: str) -> set[str]:
        asked = {"_JOBWRIGHT_COMPLETE": "bash_complete", "COMP_WORDS": f"jobwright execution {command} ", "COMP_CWORD": "3"}
        return {line.removeprefix("plain,") for line in jobwright({**environment, **asked}).stdout.splitlines()}

    try:
        eventually(lambda: {ended, running} <= offered("show"))
        eventually(lambda: running in offered("cancel"))
        assert ended not in offered("cancel")
    finally:
        jobwright(environment, "execution", "cancel", running, check=True)


def test_an_unknown_execution_and_an_unknown_job_end_with_3(environment: dict[str, str]) -> None:
    for words in (
        ("execution", "show", "nope"),
        ("execution", "retry", ".."),
        ("job", "show", "nope"),
        ("execution", "list", "--job", "nope"),
    ):
        done = jobwright(environment, *words)
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (3, "", False)


def test_a_retry_is_followed_like_a_run(environment: dict[str, str]) -> None:
    execution = jobwright(environment, "job", "run", "Failing job", "--wait", "--json")
    first = json.loads(execution.stdout)["execution"]["id"]
    again = jobwright(environment, "execution", "retry", first, "--wait", "--json")
    assert (again.returncode, json.loads(again.stdout)["execution"]["retry_of"]) == (1, first)


def test_names_are_completed_by_the_shell(environment: dict[str, str]) -> None:
    asked = {**environment, "_JOBWRIGHT_COMPLETE": "bash_complete", "COMP_WORDS": "jobwright job show Qui", "COMP_CWORD": "3"}
    # A busy machine may take longer than a shell waits; then nothing is offered.
    eventually(lambda: jobwright(asked).stdout == "plain,Quick\\ job\n")


def test_a_token_may_no_more_than_its_scopes(service: Service) -> None:
    token = service.command("token", "create", "--user", "admin@example.com", "--name", "reads", "--scope", "read")
    environment = {**service.environment, "JOBWRIGHT_SERVER": service.address, "JOBWRIGHT_TOKEN": token}
    assert jobwright(environment, "job", "list").returncode == 0
    refused = jobwright(environment, "job", "run", "Quick job")
    assert (refused.returncode, "lacks the scope 'run'" in refused.stderr, token in refused.stderr) == (4, True, False)
    unknown = jobwright({**environment, "JOBWRIGHT_TOKEN": "jw_unknown"}, "job", "list")
    assert (unknown.returncode, "unknown or revoked" in unknown.stderr, "jw_unknown" in unknown.stderr) == (4, True, False)


def test_bash_offers_names_with_spaces_as_one_word(service: Service, tmp_path: Path) -> None:
    """The script of `jobwright completion bash` in a real bash, with a program that answers as jobwright does."""
    script = jobwright(service.environment, "completion", "bash", check=True).stdout
    program = tmp_path / "jobwright"
    program.write_text("#!/bin/sh\nprintf 'plain,Quick\\\\ job\\nplain,Paused\\\\ /\\\\ job\\\\?\\n'\n")
    program.chmod(0o755)
    lines = (
        f'{script}\nCOMP_WORDS=({program} job show Q); COMP_CWORD=3\n_jobwright_completion {program}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    )
    shown = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["Quick\\ job", "Paused\\ /\\ job\\?"]


# -- TLS --------------------------------------------------------------------------------------------------------------


class _Empty(BaseHTTPRequestHandler):
    """Answers each request with an empty list of jobs."""

    def do_GET(self) -> None:
        body = b'{"jobs": [], "total": 0, "page": 1, "pages": 1}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate that no authority of the system has signed: its address, and the file of that certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, chain = tmp_path / "ca.pem", tmp_path / "server.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(authority.read_bytes() + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", authority
    server.shutdown()
    server.server_close()


def test_a_certificate_that_is_not_trusted_is_refused_until_its_authority_is_named(tls: tuple[str, Path]) -> None:
    address, authority = tls
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOBWRIGHT_", "MONGODB_"))}
    environment = {**clean, "JOBWRIGHT_SERVER": address, "JOBWRIGHT_TOKEN": "jw_x"}
    refused = jobwright(environment, "job", "list")
    assert (refused.returncode, len(refused.stderr.splitlines()), "JOBWRIGHT_CA_FILE" in refused.stderr) == (5, 1, True)
    assert jobwright({**environment, "JOBWRIGHT_CA_FILE": str(authority)}, "job", "list").returncode == 0
    plain = jobwright({**environment, "JOBWRIGHT_SERVER": address.replace("https", "http")}, "job", "list")
    assert (plain.returncode, len(plain.stderr.splitlines())) == (5, 1)
