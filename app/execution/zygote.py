"""The parent of attempt processes: small, single-threaded, with every template imported, so that a fork takes a millisecond.

It starts children, ends them at their deadline, sees that no descendant outlives its attempt, and says what became of each.
It knows nothing of MongoDB. Over one SOCK_SEQPACKET socket it takes JSON messages:

- `{"op": "fork", "id", "timeout", "grace", "limits"}` with two descriptors (the attempt's socket and its output pipe);
- `{"op": "stop", "id", "grace", "why"}`.

and sends `{"ended": id, "status", "why", "usage"}` with the wait status (wait(2)); `why` is `timeout`, `processes` or what `stop` gave.

How the tree of an attempt is held: the child is a subreaper, so its orphans stay below it; when it ends they become children of
the zygote, itself a subreaper. A child of the zygote that it did not start is therefore always a left-over, and is killed.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any

from app.execution import kernel
from app.execution.child import run_attempt
from app.jobtemplates.catalogue import Catalogue

COUNT_EVERY_SECONDS = 0.5  # how often the processes of each tree are counted
LONGEST_MESSAGE = 65_536


@dataclass(slots=True)
class _Child:
    id: str
    pid: int
    deadline: float
    grace: float
    most_processes: int
    why: str | None = None
    kill_at: float | None = None


class Zygote:
    """The event loop."""

    def __init__(self, control: socket.socket, catalogue: Catalogue) -> None:
        self._control, self._catalogue = control, catalogue
        self._children: dict[int, _Child] = {}
        self._next_count = time.monotonic()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    def run(self) -> None:
        """Serve until the other end closes, then end every tree."""
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the runner drains and then closes the socket
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(self._patience())}
                if self._wake_read in ready:
                    os.read(self._wake_read, 4096)
                if self._control in ready and not self._receive():
                    break
                self._reap()
                self._enforce(time.monotonic())
        self._end_all()

    def _patience(self) -> float | None:
        if not self._children:
            return None
        now = time.monotonic()
        nearest = min(child.kill_at or child.deadline for child in self._children.values())
        return max(0.0, min(nearest, self._next_count) - now)

    def _receive(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, LONGEST_MESSAGE, 2)
        except ConnectionResetError:
            return False
        if not data:
            return False
        message = json.loads(data)
        if message["op"] == "fork":
            self._fork(message, fds)
        else:
            for child in self._children.values():
                if child.id == message["id"]:
                    self._stop(child, message["why"], message["grace"])
        return True

    def _fork(self, message: dict[str, Any], fds: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become_child(message, fds)
        for fd in fds:
            os.close(fd)
        limits = message["limits"]
        self._children[pid] = _Child(message["id"], pid, time.monotonic() + message["timeout"], message["grace"], limits["processes"])

    def _become_child(self, message: dict[str, Any], fds: list[int]) -> None:
        """The child's side of the fork; does not return."""
        status = 70  # EX_SOFTWARE (sysexits.h): only where the frame around the template itself fails
        try:
            kernel.die_with_parent()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            kernel.become_subreaper()
            for fd in (self._wake_read, self._wake_write, self._control.fileno()):
                os.close(fd)
            for target in (1, 2):
                os.dup2(fds[1], target)
            os.close(fds[1])
            _limit(message["limits"])
            status = run_attempt(socket.socket(fileno=fds[0]), self._catalogue)
        except BaseException:
            os.write(2, traceback.format_exc().encode(errors="replace"))
        finally:
            os._exit(status)

    def _reap(self) -> None:
        ended: list[tuple[_Child, int, Any]] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            child = self._children.pop(pid, None)
            if child is not None:
                ended.append((child, status, usage))
        if ended:
            self._end_strays()
        for child, status, usage in ended:
            self._say(child, status, usage)

    def _end_strays(self) -> None:
        """Kill whatever an ended attempt has left, until nothing is left: killed ones hand their own children up to us."""
        while strays := [pid for pid in kernel.children(os.getpid()) if pid not in self._children]:
            for pid in strays:
                for below in (pid, *kernel.descendants(pid)):
                    kernel.send(below, signal.SIGKILL)
            for pid in strays:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    continue

    def _say(self, child: _Child, status: int, usage: Any) -> None:
        message = {
            "ended": child.id, "status": status, "why": child.why,
            "usage": {"cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3), "max_memory_mb": round(usage.ru_maxrss / 1024, 1)},
        }  # fmt: skip
        try:
            self._control.send(json.dumps(message).encode())
        except (BrokenPipeError, ConnectionResetError):
            return  # the runner is gone; the loop sees the closed socket next

    def _enforce(self, now: float) -> None:
        for child in list(self._children.values()):
            if child.kill_at is not None and now >= child.kill_at:
                self._kill(child)
                child.kill_at = now + 1.0  # again, should a fork have slipped through
            elif child.kill_at is None and now >= child.deadline:
                self._stop(child, "timeout", child.grace)
        if now >= self._next_count:
            self._next_count = now + COUNT_EVERY_SECONDS
            for child in self._children.values():
                if child.why is None and len(kernel.descendants(child.pid)) + 1 > child.most_processes:
                    self._stop(child, "processes", 0.0)

    def _stop(self, child: _Child, why: str, grace: float) -> None:
        """Ask the tree to end, and note when it is to be killed. A later, quicker stop overrides; the first reason stays."""
        child.why = child.why or why
        kill_at = time.monotonic() + grace
        child.kill_at = min(child.kill_at or kill_at, kill_at)
        if grace > 0:
            for pid in (child.pid, *kernel.descendants(child.pid)):
                kernel.send(pid, signal.SIGTERM)
                kernel.send(pid, signal.SIGCONT)  # a stopped process would not hear it
        else:
            self._kill(child)

    @staticmethod
    def _kill(child: _Child) -> None:
        """The descendants first, while the child still gathers their orphans; then the child."""
        for _ in range(3):
            below = kernel.descendants(child.pid)
            for pid in below:
                kernel.send(pid, signal.SIGKILL)
            if not below:
                break
        kernel.send(child.pid, signal.SIGKILL)

    def _end_all(self) -> None:
        for child in self._children.values():
            self._kill(child)
        self._children.clear()
        self._end_strays()


def _limit(limits: dict[str, int]) -> None:
    """rlimits of one attempt (setrlimit(2)); processes are counted by the zygote, as RLIMIT_NPROC counts the user's."""
    for what, value in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (bound, bound))


def main() -> None:
    """`python -m app.execution.zygote FD`, started by the local executor."""
    control = socket.socket(fileno=int(sys.argv[1]))
    kernel.become_subreaper()
    catalogue = Catalogue.discover()
    gc.collect()
    gc.freeze()  # the children share these pages for as long as they can
    control.send(b'{"ready": true}')
    Zygote(control, catalogue).run()


if __name__ == "__main__":
    main()
