"""The executor's side of the zygotes: how it starts them, and how it talks to them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from app.errors import StartError
from app.events import get_logger
from app.sandbox.cage import CageRules
from app.sandbox.protocol import LONGEST_PACKET, Limits, MakeZygote, Message, decode, encode

log = get_logger(__name__)

START_SECONDS = 30.0
# The environment of the zygotes has these variables of the service's own and no others: none is a secret.
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


class ZygoteHandle:
    """The executor's end of one zygote's socket. `receive` notices that the zygote has died; `send` does not."""

    def __init__(self, load: str, control: socket.socket) -> None:
        """`load` is the class of the template that the zygote imports, "module:class"; empty for the root."""
        self.load, self.control = load, control

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Sends one message with file descriptors."""
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self.control, [encode(message)], list(fds))

    def receive(self) -> Message | None:
        """Returns the next message; None if the zygote is gone."""
        try:
            data = self.control.recv(LONGEST_PACKET)
        except ConnectionResetError:  # it ended with a message of ours unread: reported once, before what it sent (unix(7))
            data = self.control.recv(LONGEST_PACKET)
        return decode(data) if data else None


class RootHandle:
    """Starts the root, from which all job processes come, and has it make the zygotes of templates."""

    def __init__(self, cgroup: str, rules: CageRules, limits: Limits) -> None:
        """`cgroup` is the setting JOBWRIGHT_CGROUP. `rules` and `limits` hold for all attempts."""
        self._cgroup, self._rules, self._limits = cgroup, rules, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._root: ZygoteHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the root; None before its start."""
        return self._process.pid if self._process else None

    @property
    def control(self) -> socket.socket:
        """The root's socket. It becomes readable when the root dies."""
        return self._started().control

    def launch(self) -> None:
        """Starts the root, and does not wait for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        rules, limits = json.dumps(self._rules._asdict()), json.dumps(self._limits._asdict())
        command = [sys.executable, "-m", "app.sandbox.zygote", str(theirs.fileno()), self._cgroup, rules, limits]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, process_group=0
        )
        theirs.close()
        self._root = ZygoteHandle("", ours)

    def wait_ready(self) -> None:
        """Waits until the launched root is ready. Raises StartError if it is not within START_SECONDS."""
        root = self._started()
        root.control.settimeout(START_SECONDS)
        try:
            answer = root.receive()
        except TimeoutError as error:
            raise StartError(f"The process that starts job processes was not ready within {START_SECONDS:g} s") from error
        if answer is None:
            raise StartError("The process that starts job processes ended during its start; its error is above")
        root.control.settimeout(None)
        log.info("zygote.started", pid=self.pid)

    def make_zygote(self, load: str) -> ZygoteHandle:
        """Has a zygote made that imports the class `load`, "module:class". Its first message is Ready or Broken."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._started().send(MakeZygote(load), [theirs.fileno()])
        theirs.close()
        return ZygoteHandle(load, ours)

    def close(self) -> int | None:
        """Closes the root's socket: it ends every tree, then itself. Returns its exit status; None if it was never started."""
        if self._root is not None:
            self._root.control.close()
            self._root = None
        return self._process.wait() if self._process is not None else None

    def _started(self) -> ZygoteHandle:
        assert self._root is not None  # noqa: S101 - launch() made it
        return self._root
