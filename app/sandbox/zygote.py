"""The parents of job processes: small, single-threaded, with what they need imported, so that a fork takes a millisecond.

There is one root, which has imported nothing but this; it forks one zygote a kind of job, which imports that kind and forks its
attempts. A kind's memory, its libraries and its crashes are its own, and no attempt copies the page tables of what it does not use.

A zygote starts children, ends them at their deadline, sees that no descendant outlives its attempt, and says what became of each. It
knows nothing of MongoDB. Over one SOCK_SEQPACKET socket it takes JSON messages:

- the root: `{"op": "kind", "load": "module:class"}` with one descriptor, the new zygote's own socket;
- a kind's: `{"op": "fork", "id", "timeout", "grace", "limits", "reused", "files", "stores"}` with
  two descriptors (the messages' socket and the output pipe), without a timeout where `reused`: the executor knows what such a child
  works on; and `{"op": "stop", "id", "grace", "why"}`.

Each says `{"ready": true}`, or `{"broken": why}` and ends. A kind's sends `{"ended": id, "status", "why", "usage"}` with the wait status
(wait(2)); `why` is `timeout`, `processes` or what `stop` gave.

How the tree of an attempt is held: the child is a subreaper, so its orphans stay below it; when it ends they become children of its
zygote, itself a subreaper. A child of a zygote that it did not start is therefore always a left-over, and is killed.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.sandbox import kernel
from app.sandbox.cage import Cage, Holds, Plan
from app.sandbox.cgroup import Group, make_home, remove_home
from app.sandbox.child import Config, prepare, run_one, serve

COUNT_EVERY_SECONDS = 0.5  # how often the processes of each tree are counted
LONGEST_MESSAGE = 65_536
NEVER = float("inf")


@dataclass(slots=True)
class _Child:
    id: str
    pid: int
    deadline: float = NEVER
    grace: float = 0.0
    most_processes: float = NEVER
    group: Group | None = None
    why: str | None = None
    kill_at: float | None = None


class Zygote:
    """The event loop. `template` is the kind's instance; None makes it the root. `home` is the control group of attempts' groups, `cage`
    what keeps them in."""

    def __init__(self, control: socket.socket, cage: Cage, template: Any = None, home: Path | None = None) -> None:
        self._control, self._cage, self._template, self._home = control, cage, template, home
        self._children: dict[int, _Child] = {}
        self._holds = Holds()
        self._next_count = time.monotonic()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    def close(self, *, network: bool) -> None:
        """What keeps in all that comes from here; `network` where the kind needs one."""
        self._holds = self._cage.close_kind(network=network)

    def run(self) -> None:
        """Serve until the other end closes, then end every tree."""
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the runner drains and then closes the socket
        self._send({"ready": True, **asdict(self._holds)})
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
        if not self._children or self._template is None:
            return None
        now = time.monotonic()
        nearest = min(child.kill_at or child.deadline for child in self._children.values())
        return max(0.0, min(nearest, self._next_count) - now)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except (BrokenPipeError, ConnectionResetError):
            return  # the runner is gone; the loop sees the closed socket next

    def _receive(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, LONGEST_MESSAGE, 2)
        except ConnectionResetError:
            return False
        if not data:
            return False
        message = json.loads(data)
        if message["op"] == "stop":
            for child in self._children.values():
                if child.id == message["id"]:
                    self._stop(child, message["why"], message["grace"])
            return True
        group = Group(self._home, message["id"], message["limits"]) if self._home and message["op"] == "fork" else None
        pid = os.fork()
        if pid == 0:
            if group is not None:
                group.enter()
            self._become(message, fds)
        for fd in fds:
            os.close(fd)
        if message["op"] == "kind":
            self._children[pid] = _Child(message["load"], pid)
        else:
            deadline = NEVER if message["reused"] else time.monotonic() + message["timeout"]
            self._children[pid] = _Child(message["id"], pid, deadline, message["grace"], message["limits"]["processes"], group)
        return True

    # -- the other side of the fork; nothing here returns ---------------------------------------------------------

    def _become(self, message: dict[str, Any], fds: list[int]) -> None:
        status = 70  # EX_SOFTWARE (sysexits.h): only where the frame around the template itself fails
        try:
            kernel.die_with_parent()
            signal.set_wakeup_fd(-1)
            for fd in (self._wake_read, self._wake_write, self._control.fileno()):
                os.close(fd)
            kernel.become_subreaper()
            status = self._become_kind(message, fds[0]) if message["op"] == "kind" else self._become_attempt(message, fds)
        except BaseException:
            os.write(2, traceback.format_exc().encode(errors="replace"))
        finally:
            os._exit(status)

    def _become_kind(self, message: dict[str, Any], fd: int) -> int:
        """Import the kind and serve its attempts."""
        control = socket.socket(fileno=fd)
        try:
            module, _, name = message["load"].partition(":")
            template = getattr(importlib.import_module(module), name)()
            template.warm()
            if template.asynchronous():
                importlib.import_module("asyncio")  # once here rather than in each attempt
        except Exception as error:
            traceback.print_exc()
            control.send(json.dumps({"broken": f"{type(error).__name__}: {error}"[:1000]}).encode())
            return 1
        prepare()
        zygote = Zygote(control, self._cage, template, self._home)
        zygote.close(network=template.network)
        gc.collect()
        gc.freeze()  # the children share these pages for as long as they can
        zygote.run()
        return 0

    def _become_attempt(self, message: dict[str, Any], fds: list[int]) -> int:
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for target in (1, 2):
            os.dup2(fds[1], target)
        os.close(fds[1])
        limits = message["limits"]
        self._cage.take_folder(message["files"])
        if message["reused"]:
            if message["stores"]:
                self._cage.close_shared()
            else:
                self._cage.close_attempt(message["files"], ())
        _limit(limits, reused=message["reused"])
        config = Config(limits["result_bytes"], limits["memory_bytes"], limits["cpu_seconds"], message["most_runs"], message["mark"])
        sock = socket.socket(fileno=fds[0])
        if message["reused"]:
            return serve(sock, self._template, config)
        return run_one(sock, self._template, config, lambda folders: self._cage.close_attempt(message["files"], folders))

    # -- ends -----------------------------------------------------------------------------------------------------

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
        for child, _, _ in ended:
            if child.group is not None:
                child.group.remove()
        if ended:
            self._end_strays()
        if self._template is None:
            return  # a kind's zygote that ended is seen by whoever holds the other end of its socket
        for child, status, usage in ended:
            cpu, memory = round(usage.ru_utime + usage.ru_stime, 3), round(usage.ru_maxrss / 1024, 1)
            self._send({"ended": child.id, "status": status, "why": child.why, "usage": {"cpu_seconds": cpu, "max_memory_mb": memory}})

    def _end_strays(self) -> None:
        """Kill whatever an ended attempt has left, until nothing is left: killed ones hand their own children up to us."""
        while strays := [pid for pid in kernel.own_children() if pid not in self._children]:
            for pid in strays:
                for below in (pid, *kernel.descendants(pid)):
                    kernel.send(below, signal.SIGKILL)
            for pid in strays:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    continue

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
                if child.why is None and self._processes(child) > child.most_processes:
                    self._stop(child, "processes", 0.0)

    @staticmethod
    def _processes(child: _Child) -> int:
        return len(kernel.descendants(child.pid)) + 1 if child.most_processes < NEVER else 0

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
        """The whole group where there is one. Else the descendants first, while the child still gathers their orphans; then the child."""
        if child.group is not None:
            child.group.kill()
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
        groups = [child.group for child in self._children.values() if child.group is not None]
        self._children.clear()
        self._end_strays()
        for group in groups:
            group.remove()


def _limit(limits: dict[str, int], *, reused: bool) -> None:
    """rlimits of one attempt (setrlimit(2)); processes are counted by the zygote, as RLIMIT_NPROC counts the user's. A reused child
    raises its soft limit of processor time before each attempt."""
    for what, value in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, resource.RLIM_INFINITY if reused else limits["cpu_seconds"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        bound = value if hard == resource.RLIM_INFINITY else hard if value == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (bound, bound))


def main() -> None:
    """`python -m app.sandbox.zygote FD CGROUP PLAN`, started by the local executor: the root. CGROUP is JOBWRIGHT_CGROUP, PLAN what keeps
    attempts in, as JSON."""
    control = socket.socket(fileno=int(sys.argv[1]))
    kernel.become_subreaper()
    home = None if sys.argv[2] == "off" else make_home(whole=sys.argv[2] == "own")
    gc.collect()
    gc.freeze()
    Zygote(control, Cage(Plan.from_json(json.loads(sys.argv[3]))), home=home).run()
    if home is not None:
        remove_home(home)


if __name__ == "__main__":
    main()
