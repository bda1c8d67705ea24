"""What is wrong around a command is one sentence that names its setting, exit code 78, no traceback, and nothing is left behind."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from pymongo import MongoClient

from app.accounts.model import Role
from app.cli.session import cli_actor
from app.config import Settings
from app.errors import ConfigError, StartError
from app.factory import Store, build_services, open_store
from app.local_mongod import LocalMongod
from app.migrations import find_migrations
from app.premises import describe_folder_error, make_data_folder
from app.services import Services
from tests.commands import jobwright
from tests.support import KINDS, PASSWORD

COMMANDS = (("serve",), ("web",), ("scheduler",), ("user", "list"), ("token", "list"), ("export",), ("doctor",), ("migrate",))
READING = (
    ("user", "list"),
    ("user", "reset", "a@example.com"),
    ("token", "list"),
    ("export",),
    ("doctor",),
    ("token", "create", "--user", "nobody@example.com", "--name", "x"),
    ("secrets", "reseal"),
)


def run(where: Path, *words: str, **environment: str) -> tuple[int, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("JOBWRIGHT_", "MONGODB_"))}
    made = jobwright({**clean, "PYTHONPATH": str(KINDS), "JOBWRIGHT_DATA_DIR": str(where), **environment}, *words)
    assert "Traceback" not in made.stderr, made.stderr
    return made.returncode, made.stderr


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("postgres://x", "MONGODB_URI"),
        ("mongodb://", "MONGODB_URI"),
        ("mongodb://a b", "MONGODB_URI"),
        ("mongodb://h:99999", "MONGODB_URI"),
        ("mongodb://u:p@ss@h", "MONGODB_URI"),
        ("mongodb://h/?replicaSet", "MONGODB_URI"),
        ("mongodb://127.0.0.1:1/?tlsCAFile=/no/such.pem", "MONGODB_URI: the file /no/such.pem"),
        ("mongodb://127.0.0.1:1/?replicaSet=rs0", "Set MONGODB_URI to a server that answers"),
        ("mongodb://no-such-host.invalid/?replicaSet=rs0", "Set MONGODB_URI to a server that answers"),
    ],
)
def test_an_address_of_mongodb_that_is_none_or_answers_not(tmp_path: Path, uri: str, words: str) -> None:
    settings = Settings(mongodb_uri=uri, data_dir=str(tmp_path / "data"))
    with pytest.raises((ConfigError, StartError), match=words):
        open_store(settings)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_says_it_in_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, told = run(tmp_path / "data", *words, MONGODB_URI="postgres://x", PORT="0")
    assert (code, "MONGODB_URI" in told) == (78, True), told
    (tmp_path / "file").touch()
    code, told = run(tmp_path / "file" / "data", *words, PORT="0")
    assert (code, "JOBWRIGHT_DATA_DIR" in told) == (78, True), told


def test_a_name_of_a_database_that_is_none(mongod: str, tmp_path: Path) -> None:
    code, told = run(tmp_path, "migrate", MONGODB_URI=mongod, JOBWRIGHT_DATABASE="a/b $")
    assert (code, "JOBWRIGHT_DATABASE" in told) == (78, True), told


def test_a_wrong_password_and_a_user_without_rights(mongod: str, tmp_path: Path) -> None:
    """The server of the tests asks for no password; it says so to whoever gives a wrong one."""
    address = mongod.replace("mongodb://", "mongodb://nobody:wrong@")
    with pytest.raises(ConfigError, match="MONGODB_URI: the server refuses the user name or password"):
        open_store(Settings(mongodb_uri=address, data_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "change the owner of this folder"),
        (errno.EROFS, "can write to"),
        (errno.ENOSPC, "Free disk space"),
        (errno.ENOTDIR, "A file is in the place"),
        (errno.EIO, "Set a folder"),
    ],
)
def test_a_folder_that_cannot_be_used_says_what_to_do(number: int, advice: str) -> None:
    words = describe_folder_error(Path("/srv/x"), OSError(number, os.strerror(number), "/srv/x/y"))
    assert words.startswith("JOBWRIGHT_DATA_DIR: /srv/x cannot be used: ")
    assert advice in words
    assert "/srv/x/y" in words


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(ConfigError, match="JOBWRIGHT_DATA_DIR"):
        make_data_folder(tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOBWRIGHT_PUBLIC_URL", "jobs.example.com"),
        ("JOBWRIGHT_PUBLIC_URL", "https://"),
        ("JOBWRIGHT_PUBLIC_URL", "https://h:x"),
        ("JOBWRIGHT_OIDC_ISSUER", "https://"),
        ("JOBWRIGHT_DATA_DIR", "~no-such-user-here/x"),
        ("MONGODB_URI_FILE", "/no/such/file"),
        ("JOBWRIGHT_SECRET_KEY_FILE", "/"),
        ("HOST", "no-such-host.invalid"),
        ("HOST", "203.0.113.7"),
        ("PORT", "70000"),
        ("DEFAULT_RETRY_DELAY", "100000"),
        ("SCHEDULER_MISFIRE_GRACE_TIME", "9999999"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    code, told = run(tmp_path / "data", "web", **{"PORT": "0", name: value})
    assert (code, name in told) == (78, True), told
    assert not (tmp_path / "data" / "mongo").exists()


def test_a_port_that_is_taken_is_found_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = run(tmp_path / "data", "serve", PORT=str(port))
    assert (code, told) == (78, f"jobwright: Cannot start: Port {port} is already in use. Set PORT to another one.\n")
    assert not (tmp_path / "data").exists()
    assert "password" not in told


def test_a_wrong_address_of_the_database_is_found_before_anything_is_made(tmp_path: Path) -> None:
    code, told = run(tmp_path / "data", "serve", MONGODB_URI="postgres://x", PORT="0")
    assert (code, "MONGODB_URI: " in told, "Traceback" in told) == (78, True, False), told
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_what_only_looks_makes_nothing(mongod: str, database_name: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    code, told = run(tmp_path / "data", *words)
    assert (code, str(tmp_path / "data") in told, "JOBWRIGHT_DATA_DIR" in told) == (78, True, True), told
    assert list(tmp_path.iterdir()) == []
    code, told = run(tmp_path / "data", *words, MONGODB_URI=mongod, JOBWRIGHT_DATABASE=database_name)
    assert (code, database_name in told) == (78, True), told
    assert list(tmp_path.iterdir()) == []
    with MongoClient(mongod) as client:
        assert database_name not in client.list_database_names()


def test_an_unknown_account_is_told_where_it_was_looked_for_and_which_there_are(
    store: Store, services: Services, mongod: str, tmp_path: Path
) -> None:
    services.accounts.create_user(cli_actor(), email="ada@example.com", password=PASSWORD, role=Role.ADMIN)
    where = {"MONGODB_URI": mongod, "JOBWRIGHT_DATABASE": store.database.name, "JOBWRIGHT_SECRET_KEY": services.settings.secret_key}
    code, told = run(tmp_path / "data", "token", "create", "--user", "nobody@example.com", "--name", "x", **where)
    assert (code, store.database.name in told, "ada@example.com" in told) == (3, True, True), told
    assert not (tmp_path / "data").exists()
    code, told = run(tmp_path / "data", "token", "list", **{**where, "JOBWRIGHT_SECRET_KEY": ""})
    assert (code, "JOBWRIGHT_SECRET_KEY" in told) == (78, True), told
    assert not (tmp_path / "data").exists()


def test_a_registry_that_waits_for_migrations_is_left_alone(store: Store, services: Services, mongod: str, tmp_path: Path) -> None:
    last = find_migrations()[-1][0]
    row = store.database["migrations"].find_one_and_delete({"_id": last})
    try:
        where = {"MONGODB_URI": mongod, "JOBWRIGHT_DATABASE": store.database.name, "JOBWRIGHT_SECRET_KEY": services.settings.secret_key}
        code, told = run(tmp_path, "user", "list", **where)
        assert (code, "jobwright migrate" in told) == (78, True), told
    finally:
        store.database["migrations"].insert_one(row or {"_id": last})


def test_a_mongod_that_cannot_be_run_or_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    (folder / "mongod").write_text("no program")
    (folder / "mongod").chmod(0o755)
    with pytest.raises(StartError, match="cannot be run|MONGODB_URI"):
        LocalMongod(tmp_path / "data").start()
    (folder / "mongod").write_text("#!/bin/false\n")
    with pytest.raises(StartError, match="MONGODB_URI"):
        LocalMongod(tmp_path / "data").start()


def test_a_key_is_made_only_where_it_may_be(settings: Settings, store: Store) -> None:
    with pytest.raises(StartError, match="JOBWRIGHT_DATA_DIR"):
        build_services(replace(settings, secret_key=""), store, make_key=False)
    assert not settings.data_path.exists()
