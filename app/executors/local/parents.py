"""The executor's side of the zygotes: the root, one for each kind that was needed, and their sockets."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from app.config import Settings
from app.errors import StartError
from app.events import get_logger
from app.local_mongod import LocalMongod
from app.sandbox.cage import Plan

log = get_logger(__name__)

START_SECONDS = 30.0
# All that the zygotes' environment keeps: nothing in it is a secret, and JOBWRIGHT_* and MONGODB_URI are not in it.
KEPT_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "COVERAGE_PROCESS_START",
    "COVERAGE_PROCESS_CONFIG",
)
LONGEST_MESSAGE = 65_536


class Parent:
    """One zygote's socket. A dead zygote is seen by `hear`, not by `tell`."""

    def __init__(self, name: str, control: socket.socket) -> None:
        self.name, self.control = name, control

    def tell(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one message, with descriptors."""
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self.control, [json.dumps(message).encode()], list(fds))

    def hear(self) -> dict[str, Any] | None:
        """The next message; None where the zygote is gone."""
        try:
            data = self.control.recv(LONGEST_MESSAGE)
        except ConnectionResetError:  # it ended with something of ours unread: said once, before what it sent (unix(7))
            data = self.control.recv(LONGEST_MESSAGE)
        message: dict[str, Any] | None = json.loads(data) if data else None
        return message


class Root:
    """The process that all job processes come from."""

    def __init__(self, cgroup: str = "auto", plan: Plan = Plan()) -> None:  # noqa: B008 - it is frozen
        self._cgroup, self._plan = cgroup, plan
        self._process: subprocess.Popen[bytes] | None = None
        self._parent: Parent | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def launch(self) -> None:
        """Start it and do not wait for it; `wait_ready` does."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        command = [sys.executable, "-m", "app.sandbox.zygote", str(theirs.fileno()), self._cgroup, json.dumps(self._plan.to_json())]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, process_group=0
        )
        theirs.close()
        self._parent = Parent("", ours)

    def wait_ready(self) -> None:
        """Raises StartError where it does not come up."""
        parent = self._up()
        parent.control.settimeout(START_SECONDS)
        try:
            answer = parent.hear()
        except TimeoutError as error:
            raise StartError(f"The parent of job processes was not ready within {START_SECONDS:g} s") from error
        if answer is None:
            raise StartError("The parent of job processes ended at its start; its error is above")
        parent.control.settimeout(None)
        log.info("zygote.started", pid=self.pid)

    def kind(self, load: str) -> Parent:
        """Have a zygote made that imports the class `load`, "module:class"; its first message says how that went."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._up().tell({"op": "kind", "load": load}, [theirs.fileno()])
        theirs.close()
        return Parent(load, ours)

    @property
    def control(self) -> socket.socket:
        """Readable once the root has died."""
        return self._up().control

    def close(self) -> int | None:
        """Let go of it: it ends every tree and itself. Returns its exit status, None where it was never started."""
        if self._parent is not None:
            self._parent.control.close()
            self._parent = None
        return self._process.wait() if self._process is not None else None

    def _up(self) -> Parent:
        assert self._parent is not None  # noqa: S101 - launch() made it
        return self._parent


def plan_of(settings: Settings) -> Plan:
    """What keeps attempts in. Raises StartError where they cannot run as the user that is set."""
    if settings.job_user:
        try:
            pwd.getpwnam(settings.job_user)
        except KeyError:
            raise StartError(f"JOBWRIGHT_JOB_USER: there is no user {settings.job_user!r} on this machine") from None
        if os.geteuid() != 0:
            raise StartError("JOBWRIGHT_JOB_USER: only a service that runs as root can switch to another user")
    data = settings.data_path
    hidden = {data / "secret.key", data / "mongo"}
    if not settings.mongodb_uri:
        hidden.add(LocalMongod(data).socket.parent)
    return Plan(
        on=settings.cage != "off",
        hidden=tuple(sorted(map(str, hidden))),
        data=str(data),
        writable=settings.job_paths,
        user=settings.job_user,
    )
