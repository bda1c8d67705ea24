"""Starts and supervises a private mongod as a child process, for a machine where `MONGODB_URI` is not set."""

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

START_SECONDS = 20.0  # enough for a cold disk; usually a start takes 0.6 s, including the election of the replica set
TURN_SECONDS = 2 * START_SECONDS  # how long another process may take to start the server
WATCH_SECONDS = 0.5  # between two looks at the child process
RESTART_PAUSE_SECONDS = 5.0  # between two tries to start a server that fails to start
STOP_SECONDS = 15.0  # a clean shutdown writes a checkpoint; then SIGKILL follows, after which mongod recovers from its journal
LONGEST_SOCKET_PATH = 100  # sockaddr_un holds 107 characters (unix(7))
_PR_SET_PDEATHSIG = 1  # prctl(2)

HOW_TO_GET_ONE = """No MongoDB was found. Do one of these:
  set MONGODB_URI to the address of a replica set, such as mongodb://db1,db2,db3/?replicaSet=rs0
  or install mongod on PATH, or `pip install 'jobwright[local]'` (x86-64 Linux; needs libcurl4 and OpenSSL 3)"""


def find_mongod() -> str | None:
    """Returns the path of the mongod on PATH, else of the one inside the installed wheel, else None."""
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
    """One mongod on one folder, which listens on a Unix socket that only this user may open.

    `start` ends in one of three ways: a child of this process runs; a server that another running Jobwright started is shared; or
    StartError is raised. Other servers are never touched: a process counts as ours only if its command line names our folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self.dbpath = data_dir / DATABASE
        # The process id of mongod, the id of the Jobwright process that started it, and when that process began (proc(5), starttime).
        self._pid_file = data_dir / "mongod.pid"
        self._start_lock = data_dir / "mongod.start"
        self._process: subprocess.Popen[bytes] | None = None
        self.shared_with: int | None = None  # the process whose server is shared
        self._lock, self._closing = threading.Lock(), threading.Event()
        direct = self.dbpath / "m.sock"
        # A driver changes the names of replica set members to small letters, even if they are paths.
        plain = len(str(direct)) <= LONGEST_SOCKET_PATH and str(direct) == str(direct).lower()
        self.socket = direct if plain else self._short_socket()

    @property
    def uri(self) -> str:
        """Connection string of the one-node replica set on the socket."""
        return f"mongodb://{quote(str(self.socket), safe='')}/?replicaSet=local"

    @property
    def pid(self) -> int | None:
        """Process id of our child; None if the server is shared or down."""
        return self._process.pid if self._process else None

    def start(self) -> str:
        """Starts or shares a server, and returns its URI.

        1. A running server on this folder is shared if the Jobwright that started it still runs, and stopped if not.
        2. Else mongod is started, tied to this process: the kernel ends it when this process dies.
        3. The one-node replica set is made at the first start. Then this waits until the server is the primary.
        """
        began = time.monotonic()
        make_folders(self.dbpath)
        with self._start_lock.open("w") as lock:
            self._await_turn(lock)  # if two Jobwrights start at once, one starts the server and the other shares it
            if self._share_or_stop_running():
                return self.uri
            binary = find_mongod()
            if binary is None:
                raise StartError(HOW_TO_GET_ONE)
            self._spawn(binary)
            self._await_primary(began + START_SECONDS)
        log.info("mongod.started", pid=self.pid, seconds=round(time.monotonic() - began, 3))
        return self.uri

    def _await_turn(self, lock: IO[str]) -> None:
        """Takes the start lock. Raises StartError if another process holds it for longer than a start takes."""
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
        """Starts our child again whenever it ends by itself (killed, out of memory, a full disk), until `stop` is called."""
        # The kernel ends the server when the thread that started it ends. This thread lives as long as the process.
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
        """Stops our child, cleanly if possible. A shared server is left alone."""
        self._closing.set()
        with self._lock:
            self._end_child()

    def is_up(self) -> bool:
        """Returns whether a server listens on our socket, ours or a shared one."""
        return self._accepts()

    def discard(self) -> None:
        """Stops our child and deletes the data of the server. Does nothing if another process runs the server."""
        if not self.dbpath.exists():
            return
        with self._start_lock.open("w") as lock:
            self._await_turn(lock)
            self._end_child()
            if self._running_pid() is None:
                shutil.rmtree(self.dbpath, ignore_errors=True)

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

    def _share_or_stop_running(self) -> bool:
        """Returns whether a running server on our folder is shared. Stops a server whose Jobwright is gone, or that does not answer."""
        pid = self._running_pid()
        if pid is None:
            return False
        if self._parent_lives() and self._answers():
            self.shared_with = int(self._pid_file.read_text(encoding="utf-8").split()[1])
            log.info("mongod.reused", pid=pid, started_by=self.shared_with)
            return True
        os.kill(pid, signal.SIGTERM)
        if not _wait_gone(pid, STOP_SECONDS):
            os.kill(pid, signal.SIGKILL)
            _wait_gone(pid, STOP_SECONDS)
        log.warning("mongod.orphan_stopped", pid=pid)
        return False

    def _running_pid(self) -> int | None:
        """Returns the process id of a mongod on our folder, from our pid file, else from mongod's own lock file; None if there is none."""
        for path in (self._pid_file, self.dbpath / "mongod.lock"):
            pid = path.read_text(encoding="utf-8").split()[:1] if path.exists() else []
            if pid and pid[0].isdigit() and str(self.dbpath) in _command_line(int(pid[0])):
                return int(pid[0])
        return None

    def _parent_lives(self) -> bool:
        """Returns whether the process that started the server still runs. Its id and its time of start must be the same."""
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
        # Without --nounixsocket, mongod also makes /tmp/mongodb-27017.sock; if two start at once, one finds it taken and ends.
        # With its own process group, Ctrl-C in a terminal does not reach mongod. We stop it after our own work has ended.
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
        while not self._accepts():  # a client whose first connection is refused would wait half a second before the next try
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
                    pass  # the server is starting, or the election is running
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
        """Writes the new socket into the replica set's configuration, which has the old one after the data folder was moved."""
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
        """Returns whether a server answers on our socket and serves our folder."""
        try:
            with self._direct_client() as client:
                parsed = client.admin.command("getCmdLineOpts")["parsed"]
            return str(parsed["storage"]["dbPath"]) == str(self.dbpath)
        except PyMongoError:
            return False

    def _short_socket(self) -> Path:
        """Returns a path for the socket if the path of the data folder is too long or has capital letters. It lies in a folder that only
        this user may enter."""
        digest = hashlib.sha256(str(self.dbpath).encode()).hexdigest()[:12]
        here = tempfile.gettempdir()
        here = here if here == here.lower() else "/tmp"  # noqa: S108 - the folder in it belongs to this user only, which is checked
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
    """Returns the fields of /proc/PID/stat from the third on (proc(5)); empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str:
    """Returns when a process began, in clock ticks since the machine was started; empty if it does not run, or is a zombie."""
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
