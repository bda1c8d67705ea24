"""A private mongod as a supervised child, for a machine where `MONGODB_URI` is unset (design.md, 4)."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from app.errors import StartError
from app.events import get_logger
from app.premises import DATABASE
from templates_lib.private import make_folders

log = get_logger(__name__)

START_SECONDS = 20.0  # a cold disk; measured 0.6 s here, replica set election included
TURN_SECONDS = 2 * START_SECONDS  # that another process may take to start the server
WATCH_SECONDS = 0.5
RESTART_PAUSE_SECONDS = 5.0  # between two tries to start one that cannot
STOP_SECONDS = 15.0  # a clean shutdown writes a checkpoint; after that SIGKILL, which mongod survives by its journal
LONGEST_SOCKET_PATH = 100  # sockaddr_un holds 107 characters (unix(7))
_PR_SET_PDEATHSIG = 1  # prctl(2)

HOW_TO_GET_ONE = """No MongoDB is at hand. One of these helps:
  set MONGODB_URI to a replica set you have, e.g. mongodb://db1,db2,db3/?replicaSet=rs0
  or install mongod on PATH, or `pip install 'jobwright[local]'` (x86-64 Linux; needs libcurl4 and OpenSSL 3)"""


def find_mongod() -> str | None:
    """Path of the mongod on PATH, else of the one inside the installed wheel, else None."""
    on_path = shutil.which("mongod")
    if on_path:
        return on_path
    spec = importlib.util.find_spec("fiftyone")
    for folder in spec.submodule_search_locations or () if spec else ():
        inside = Path(folder) / "db" / "bin" / "mongod"
        if inside.is_file():
            return str(inside)
    return None


class LocalMongod:
    """One mongod on one folder, listening on a Unix socket that only this user may open.

    `start` ends in one of three ways: a child of ours runs; a running one, whose Jobwright lives, is shared; StartError.
    Another's server is never touched: a process counts as ours only if its command line names our folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self.dbpath = data_dir / DATABASE
        self._pid_file = data_dir / "mongod.pid"  # its process id, ours, and when ours began (proc(5), starttime)
        self._start_lock = data_dir / "mongod.start"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._closing = threading.Lock(), threading.Event()
        direct = self.dbpath / "m.sock"
        # A driver writes the names of a replica set's members in small letters, also where they are paths.
        plain = len(str(direct)) <= LONGEST_SOCKET_PATH and str(direct) == str(direct).lower()
        self.socket = direct if plain else self._short_socket()

    @property
    def uri(self) -> str:
        """Connection string of the one-node replica set on the socket."""
        return f"mongodb://{quote(str(self.socket), safe='')}/?replicaSet=local"

    @property
    def pid(self) -> int | None:
        """Process id of our child, or None where the server is shared or down."""
        return self._process.pid if self._process else None

    def start(self) -> str:
        """Have a server and return its URI.

        1. A live one on this folder whose Jobwright lives is shared; one whose Jobwright was killed is stopped.
        2. mongod starts, bound to the parent: the kernel ends it when this process dies.
        3. The one-node replica set is made, once, and has its primary.
        """
        began = time.monotonic()
        make_folders(self.dbpath)
        with self._start_lock.open("w") as lock:
            self._await_turn(lock)  # two Jobwrights that start at once: one starts it, the other shares it
            if self._share_or_clear():
                return self.uri
            binary = find_mongod()
            if binary is None:
                raise StartError(HOW_TO_GET_ONE)
            self._spawn(binary)
            self._await_primary(began + START_SECONDS)
        log.info("mongod.started", pid=self.pid, seconds=round(time.monotonic() - began, 3))
        return self.uri

    def _await_turn(self, lock: IO[str]) -> None:
        """Take the lock of the start. Raises StartError where another process holds it for longer than a start takes."""
        deadline = time.monotonic() + TURN_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StartError(
                        f"Another process has been starting MongoDB in {self.dbpath.parent} (JOBWRIGHT_DATA_DIR) for {TURN_SECONDS:g} s. "
                        f"End it (fuser {self._start_lock} names it), or name another folder."
                    ) from None
                time.sleep(0.02)
            else:
                return

    def keep_up(self) -> None:
        """Start our child again whenever it ends by itself (killed, out of memory, a full disk), until `stop`."""
        # The kernel ends the server with the thread that started it: this one lives as long as the process.
        threading.Thread(target=self._watch, name="mongod-watch", daemon=True).start()

    def _watch(self) -> None:
        pause = 0.0
        while not self._closing.wait(WATCH_SECONDS + pause):
            with self._lock:
                process = self._process
                if process is None or process.poll() is None or self._closing.is_set():
                    pause = 0.0
                    continue
                log.error("mongod.died", pid=process.pid, code=process.returncode)
                try:
                    self.start()
                except (StartError, OSError) as error:
                    pause = RESTART_PAUSE_SECONDS
                    log.error("mongod.down", reason=str(error).splitlines()[0][:200])  # noqa: TRY400 - the reason says it all

    def stop(self) -> None:
        """End our child, cleanly if it can; a shared server is left alone."""
        self._closing.set()
        with self._lock:
            self._end_child()

    def _end_child(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._pid_file.unlink(missing_ok=True)
        log.info("mongod.stopped", pid=process.pid, code=process.returncode)

    def _share_or_clear(self) -> bool:
        pid = self._running_pid()
        if pid is None:
            return False
        if self._parent_lives() and self._answers():
            log.info("mongod.reused", pid=pid)
            return True
        os.kill(pid, signal.SIGTERM)
        if not _wait_gone(pid, STOP_SECONDS):
            os.kill(pid, signal.SIGKILL)
            _wait_gone(pid, STOP_SECONDS)
        log.warning("mongod.orphan_stopped", pid=pid)
        return False

    def _running_pid(self) -> int | None:
        """The process id of a mongod on our folder: from our pid file, else from mongod's own lock file."""
        for path in (self._pid_file, self.dbpath / "mongod.lock"):
            pid = path.read_text(encoding="utf-8").split()[:1] if path.exists() else []
            if pid and pid[0].isdigit() and str(self.dbpath) in _command_line(int(pid[0])):
                return int(pid[0])
        return None

    def _parent_lives(self) -> bool:
        """True while the very process that started the server runs: same id, same start."""
        written = self._pid_file.read_text(encoding="utf-8").split() if self._pid_file.exists() else []
        return len(written) == 3 and _started(int(written[1])) == written[2]

    def _spawn(self, binary: str) -> None:
        self.socket.unlink(missing_ok=True)
        libc = ctypes.CDLL(None, use_errno=True)
        parent = os.getpid()

        def tie_to_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        command = [
            binary,
            "--dbpath",
            str(self.dbpath),
            "--bind_ip",
            str(self.socket),
            "--nounixsocket",
            "--filePermissions",
            "0600",
            "--replSet",
            "local",
            "--oplogSize",
            "64",
            "--wiredTigerCacheSizeGB",
            "0.25",
            "--logpath",
            str(self.dbpath / "mongod.log"),
            "--logappend",
            "--setParameter",
            "diagnosticDataCollectionEnabled=false",
        ]
        # --nounixsocket: else it also makes /tmp/mongodb-27017.sock, and of two that start at once one finds that taken and ends.
        # Its own group: Ctrl-C in a terminal reaches us, and we end it after the drain.
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command without a shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=tie_to_parent,
                process_group=0,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StartError(f"{binary} cannot be run: {error}.\n{HOW_TO_GET_ONE}") from error
        self._pid_file.write_text(f"{self._process.pid} {parent} {_started(parent)}\n", encoding="utf-8")

    def _await_primary(self, deadline: float) -> None:
        while not self._accepts():  # a client that is refused once would wait half a second for its next look
            self._check_alive(deadline)
            time.sleep(0.005)
        with self._direct_client() as client:
            while True:
                self._check_alive(deadline)
                try:
                    if client.admin.command("hello").get("isWritablePrimary"):
                        return
                    self._initiate(client)
                except PyMongoError:
                    pass  # it is starting, or electing itself
                time.sleep(0.01)

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def _direct_client(self) -> MongoClient[dict[str, object]]:
        address = f"mongodb://{quote(str(self.socket), safe='')}/?directConnection=true"
        return MongoClient(address, serverSelectionTimeoutMS=5000)

    def _initiate(self, client: MongoClient[dict[str, object]]) -> None:
        member = {"_id": 0, "host": str(self.socket)}
        try:
            client.admin.command("replSetInitiate", {"_id": "local", "members": [member]})
        except OperationFailure as error:
            if error.code != 23:  # AlreadyInitialized
                raise
            self._follow_moved_folder(client)

    def _follow_moved_folder(self, client: MongoClient[dict[str, object]]) -> None:
        """A data folder that was moved has its old socket in the replica set's configuration: put the new one in."""
        config = client.local.system.replset.find_one() or {}
        members = config.get("members")
        if isinstance(members, list) and members[0]["host"] != str(self.socket):
            members[0]["host"] = str(self.socket)
            config["version"] = int(str(config["version"])) + 1
            client.admin.command("replSetReconfig", config, force=True)

    def _check_alive(self, deadline: float) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            code = process.returncode if process else "?"
            raise StartError(
                f"mongod ended at once with code {code}.\nIts log is {self.dbpath / 'mongod.log'}.\n"
                "It needs free disk space, a folder of this user that no other mongod uses, libcurl4 and OpenSSL 3; or set MONGODB_URI."
            )
        if time.monotonic() > deadline:
            self._end_child()
            raise StartError(f"mongod was not ready within {START_SECONDS:g} s.\nIts log is {self.dbpath / 'mongod.log'}.")

    def _answers(self) -> bool:
        """True where a server answers on our socket and serves our folder."""
        try:
            with self._direct_client() as client:
                parsed = client.admin.command("getCmdLineOpts")["parsed"]
            return str(parsed["storage"]["dbPath"]) == str(self.dbpath)
        except PyMongoError:
            return False

    def _short_socket(self) -> Path:
        """A socket for a folder whose own path is too long or has capital letters, in a folder that only this user may enter."""
        digest = hashlib.sha256(str(self.dbpath).encode()).hexdigest()[:12]
        here = tempfile.gettempdir()
        here = here if here == here.lower() else "/tmp"  # noqa: S108 - the folder in it is ours alone, and checked
        folder = Path(here) / f"jobwright-{os.getuid()}-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid() or folder.is_symlink():
            raise StartError(f"{folder} belongs to someone else; set JOBWRIGHT_DATA_DIR to a shorter path in small letters")
        return folder / "m.sock"


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on (proc(5)); empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str:
    """When a living process began, in clock ticks since the machine's start; empty for none and for a zombie."""
    stat = _stat_fields(pid)
    return stat[19] if len(stat) > 19 and stat[0] != "Z" else ""


def _wait_gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stat = _stat_fields(pid)
        if not stat or stat[0] == "Z":
            return True
        time.sleep(0.02)
    return False
