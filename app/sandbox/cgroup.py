"""Control groups (cgroups(7), version 2): the kernel holds a tree of processes together, whatever sessions and orphans it makes.

A group for each attempt makes its end sure, by one write to `cgroup.kill` (Linux 5.14). It also bounds the memory and the processes of the
whole tree if the operator gave Jobwright a control group of its own. Without version 2, or without the right to use it, everything works
without groups.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from app.sandbox.protocol import Limits

NAME = "jobwright-"
REMOVE_SECONDS = 1.0  # a killed process stays in its group until it is reaped
CONTROLLERS = "+memory +pids"


def make_home(*, whole: bool) -> Path | None:
    """Makes a group below the one that this process is in, for the groups of attempts. Returns its folder; None if that is not possible.

    `whole` says that the group that this process is in is Jobwright's alone (a container, or systemd with Delegate=yes). Then its
    processes move one level down, because a group with processes cannot bound others, and attempts are bounded too. Groups that earlier
    processes left behind are removed, and the processes in them are killed.
    """
    above = _own_group()
    if above is None:
        return None
    _remove_orphans(above)
    home = above / f"{NAME}{os.getpid()}"
    try:
        home.mkdir()
    except OSError:
        return None
    if not (home / "cgroup.kill").exists():
        home.rmdir()
        return None
    if whole:
        with suppress(OSError):
            _move_down(above)
            for group in (above, home):
                (group / "cgroup.subtree_control").write_text(CONTROLLERS)
    return home


class Group:
    """The group of one attempt. Nothing here raises: an attempt runs without its group if the group cannot be made."""

    def __init__(self, home: Path, name: str, limits: Limits) -> None:
        self._path = home / name
        with suppress(OSError):
            self._path.mkdir()
        for file, value in (("memory.max", limits.memory_bytes), ("memory.swap.max", 0), ("pids.max", limits.processes + 1)):
            with suppress(OSError):
                (self._path / file).write_text(str(value))

    def enter(self) -> None:
        """Moves this process into the group. What it starts is in the group, too."""
        with suppress(OSError):
            (self._path / "cgroup.procs").write_text("0")

    def kill(self) -> None:
        """Sends SIGKILL to all processes in it, at once."""
        with suppress(OSError):
            (self._path / "cgroup.kill").write_text("1")

    def remove(self) -> None:
        """Kills what is left in it, and removes the group."""
        _remove(self._path)


def remove_home(home: Path) -> None:
    """Removes the groups below a home, then the home. Kills the processes in them."""
    for path in home.iterdir():
        if path.is_dir():
            _remove(path)
    _remove(home)


def _own_group() -> Path | None:
    """Returns the folder of the group that this process is in; None if there is none."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
        inside = [line[3:] for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines() if line.startswith("0::")]
    except OSError:
        return None
    mount = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if mount is None or not inside:
        return None
    folder = Path(mount) / inside[0].lstrip("/")
    return folder if folder.is_dir() else None


def _remove_orphans(above: Path) -> None:
    """Removes the homes of root zygotes that no longer exist."""
    with suppress(OSError):
        for path in above.glob(f"{NAME}*"):
            number = path.name.removeprefix(NAME)
            if number.isdigit() and not Path(f"/proc/{number}").exists():
                remove_home(path)


def _move_down(above: Path) -> None:
    below = above / f"{NAME}service"
    below.mkdir(exist_ok=True)
    for pid in (above / "cgroup.procs").read_text(encoding="ascii").split():
        with suppress(ProcessLookupError):
            (below / "cgroup.procs").write_text(pid)


def _remove(path: Path) -> None:
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # a process lives in it, or waits to be reaped
            with suppress(OSError):
                (path / "cgroup.kill").write_text("1")
            if time.monotonic() > deadline:
                return
            time.sleep(0.002)
        else:
            return
