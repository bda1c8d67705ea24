"""Control groups (cgroups(7), version 2): a tree of processes that the kernel holds together, whatever sessions and orphans it makes.

A group an attempt makes its end sure, by one write to `cgroup.kill` (Linux 5.14), and bounds memory and processes of the whole tree
where the operator gave Jobwright a control group of its own. Where there is no version 2, or no right to it, everything works without.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

NAME = "jobwright-"
REMOVE_SECONDS = 1.0  # a killed process is in its group until it is reaped
CONTROLLERS = "+memory +pids"


def make_home(*, whole: bool) -> Path | None:
    """A group of this process's own, below the one that it is in, for the groups of attempts; None where that is not to be had.

    `whole`: the group that this process is in is Jobwright's alone (a container, or systemd with Delegate=yes). Then its processes
    move one down, as groups with processes cannot bound others, and attempts are bounded too. Groups that earlier processes left behind
    are ended with all that is in them.
    """
    above = _own_group()
    if above is None:
        return None
    _clear(above)
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
    """One attempt's. Nothing here raises: a group that cannot be had is one reason less, not one error more."""

    def __init__(self, home: Path, name: str, limits: Mapping[str, int]) -> None:
        self._path = home / name
        with suppress(OSError):
            self._path.mkdir()
        for file, value in (("memory.max", limits["memory_bytes"]), ("memory.swap.max", 0), ("pids.max", limits["processes"] + 1)):
            with suppress(OSError):
                (self._path / file).write_text(str(value))

    def enter(self) -> None:
        """Move this process into the group; what it starts is born there."""
        with suppress(OSError):
            (self._path / "cgroup.procs").write_text("0")

    def kill(self) -> None:
        """SIGKILL to all that is in it, at once."""
        with suppress(OSError):
            (self._path / "cgroup.kill").write_text("1")

    def remove(self) -> None:
        """Kill what is left, and forget the group."""
        _remove(self._path)


def remove_home(home: Path) -> None:
    """End all groups below, and it."""
    for path in home.iterdir():
        if path.is_dir():
            _remove(path)
    _remove(home)


def _own_group() -> Path | None:
    """The folder of the group that this process is in."""
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


def _clear(above: Path) -> None:
    """End what root zygotes left that are gone."""
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
        except OSError:  # something lives in it, or is about to be reaped
            with suppress(OSError):
                (path / "cgroup.kill").write_text("1")
            if time.monotonic() > deadline:
                return
            time.sleep(0.002)
        else:
            return
