"""What a start does: the private mongod, migrations, the command line, the first super-admin."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymongo import MongoClient

from app.audit.model import SYSTEM
from app.audit.service import AuditTrail
from app.audit.store import AuditStore
from app.clock import SystemClock
from app.config import Settings
from app.errors import StartError
from app.execution.log_store import LogStore
from app.factory import Store, open_store
from app.jobtemplates.catalogue import Catalogue
from app.keys import KeyRing
from app.local_mongod import LocalMongod, find_mongod
from app.migrations import MARKER, Migrator, find_migrations
from app.mongo import connect, open_database
from app.services import Services
from tests.support import ADMIN, KINDS, PASSWORD, Service, alive, eventually


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("JOBWRIGHT_", "MONGODB_"))}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env={**clean, "PYTHONPATH": str(KINDS), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# -- the private mongod -----------------------------------------------------------------------------------------------


def test_it_starts_answers_on_its_socket_only_and_stops(tmp_path: Path) -> None:
    server = LocalMongod(tmp_path)
    uri = server.start()
    pid = server.pid
    assert pid is not None
    try:
        assert server.socket.stat().st_mode & 0o777 == 0o600
        with MongoClient(uri) as client:
            client.x.y.insert_one({"_id": 1})
            assert client.admin.command("getCmdLineOpts")["parsed"]["net"]["bindIp"] == str(server.socket)
    finally:
        server.stop()
    assert not alive(pid)
    server.stop()
    again = LocalMongod(tmp_path)
    with MongoClient(again.start()) as client:
        assert client.x.y.find_one() == {"_id": 1}
    again.stop()


def test_two_that_start_at_once_share_one_server(tmp_path: Path) -> None:
    servers = [LocalMongod(tmp_path) for _ in range(3)]
    started, over = threading.Barrier(4), threading.Event()

    def start(server: LocalMongod) -> None:
        server.start()
        started.wait(30)
        over.wait(30)  # the kernel ends a mongod with the thread that started it

    threads = [threading.Thread(target=start, args=[server]) for server in servers]
    for thread in threads:
        thread.start()
    started.wait(30)
    pids = [server.pid for server in servers if server.pid is not None]
    assert len(pids) == 1
    for server in servers:
        if server.pid is None:
            server.stop()  # a shared server is left alone
    assert alive(pids[0])
    for server in servers:
        server.stop()
    over.set()
    for thread in threads:
        thread.join()
    assert not alive(pids[0])


def test_the_server_of_a_killed_parent_is_stopped_and_its_data_kept(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from app.local_mongod import LocalMongod; from pymongo import MongoClient;"
        "server = LocalMongod(Path(sys.argv[1])); MongoClient(server.start()).x.y.insert_one({'_id': 7}); print('PID', server.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    orphan = int(next(line for line in parent.stdout if line.startswith("PID")).split()[1])
    # An orphan that did not hear the kernel's signal: stopped before its parent dies, it stays.
    os.kill(orphan, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    os.kill(orphan, signal.SIGCONT)
    server = LocalMongod(tmp_path)
    with MongoClient(server.start()) as client:
        assert client.x.y.find_one() == {"_id": 7}
    assert server.pid != orphan
    assert not alive(orphan)
    server.stop()


def test_a_stale_pid_file_does_not_touch_a_stranger(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    (tmp_path / "mongod.pid").write_text(f"{stranger.pid} 1 1\n")
    server = LocalMongod(tmp_path)
    try:
        server.start()
        assert alive(stranger.pid)
    finally:
        server.stop()
        stranger.kill()
        stranger.wait()


def test_a_folder_with_a_long_path_works_and_may_be_moved(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    server = LocalMongod(long)
    assert len(str(server.socket)) < 100
    with MongoClient(server.start()) as client:
        client.x.y.insert_one({"_id": 1})
    server.stop()
    long.rename(tmp_path / "moved")
    moved = LocalMongod(tmp_path / "moved")
    with MongoClient(moved.start()) as client:
        assert client.x.y.find_one() == {"_id": 1}
    moved.stop()


def test_no_mongod_says_in_three_lines_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.local_mongod.find_mongod", lambda: None)
    with pytest.raises(StartError) as caught:
        LocalMongod(tmp_path).start()
    assert len(str(caught.value).splitlines()) == 3
    assert "MONGODB_URI" in str(caught.value)


def test_a_mongod_that_ends_at_once_says_where_its_log_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.local_mongod.find_mongod", lambda: "/bin/false")
    with pytest.raises(StartError, match=r"ended at once.*\n.*mongod\.log"):
        LocalMongod(tmp_path).start()


def test_the_one_on_path_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mongod").write_text("#!/bin/sh\n")
    (tmp_path / "mongod").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == str(tmp_path / "mongod")


# -- opening the store ------------------------------------------------------------------------------------------------


def test_a_server_that_is_away_or_standalone_stops_the_start_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.mongo.SERVER_WAIT_MS", 300)
    with pytest.raises(StartError, match="Set MONGODB_URI to a server that answers"):
        open_store(Settings(mongodb_uri="mongodb://127.0.0.1:1/"))
    binary = find_mongod()
    assert binary is not None
    (tmp_path / "db").mkdir()
    socket = tmp_path / "s.sock"
    alone = subprocess.Popen([binary, "--dbpath", str(tmp_path / "db"), "--bind_ip", str(socket)], stdout=subprocess.DEVNULL)
    try:
        eventually(socket.exists)
        monkeypatch.setattr("app.mongo.SERVER_WAIT_MS", 10_000)
        with pytest.raises(StartError, match="needs a replica set"):
            open_store(Settings(mongodb_uri=f"mongodb://{str(socket).replace('/', '%2F')}"))
    finally:
        alone.terminate()
        alone.wait()


# -- migrations -------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(mongod: str, database_name: str):  # type: ignore[no-untyped-def]
    client = connect(mongod)
    yield Store(client, open_database(client, database_name), None)
    client.drop_database(database_name)
    client.close()


@pytest.mark.parametrize("folder", ["Projects/My Jobs", "very-long-" * 12, "ÄÖÜ", "a b"])
def test_a_data_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    server = LocalMongod(tmp_path / folder)
    try:
        with connect(server.start()) as client:
            assert client["x"]["y"].insert_one({"_id": 1}).acknowledged
    finally:
        server.stop()


def test_servers_that_start_at_once_listen_on_their_own_sockets_alone(tmp_path: Path) -> None:
    def sockets() -> set[str]:
        return {line.split()[7] for line in Path("/proc/net/unix").read_text().splitlines()[1:] if len(line.split()) == 8}

    before, servers = sockets(), [LocalMongod(tmp_path / f"{n}") for n in range(4)]
    with ThreadPoolExecutor(4) as pool:  # a server ends with the thread that started it
        list(pool.map(LocalMongod.start, servers))
        ours = (str(tmp_path), "/tmp/mongodb-")  # others may start servers meanwhile
        made = {path for path in sockets() - before if path.endswith(".sock") and path.startswith(ours)}
        for server in servers:
            server.stop()
    assert made == {str(server.socket) for server in servers}


def test_migrations_run_once_whoever_races_and_can_be_taken_back(bare: Store) -> None:
    names = [name for name, _ in find_migrations()]
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(Migrator(bare.database, SystemClock()).upgrade())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [[], [], [], [], [], names]
    migrator = Migrator(bare.database, SystemClock())
    assert migrator.applied() == names
    assert bare.database["migrations"].find_one(MARKER) is not None
    assert "one_per_due_time" in bare.database["job_executions"].index_information()
    bare.database["job_executions"].insert_one({"_id": "kept"})
    with pytest.raises(StartError, match="no migration 'nothing'"):
        migrator.downgrade("nothing")
    assert migrator.downgrade("zero") == names[::-1]
    assert set(bare.database["job_executions"].index_information()) == {"_id_"}
    assert bare.database["job_executions"].find_one() == {"_id": "kept"}
    assert migrator.downgrade("zero") == []
    assert migrator.upgrade() == names


def test_the_lean_queue_comes_and_goes_with_all_that_it_found(bare: Store) -> None:
    migrator, at = Migrator(bare.database, SystemClock()), datetime(2026, 3, 2, tzinfo=UTC)
    migrator.upgrade()
    migrator.downgrade("0005_verdicts")
    executions, logs = bare.database["job_executions"], bare.database["execution_logs"]
    old = [
        {"_id": "q", "job_id": "j", "status": "queued", "queued_at": at, "queue_rank": at},
        {"_id": "r", "job_id": "j", "status": "running", "queued_at": at, "queue_rank": at, "slot_key": "j#0"},
        {"_id": "t", "job_id": "k", "status": "retrying", "queued_at": at, "queue_rank": at, "slot_key": "k#0"},
        {"_id": "s", "job_id": "j", "status": "success", "queued_at": at, "completed_at": at},
    ]
    lines = [{"execution_id": "r", "attempt": 1, "seq": f"00001.{n:08d}", "lines": [{"message": f"{n}"}]} for n in range(2500)]
    executions.insert_many(old)
    logs.insert_many([dict(one) for one in lines])
    assert migrator.upgrade()[0] == "0006_lean_queue"
    rows = {row["_id"]: row for row in executions.find()}
    assert {key: sorted({"live", "queue_rank", "rank", "slots"} & set(row)) for key, row in rows.items()} == {
        "q": ["live", "queue_rank", "rank"],
        "r": ["live", "rank", "slots"],
        "t": ["live", "queue_rank", "rank", "slots"],
        "s": [],
    }
    assert (rows["r"]["slots"], "slot_key" in rows["r"]) == (["j#0"], False)
    read, _ = LogStore(bare.database).read("r", limit=5000)
    assert [line["message"] for line in read] == [str(n) for n in range(2500)]
    migrator.downgrade("0005_verdicts")
    assert {row["_id"]: row for row in executions.find()} == {row["_id"]: row for row in old}
    back = sorted(logs.find({}, {"_id": 0}), key=lambda row: row["seq"])
    assert back == lines
    assert migrator.upgrade()[0] == "0006_lean_queue"


def test_the_chain_begins_after_the_events_that_are_there(bare: Store) -> None:
    migrator, events = Migrator(bare.database, SystemClock()), bare.database["audit_log"]
    migrator.upgrade()
    migrator.downgrade("0006_lean_queue")
    at = datetime(2026, 3, 2, tzinfo=UTC)
    events.insert_many([{"_id": n, "at": at + timedelta(seconds=(n * 7) % 2500), "action": "job.create"} for n in range(2500)])
    assert migrator.upgrade()[0] == "0007_audit_chain"
    numbers = [row["seq"] for row in events.find().sort([("at", 1), ("_id", 1)])]
    assert numbers == list(range(1, 2501))
    trail = AuditTrail(AuditStore(bare.database), SystemClock(), KeyRing("key"))
    with trail.action(SYSTEM, "job.create", kind="job", target_id="j"):
        pass
    report = trail.verify()
    assert (report.events, report.unsealed, report.breaks) == (2501, 2500, ())
    migrator.downgrade("0006_lean_queue")
    assert events.count_documents({"seq": {"$exists": True}}) == 1  # a sealed event keeps its number
    assert migrator.upgrade()[0] == "0007_audit_chain"


def test_a_lock_that_is_held_is_waited_for_and_one_that_is_stale_is_taken(bare: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.migrations.WAIT_SECONDS", 0.3)
    clock = SystemClock()
    from datetime import timedelta

    bare.database["migrations"].insert_one({"_id": "lock", "owner": "other", "expires_at": clock.now() + timedelta(minutes=5)})
    with pytest.raises(StartError, match="Another process"):
        Migrator(bare.database, clock).upgrade()
    bare.database["migrations"].update_one({"_id": "lock"}, {"$set": {"expires_at": clock.now() - timedelta(seconds=1)}})
    assert Migrator(bare.database, clock).upgrade()


# -- the command line -------------------------------------------------------------------------------------------------


def test_bad_settings_stop_the_start_naming_them() -> None:
    made = run("serve", PORT="eighty", LOG_LEVEL="loud")
    assert made.returncode == 78
    assert "PORT must be a whole number, not 'eighty'." in made.stderr
    assert "LOG_LEVEL" in made.stderr
    assert "Traceback" not in made.stderr


def test_users_tokens_and_migrations_from_the_command_line(mongod: str, database_name: str, tmp_path: Path) -> None:
    where = {"MONGODB_URI": mongod, "JOBWRIGHT_DATABASE": database_name, "JOBWRIGHT_DATA_DIR": str(tmp_path)}
    try:
        made = run("user", "create", "--email", "Ada@Example.com", "--role", "super_admin", JOBWRIGHT_NEW_PASSWORD=PASSWORD, **where)
        assert (made.returncode, made.stdout) == (0, "Created ada@example.com with the role super_admin.\n"), made.stderr
        twice = run("user", "create", "--email", "ada@example.com", JOBWRIGHT_NEW_PASSWORD=PASSWORD, **where)
        assert (twice.returncode, "is already used by" in twice.stderr) == (4, True)
        short = run("user", "create", "--email", "x", JOBWRIGHT_NEW_PASSWORD="short", **where)
        assert [line.split(":")[0] for line in short.stderr.splitlines()[1:]] == ["  email", "  password"]
        token = run("token", "create", "--user", "ada@example.com", "--name", "ci", "--scope", "read", "--days", "30", **where)
        assert token.stdout.startswith("jw_")
        assert token.stdout.count("\n") == 1
        assert run("token", "create", "--user", "nobody@example.com", "--name", "x", **where).returncode == 3
        assert run("token", "create", "--user", "ada@example.com", "--name", " ", **where).returncode == 4
        assert run("migrate", **where).stdout == "There is nothing to migrate.\n"
        assert run("migrate", "--down-to", "zero", **where).stdout.split() == [name for name, _ in reversed(find_migrations())]
        assert run("--version").stdout.startswith("jobwright, version")
        assert run("nonsense").returncode == 2
        with MongoClient(mongod) as client:
            stored = client[database_name]["api_tokens"].find_one()
            assert stored is not None
            assert token.stdout.strip() not in str(stored)
    finally:
        with MongoClient(mongod) as client:
            client.drop_database(database_name)


@pytest.mark.parametrize("executor", ["local", "celery"])
def test_the_demo_ends_well(mongod: str, executor: str) -> None:
    made = run("demo", "--executor", executor, MONGODB_URI=mongod)
    assert made.returncode == 0, made.stdout + made.stderr
    ours = [
        entry.template.type
        for entry in Catalogue.discover()
        if entry.template.listed and (entry.template.category != "Tests" or entry.template.type == "test_scheduler")
    ]
    assert [kind for kind in ours if f"\n{kind} " not in made.stdout] == []
    assert made.stdout.count("success") == len(ours) + 1, "and a job that a service registers"
    with MongoClient(mongod) as client:
        assert not [name for name in client.list_database_names() if name.startswith("jobwright_demo")]


def test_a_port_that_is_taken_is_said(mongod: str, database_name: str, tmp_path: Path) -> None:
    first = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path / "a").wait_ready()
    try:
        port = first.address.rpartition(":")[2]
        second = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path / "b", PORT=port)
        assert second.process.wait(20) == 78
        assert f"Port {port} is already in use. Set PORT to another one." in second.log.read_text()
    finally:
        first.stop()
        with MongoClient(mongod) as client:
            client.drop_database(database_name)


def test_a_first_start_prints_a_generated_password_once(mongod: str, database_name: str, tmp_path: Path) -> None:
    settings = {"JOBWRIGHT_ADMIN_PASSWORD": "", "JOBWRIGHT_ADMIN_EMAIL": ADMIN}
    try:
        for expected in (1, 0):
            service = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path / "d", **settings).wait_ready()
            assert service.log.read_text().count("Sign in as admin@example.com with the password ") == expected
            began = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - began < 10
    finally:
        with MongoClient(mongod) as client:
            client.drop_database(database_name)


def read_of_a_terminal(terminal: int, until: str) -> str:
    """What a terminal shows, up to and with a text."""
    shown = b""
    while until.encode() not in shown:
        shown += os.read(terminal, 65536)
    return shown.decode()


def test_on_a_terminal_a_start_ends_in_plain_lines(tmp_path: Path) -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("JOBWRIGHT_", "MONGODB_"))}
    environment = {**clean, "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"), "PORT": "0", "HOST": "127.0.0.1", "JOBWRIGHT_SAMPLE": "1"}
    for first in (True, False):
        ours, theirs = os.openpty()
        process = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env=environment, stdout=theirs, stderr=theirs, stdin=theirs)
        os.close(theirs)
        try:
            shown = read_of_a_terminal(ours, "to stop.")
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
            os.close(ours)
        log, where, account, stop = shown.replace("\r", "").rstrip("\n").rsplit("\n", 3)
        assert re.fullmatch(r"  Jobwright is at http://127\.0\.0\.1:\d+", where)
        assert account.startswith("  Sign in as admin@localhost with the password " if first else "  Sign in as admin@localhost. Forgotten")
        assert stop == "  Press Ctrl-C to stop."
        lines = [line for line in log.splitlines() if line]
        assert all(re.match(r"\d\d:\d\d:\d\d info ", line) for line in lines), lines
        assert len(lines) < 10
        assert not re.search(r"pid=|seal=|migration", log)
    server = LocalMongod(tmp_path / "data")
    try:
        with MongoClient(server.start()) as client:
            assert client["jobwright"]["dynamic_jobs"].count_documents({"tags": "sample"}) == 3
    finally:
        server.stop()


def test_the_first_admin_is_made_once(services: Services) -> None:
    assert services.accounts.ensure_first_admin(SYSTEM, email="First@Example.com", password="") is not None
    assert services.accounts.ensure_first_admin(SYSTEM, email="second@example.com", password="") is None
