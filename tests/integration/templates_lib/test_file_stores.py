"""File stores: the same promises on this machine, S3, SFTP and Google Cloud Storage, each against a server of its own."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest

from app.validation import SchemaValidator
from templates_lib.base import ConnectionGrant, TemplateError
from templates_lib.connections.file_store import KIND, SCHEMA, open_store
from templates_lib.connections.stores import FileEntry, FileStore
from templates_lib.file_cleanup.template import FileCleanup
from templates_lib.own import Own
from tests.running import Ctx

Make = Callable[[], dict[str, Any]]


# -- servers -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def gcs_address() -> Iterator[str]:
    from gcp_storage_emulator import server as emulator

    # An upload that is given up (https://cloud.google.com/storage/docs/performing-resumable-uploads#cancel-upload): the emulator lacks it.
    for pattern, answers in emulator.HANDLERS:
        if "upload" in pattern and isinstance(answers, dict):
            answers.setdefault("DELETE", lambda request, response, storage: None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="exports")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


class _Files(paramiko.SFTPServerInterface):
    """Files of a folder over SFTP, as paramiko's own example of a server does it."""

    root = ""

    def _path(self, path: str) -> str:
        return self.root + self.canonicalize(path)

    def list_folder(self, path: str) -> Any:
        try:
            found = []
            for name in sorted(one.name for one in Path(self._path(path)).iterdir()):
                made = paramiko.SFTPAttributes.from_stat((Path(self._path(path)) / name).lstat())
                made.filename = name
                found.append(made)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return found

    def _stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(os.lstat(self._path(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    stat = lstat = _stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        try:
            number = os.open(self._path(path), flags, attr.st_mode or 0o666)
            mode = "wb" if flags & os.O_WRONLY else "r+b" if flags & os.O_RDWR else "rb"
            stream = os.fdopen(number, mode)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = handle.writefile = stream  # type: ignore[attr-defined]
        return handle

    def _do(self, work: Callable[[], Any]) -> int:
        try:
            work()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return paramiko.SFTP_OK

    def remove(self, path: str) -> int:
        return self._do(Path(self._path(path)).unlink)

    def rename(self, old: str, new: str) -> int:
        return self._do(lambda: Path(self._path(old)).rename(self._path(new)))

    posix_rename = rename

    def mkdir(self, path: str, attr: Any) -> int:
        return self._do(lambda: Path(self._path(path)).mkdir(attr.st_mode or 0o777))

    def rmdir(self, path: str) -> int:
        return self._do(Path(self._path(path)).rmdir)


class _Door(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if (username, password) == ("jobs", "s3cret") else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:
        return "password"


@pytest.fixture(scope="module")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    root = tmp_path_factory.mktemp("sftp")
    (root / "srv").mkdir()
    files = type("Files", (_Files,), {"root": str(root)})
    key = paramiko.ECDSAKey.generate()
    listener = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(line)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, files)
            transports.append(transport)
            # A probe first only looks whether something listens, and leaves without a word.
            with suppress(paramiko.SSHException, EOFError):
                transport.start_server(server=_Door())

    threading.Thread(target=serve, daemon=True).start()
    yield {"host": "127.0.0.1", "port": listener.getsockname()[1], "host_key": f"{key.get_name()} {key.get_base64()}", "root": root}
    listener.close()
    for one in transports:
        one.close()


@pytest.fixture(params=["local", "s3", "sftp", "gcs"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The settings of a store that is empty."""
    where = request.param
    folder = f"t{os.urandom(4).hex()}"
    if where == "local":
        (tmp_path / folder).mkdir()
        return {"path": str(tmp_path / folder)}
    if where == "s3":
        import boto3

        address = request.getfixturevalue("s3_address")
        boto3.client("s3", endpoint_url=address, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1").create_bucket(
            Bucket=folder
        )
        return {"where": "s3", "path": f"{folder}/nightly", "endpoint": address, "region": "us-east-1", "key_id": "k", "key": "s"}
    if where == "gcs":
        return {"where": "gcs", "path": f"exports/{folder}", "gcs_endpoint": request.getfixturevalue("gcs_address")}
    server = request.getfixturevalue("sftp_server")
    (server["root"] / "srv" / folder).mkdir()
    given = {name: value for name, value in server.items() if name != "root"}
    return {"where": "sftp", "path": f"/srv/{folder}", "username": "jobs", "password": "s3cret", **given}


def put(store: FileStore, name: str, content: bytes = b"x") -> None:
    with store.write_atomically(name) as stream:
        stream.write(content)


def half(store: FileStore, name: str, content: bytes) -> None:
    with store.write_atomically(name) as stream:
        stream.write(content)
        raise ZeroDivisionError


# -- promises ----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_listed_and_removed(settings: dict[str, Any]) -> None:
    assert SchemaValidator(SCHEMA).errors(settings) == []
    store = open_store(settings, Own())
    assert not store.exists("a/b.csv")
    put(store, "a/b.csv", b"one" * 1000)
    put(store, "a/b.csv", b"two")
    put(store, "top.csv", b"1234")
    assert store.exists("a/b.csv")
    assert not store.exists("a")
    assert store.read("a/b.csv", limit_bytes=10) == b"two"
    assert store.size("top.csv") == 4
    assert sorted(one.name for one in store.files()) == ["top.csv"]
    assert sorted((one.name, one.size) for one in store.files(recursive=True)) == [("a/b.csv", 3), ("top.csv", 4)]
    [entry] = store.files("a")
    assert entry.name == "a/b.csv"
    assert not store.remove(FileEntry(entry.name, entry.size, entry.changed - 5)), "written to since it was listed"
    assert store.remove(entry)
    assert not store.remove(entry), "it is gone"
    assert [one.name for one in store.files(recursive=True)] == ["top.csv"]
    store.remove_empty_folders()


def test_a_file_appears_whole_or_not_at_all(settings: dict[str, Any]) -> None:
    store = open_store(settings, Own())
    with pytest.raises(ZeroDivisionError):
        half(store, "half.csv", b"x" * 100)
    assert not store.exists("half.csv")
    put(store, "there.csv", b"old")
    with pytest.raises(ZeroDivisionError):
        half(store, "there.csv", b"new")
    assert store.read("there.csv", limit_bytes=10) == b"old"
    assert [one.name for one in store.files(recursive=True)] == ["there.csv"], "nothing half-written is left"


@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
@pytest.mark.parametrize("where", ["local", "sftp"])
def test_what_is_written_is_its_owners_alone_from_the_first_byte(
    where: str, mask: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if where == "local":
        root, settings = tmp_path / "new" / "store", {"path": str(tmp_path / "new" / "store")}
    else:
        server = request.getfixturevalue("sftp_server")
        given = {name: value for name, value in server.items() if name != "root"}
        name = f"new{os.urandom(4).hex()}"
        root, settings = (
            server["root"] / "srv" / name / "store",
            {"where": "sftp", "path": f"/srv/{name}/store", "username": "jobs", "password": "s3cret", **given},
        )
        if mask == 0o777:
            return  # a server that may not read what it made
    before = os.umask(mask)
    try:
        store = open_store(settings, Own(), mark="run")
        with store.write_atomically("a/b/c.csv") as stream:
            stream.write(b"x")
            stream.flush()
            assert [mode(path) for path in (root / "a" / "b").iterdir()] == [0o600]
        (root / "a" / "b" / ".left.run.part").write_bytes(b"")
        (root / "a" / "b" / ".left.run.part").chmod(0o666)
        put(store, "a/b/left")
        if where == "local":
            assert "can be written" in KIND.probe({"path": str(tmp_path / "probed" / "deep")}, Own())
            assert (mode(tmp_path / "probed"), mode(tmp_path / "probed" / "deep")) == (0o700, 0o700)
    finally:
        os.umask(before)
    assert [mode(path) for path in (root / "a" / "b" / "c.csv", root / "a" / "b" / "left")] == [0o600, 0o600]
    assert [mode(path) for path in (root.parent, root, root / "a", root / "a" / "b")] == [0o700] * 4
    put(store, "top.csv")
    assert mode(root) == 0o700


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_others_left_is_replaced_and_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir(mode=0o755)
    (root / "there.csv").write_bytes(b"old")
    (root / "there.csv").chmod(0o644)
    (tmp_path / "victim").write_bytes(b"victim")
    (root / ".there.csv.run.part").symlink_to(tmp_path / "victim")
    put(open_store({"path": str(root)}, Own(), mark="run"), "there.csv", b"new")
    assert (root / "there.csv").read_bytes() == b"new"
    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert (mode(root / "there.csv"), mode(root)) == (0o600, 0o755), "a folder that was there stays as it is"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\b", "a\0b"])
def test_no_name_leaves_the_store(settings: dict[str, Any], name: str) -> None:
    store = open_store(settings, Own())
    for work in (lambda: put(store, name), lambda: store.exists(name), lambda: list(store.files(name)) if name else store.size(name)):
        with pytest.raises(TemplateError, match="plain path") as refused:
            work()
        assert refused.value.permanent


def test_what_is_missing_or_too_large_is_permanent(settings: dict[str, Any]) -> None:
    store = open_store(settings, Own())
    put(store, "large.bin", b"x" * 50)
    for work in (
        lambda: store.read("none", limit_bytes=9),
        lambda: store.read("large.bin", limit_bytes=49),
        lambda: list(store.files("none")),
    ):
        with pytest.raises(TemplateError) as told:
            work()
        assert told.value.permanent


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
def test_megabytes_go_in_parts_and_come_back(settings: dict[str, Any]) -> None:
    store, content = open_store(settings, Own()), os.urandom(1_000_000) * 7
    with store.write_atomically("large") as stream:
        for at in range(0, len(content), 65_536):
            stream.write(content[at : at + 65_536])
    with store.open("large") as stream:
        assert stream.read() == content


def test_the_probe_says_that_it_can_be_written(settings: dict[str, Any]) -> None:
    assert "can be written" in KIND.probe(settings, Own())
    assert list(open_store(settings, Own()).files(recursive=True)) == []


def test_old_files_are_cleaned_up_wherever_they_are(settings: dict[str, Any], ctx: Ctx) -> None:
    from datetime import UTC, datetime, timedelta

    store = open_store(settings, Own())
    for name in ("old/a.csv", "old/b.csv", "old/keep.txt"):
        put(store, name)
    grants = {"files": ConnectionGrant("files", "file_store", settings)}
    params = {"store": "files", "folder": "old", "pattern": "*.csv", "older_than_days": 1, "dryRun": False}
    later = datetime.now(UTC) + timedelta(days=2)
    assert FileCleanup().preview(params, ctx(grants=grants, now=later)).data["would_delete"] == 2
    assert FileCleanup().run(params, ctx(grants=grants)).data["files_deleted"] == 0
    assert FileCleanup().run(params, ctx(grants=grants, now=later)).data["files_deleted"] == 2
    assert [one.name for one in store.files("old")] == ["old/keep.txt"]


def test_a_host_with_another_key_is_not_believed(sftp_server: dict[str, Any]) -> None:
    other = paramiko.ECDSAKey.generate()
    given = {name: value for name, value in sftp_server.items() if name != "root"}
    settings = {"where": "sftp", "path": "/srv", "username": "jobs", "password": "s3cret", **given}
    with pytest.raises(TemplateError, match="does not match"):
        open_store({**settings, "host_key": f"{other.get_name()} {other.get_base64()}"}, Own())
    with pytest.raises(TemplateError, match="[Aa]uthentication failed"):
        open_store({**settings, "password": "wrong"}, Own())


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"path": "relative"}, "/path"),
        ({"where": "s3", "path": "/absolute"}, "/path"),
        ({"where": "sftp", "path": "/x"}, "/host"),
        ({"where": "s3", "path": "b", "key_id": "k"}, "/key"),
        ({"where": "ftp", "path": "/x"}, "/where"),
        ({"where": "sftp", "path": "/x", "host": "h", "username": "u", "host_key": "nonsense"}, "/host_key"),
    ],
)
def test_settings_that_cannot_be_right_are_told_at_their_place(settings: dict[str, Any], pointer: str) -> None:
    assert pointer in [one.pointer for one in SchemaValidator(SCHEMA).errors(settings)]


def test_a_store_whose_library_is_not_there_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TemplateError, match=r"pip install 'jobwright\[s3\]'"):
        open_store({"where": "s3", "path": "bucket"}, Own())
