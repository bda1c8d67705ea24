"""The zygotes: the parents of job processes. Each is small and has one thread, with what it needs imported, so that a fork takes a
millisecond.

The root has imported nothing but this. It forks one zygote for each template; that one imports the template and forks its attempts. So the
memory, the libraries and the crashes of a template are its own, and no attempt copies the page tables of what it does not use.

A zygote starts processes, ends them at their deadline, makes sure that no descendant outlives its attempt, and reports what became of
each. It knows nothing of MongoDB. It talks to the executor in the messages of app.sandbox.protocol: the root takes MakeZygote, a template's
zygote takes Fork and Stop. Each sends Ready, or Broken and ends; a template's zygote then sends Ended for each process.

How the tree of an attempt is held: its process is a subreaper, so that its orphans stay below it. When it ends, they become children of
its zygote, which is a subreaper too. So a child of a zygote that it did not start is always a left-over, and is killed.
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
from dataclasses import dataclass
from pathlib import Path

from app.sandbox import kernel
from app.sandbox.cage import Cage, CageFeatures, CageRules
from app.sandbox.cgroup import Group, make_home, remove_home
from app.sandbox.child import Server, prepare, run_one
from app.sandbox.protocol import LONGEST_PACKET, Broken, Ended, Fork, Limits, MakeZygote, Message, Ready, Stop, StopReason, decode, encode
from templates_lib.base import JobTemplate

COUNT_EVERY_SECONDS = 0.5  # how often the processes of each tree are counted
NEVER = float("inf")
EX_SOFTWARE = 70  # sysexits.h: the code around the template has failed


@dataclass(slots=True)
class _Child:
    id: str
    pid: int
    deadline: float = NEVER  # as `kill_at`, in seconds of time.monotonic
    grace_seconds: float = 0.0
    most_processes: float = NEVER
    group: Group | None = None
    reason: StopReason | None = None
    kill_at: float | None = None


class Zygote:
    """The event loop of a zygote."""

    def __init__(
        self, control: socket.socket, cage: Cage, limits: Limits, *, template: JobTemplate | None = None, home: Path | None = None
    ) -> None:
        """`template` is None in the root. `home` is the control group of the attempts' groups; None without control groups."""
        self._control, self._cage, self._limits, self._template, self._home = control, cage, limits, template, home
        self._children: dict[int, _Child] = {}
        self._features = CageFeatures()
        self._next_count = time.monotonic()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)

    def confine(self, *, network: bool) -> None:
        """Closes the cage of all processes that come from here. `network` says whether the template needs a network."""
        self._features = self._cage.confine_zygote(network=network)

    def run(self) -> None:
        """Serves until the other end closes, then ends every tree."""
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the executor drains and then closes the socket
        self._send(Ready(*self._features))
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(self._wait_seconds())}
                if self._wake_read in ready:
                    os.read(self._wake_read, 4096)
                if self._control in ready and not self._receive():
                    break
                self._reap()
                self._enforce(time.monotonic())
        self._end_all()

    def _wait_seconds(self) -> float | None:
        """Returns how long nothing is to do if nothing happens; None: for ever."""
        if not self._children or self._template is None:
            return None
        now = time.monotonic()
        nearest = min(child.kill_at or child.deadline for child in self._children.values())
        return max(0.0, min(nearest, self._next_count) - now)

    def _send(self, message: Message) -> None:
        try:
            self._control.send(encode(message))
        except (BrokenPipeError, ConnectionResetError):
            return  # the executor is gone; the loop sees the closed socket next

    def _receive(self) -> bool:
        """Acts on one message. Returns False if the executor is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, LONGEST_PACKET, 2)
        except ConnectionResetError:
            return False
        if not data:
            return False
        message = decode(data)
        if isinstance(message, Stop):
            for child in self._children.values():
                if child.id == message.process_id:
                    self._stop(child, message.reason, message.grace_seconds)
        elif isinstance(message, MakeZygote | Fork):
            self._fork(message, fds)
        return True

    def _fork(self, message: MakeZygote | Fork, fds: list[int]) -> None:
        group = Group(self._home, message.process_id, self._limits) if self._home and isinstance(message, Fork) else None
        pid = os.fork()
        if pid == 0:
            if group is not None:
                group.enter()
            self._become(message, fds)
        for fd in fds:
            os.close(fd)
        if isinstance(message, MakeZygote):
            self._children[pid] = _Child(message.load, pid)
            return
        deadline = NEVER if message.timeout_seconds is None else time.monotonic() + message.timeout_seconds
        self._children[pid] = _Child(message.process_id, pid, deadline, message.grace_seconds, self._limits.processes, group)

    # -- the other side of the fork: nothing here returns --------------------------------------------------------------

    def _become(self, message: MakeZygote | Fork, fds: list[int]) -> None:
        status = EX_SOFTWARE
        try:
            kernel.die_with_parent()
            signal.set_wakeup_fd(-1)
            for fd in (self._wake_read, self._wake_write, self._control.fileno()):
                os.close(fd)
            kernel.become_subreaper()
            status = self._become_zygote(message, fds[0]) if isinstance(message, MakeZygote) else self._become_attempt(message, fds)
        except BaseException:
            os.write(2, traceback.format_exc().encode(errors="replace"))
        finally:
            os._exit(status)

    def _become_zygote(self, message: MakeZygote, fd: int) -> int:
        """Imports the template and serves its attempts."""
        control = socket.socket(fileno=fd)
        try:
            module, _, name = message.load.partition(":")
            template = getattr(importlib.import_module(module), name)()
            template.warm()
            if template.asynchronous():
                importlib.import_module("asyncio")  # once here, not in each attempt
        except Exception as error:
            traceback.print_exc()
            control.send(encode(Broken(f"{type(error).__name__}: {error}"[:1000])))
            return 1
        prepare()
        zygote = Zygote(control, self._cage, self._limits, template=template, home=self._home)
        zygote.confine(network=template.network)
        gc.collect()
        gc.freeze()  # the children share these pages for as long as they can
        zygote.run()
        return 0

    def _become_attempt(self, message: Fork, fds: list[int]) -> int:
        assert self._template is not None  # noqa: S101 - the executor sends Fork to the zygotes of templates alone
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for target in (1, 2):
            os.dup2(fds[1], target)
        os.close(fds[1])
        cage, files = self._cage, message.files
        cage.take_folder(files)
        if message.reused and message.stores:
            cage.confine_reused()
        elif message.reused:
            cage.confine_attempt(files, ())
        _limit(self._limits, reused=message.reused)
        sock = socket.socket(fileno=fds[0])
        if message.reused:
            return Server(sock, self._template, self._limits, most_runs=message.most_runs, mark=message.mark).run()
        return run_one(sock, self._template, self._limits, lambda folders: cage.confine_attempt(files, folders))

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        ended: list[tuple[_Child, int, resource.struct_rusage]] = []
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
            self._kill_strays()
        if self._template is None:
            return  # who holds the other end of a zygote's socket sees that the zygote has ended
        for child, status, usage in ended:
            cpu, memory = round(usage.ru_utime + usage.ru_stime, 3), round(usage.ru_maxrss / 1024, 1)
            self._send(Ended(child.id, status, child.reason, {"cpu_seconds": cpu, "max_memory_mb": memory}))

    def _kill_strays(self) -> None:
        """Kills whatever an ended attempt has left until nothing is left: the children of killed processes become children of this one."""
        while strays := [pid for pid in kernel.own_children() if pid not in self._children]:
            for pid in strays:
                for below in (pid, *kernel.descendants(pid)):
                    kernel.send_signal(below, signal.SIGKILL)
            for pid in strays:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    continue

    def _enforce(self, now: float) -> None:
        """Stops processes at their deadline, kills them at the end of their grace, and stops trees with too many processes."""
        for child in list(self._children.values()):
            if child.kill_at is not None and now >= child.kill_at:
                self._kill(child)
                child.kill_at = now + 1.0  # again, in case a fork has escaped
            elif child.kill_at is None and now >= child.deadline:
                self._stop(child, StopReason.TIMEOUT, child.grace_seconds)
        if now >= self._next_count:
            self._next_count = now + COUNT_EVERY_SECONDS
            for child in self._children.values():
                if child.reason is None and self._count_processes(child) > child.most_processes:
                    self._stop(child, StopReason.PROCESSES, 0.0)

    @staticmethod
    def _count_processes(child: _Child) -> int:
        return len(kernel.descendants(child.pid)) + 1 if child.most_processes < NEVER else 0

    def _stop(self, child: _Child, reason: StopReason, grace_seconds: float) -> None:
        """Asks the tree to end, and notes when it is to be killed. A later stop can shorten the grace; the first reason stays."""
        child.reason = child.reason or reason
        kill_at = time.monotonic() + grace_seconds
        child.kill_at = min(child.kill_at or kill_at, kill_at)
        if grace_seconds > 0:
            for pid in (child.pid, *kernel.descendants(child.pid)):
                kernel.send_signal(pid, signal.SIGTERM)
                kernel.send_signal(pid, signal.SIGCONT)  # a stopped process would not receive it
        else:
            self._kill(child)

    @staticmethod
    def _kill(child: _Child) -> None:
        """Kills the control group if there is one. Then the descendants, while the child still gathers their orphans; then the child."""
        if child.group is not None:
            child.group.kill()
        for _ in range(3):
            below = kernel.descendants(child.pid)
            for pid in below:
                kernel.send_signal(pid, signal.SIGKILL)
            if not below:
                break
        kernel.send_signal(child.pid, signal.SIGKILL)

    def _end_all(self) -> None:
        for child in self._children.values():
            self._kill(child)
        groups = [child.group for child in self._children.values() if child.group is not None]
        self._children.clear()
        self._kill_strays()
        for group in groups:
            group.remove()


def _limit(limits: Limits, *, reused: bool) -> None:
    """Sets the rlimits of one process (setrlimit(2)).

    The zygote counts processes, because RLIMIT_NPROC counts those of the user. A reused process raises its soft limit of processor time
    before each attempt.
    """
    for what, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, resource.RLIM_INFINITY if reused else limits.cpu_seconds),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        bound = value if hard == resource.RLIM_INFINITY else hard if value == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (bound, bound))


def main() -> None:
    """`python -m app.sandbox.zygote FD CGROUP RULES LIMITS`: the root, as app.sandbox.handles starts it.

    FD is its socket, CGROUP the setting JOBWRIGHT_CGROUP; RULES are CageRules and LIMITS Limits, as JSON objects.
    """
    control, cgroup = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    rules, limits = CageRules(**json.loads(sys.argv[3])), Limits(**json.loads(sys.argv[4]))
    kernel.become_subreaper()
    home = None if cgroup == "off" else make_home(whole=cgroup == "own")
    gc.collect()
    gc.freeze()
    Zygote(control, Cage(rules), limits, home=home).run()
    if home is not None:
        remove_home(home)


if __name__ == "__main__":
    main()
