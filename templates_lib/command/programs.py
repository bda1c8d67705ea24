"""Which programs and folders commands may use: checks of the files themselves. Nothing here starts a program."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from templates_lib.messages import Said, say

MOST_LINKS = 40  # as the kernel follows (path_resolution(7))

# Programs that run whatever their arguments say, or files that they are given. Who may start one of them may start any program.
_BROAD = re.compile(
    r"(?:ba|da|z|k|c|tc|fi|a|pw)?sh|busybox|toybox|python[0-9.]*|pypy[0-9.]*|perl[0-9.]*|ruby[0-9.]*|node|nodejs|deno|bun|php[0-9.]*|"
    r"lua[0-9.]*|tclsh[0-9.]*|expect|[gmn]?awk|sed|find|xargs|parallel|env|sudo|su|doas|runuser|setpriv|nice|ionice|nohup|timeout|"
    r"stdbuf|setsid|time|chroot|unshare|nsenter|strace|gdb|ld[.-].*|script|watch|make|tar|zip|rsync|ssh|scp|git|vim?|emacs|less|man|"
    r"docker|podman|kubectl|systemd-run|systemctl|crontab|at|flock|ansible.*|java|dotnet|R|Rscript"
)


@dataclass(frozen=True, slots=True)
class Account:
    """The user whose processes run commands, by number, and its groups."""

    user: int
    groups: frozenset[int] = frozenset()

    @classmethod
    def own(cls) -> Account:
        """Returns the user of this process."""
        return cls(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def is_broad(path: str) -> bool:
    """Returns whether a program runs whatever its arguments say, such as a shell or an interpreter. Links are followed."""
    names = {os.path.basename(path), os.path.basename(os.path.realpath(path))}  # noqa: PTH119 - as realpath
    return any(_BROAD.fullmatch(name) for name in names)


def refusal(path: str, account: Account) -> Said | None:
    """Returns why a program cannot run as this user; None if it can.

    A program is refused if the user could change it, or what its path leads to: then a job could change what the next job runs. For root,
    who can change everything, a program is refused if anybody else could change it.
    """
    try:
        steps = list(_steps(path))
    except FileNotFoundError:
        return say("{path} does not exist", path=path)
    except OSError as error:
        return say("{path} cannot be used: {reason}", path=path, reason=error.strerror or str(error))
    where, info = steps[-1]
    if not stat.S_ISREG(info.st_mode):
        return say("{path} is not a file", path=path)
    if not info.st_mode & 0o111:
        return say("{path} is not executable", path=path)
    for where, info in steps:
        if _changeable(info, account):
            if account.user:
                return say("{path} is refused, because the user that runs jobs can change {where}", path=path, where=where)
            return say("{path} is refused, because users other than root can change {where}", path=path, where=where)
    return None


def resolved_folder(path: str, allowed: Iterable[str]) -> str | None:
    """Returns the folder that `path` leads to, if that is one of the `allowed` folders or inside of one; None otherwise."""
    real = os.path.realpath(path)
    tops = [os.path.realpath(folder) for folder in allowed]
    return real if any(real == top or real.startswith(top.rstrip("/") + "/") for top in tops) else None


def _steps(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yields all that decides what an absolute path leads to: each folder and link on the way, and at last the file. Raises OSError."""
    at, rest, links = "/", deque(path.split("/")), 0
    yield at, os.lstat(at)
    while rest:
        part = rest.popleft()
        if part in {"", "."}:
            continue
        if part == "..":
            at = os.path.dirname(at)  # noqa: PTH120 - a text
            continue
        below = os.path.join(at, part)  # noqa: PTH118 - a text
        info = os.lstat(below)
        yield below, info
        if not stat.S_ISLNK(info.st_mode):
            at = below
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink(below)  # noqa: PTH115 - a text
        rest.extendleft(reversed(target.split("/")))
        at = "/" if target.startswith("/") else at


def _changeable(info: os.stat_result, account: Account) -> bool:
    """Returns whether the user may write to a file, or replace what is in a folder. For root: whether anybody else may."""
    if account.user == 0:
        if info.st_uid != 0:
            return True
    elif info.st_uid == account.user:
        return True  # an owner can give itself the right to write
    if stat.S_ISLNK(info.st_mode):
        return False  # its mode means nothing (symlink(7))
    if stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX:
        return False  # there, only owners replace what is theirs
    if info.st_mode & stat.S_IWOTH:
        return True
    if account.user == 0:
        return bool(info.st_mode & stat.S_IWGRP) and info.st_gid != 0 and stat.S_ISREG(info.st_mode)
    return bool(info.st_mode & stat.S_IWGRP) and info.st_gid in account.groups
