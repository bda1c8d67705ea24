"""What the executor and its processes ask of Linux: process control (prctl), the process tree, the clock since boot."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True)


def boot_seconds() -> float:
    """Returns the seconds since the machine started, sleep included: the same in all processes of the machine (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def die_with_parent() -> None:
    """Makes the kernel send SIGKILL to this process when its parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process, not of init, so that none is lost from sight."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children(pid: int) -> list[int]:
    """Returns the direct children of a process (proc(5), task/TID/children); none for a process that is gone."""
    pids: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                pids += map(int, (task / "children").read_text(encoding="ascii").split())
    return pids


def own_children() -> list[int]:
    """Returns the direct children of this process, which must have one thread."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()]


def descendants(pid: int) -> list[int]:
    """Returns all processes below `pid`, each parent before its children."""
    below: list[int] = []
    queue = [pid]
    while queue:
        direct = children(queue.pop())
        below += direct
        queue += direct
    return below


def send_signal(pid: int, number: int) -> None:
    """Sends a signal to a process, which may be gone already."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
