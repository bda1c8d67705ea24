"""The cage: what keeps the process of an attempt away from everything that its run was not given, as far as the kernel allows it.

It is closed in two steps, each where it costs least.

1. Once for each template, in its zygote (`confine_zygote`): a network namespace without a network if the template needs none, and a mount
   namespace in which the service's own folders are empty (namespaces(7); inside a user namespace if the service is not root).
2. Once for each attempt: another user if one is set (`take_folder`), and Landlock (`confine_attempt`, landlock(7)). The attempt writes to
   its own folder and to the file stores that it was given and nowhere else, reads nothing else of the data folder, and cannot signal,
   trace or read the memory and environment of any process but its own.

What the kernel refuses is left out, and CageFeatures says so. Nothing here fails a run.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from app.sandbox import kernel
from templates_lib.private import make_folders

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture (syscalls(2))
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _TRUNCATE, _REFER = 1 << 1, 1 << 2, 1 << 14, 1 << 13
_FILE_RIGHTS = _WRITE_FILE | _READ_FILE | _TRUNCATE  # the rights that a rule may give to a file that is no folder
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))  # remove entries, and make entries of every sort
_TCP = 0b11  # bind, connect
_SCOPED = 0b11  # abstract sockets, signals
_NO_NEW_PRIVS = 38  # prctl(2)
_CAPABILITY_VERSION = 0x2008_0522  # capget(2)
# The capabilities that a process of root keeps (capabilities(7)): CHOWN, DAC_OVERRIDE, FOWNER and FSETID, so that it reads and writes its
# file stores whoever owns them. It loses those that undo a namespace, look into other processes or change the user.
_FEW_CAPABILITIES = struct.pack("=IIIIII", 0b11011, 0b11011, 0, 0, 0, 0)
_NO_CAPABILITIES = bytes(24)
_OWN_PROCESS = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
_NEWNS, _NEWUSER, _NEWNET = 0x0002_0000, 0x1000_0000, 0x4000_0000
_MS_RDONLY, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 4096, 16384, 1 << 18
# Devices that every program may write to: they keep nothing.
_SINKS = ("/dev/null", "/dev/zero", "/dev/full")

_libc = ctypes.CDLL(None, use_errno=True)


class CageRules(NamedTuple):
    """How attempts are kept in."""

    on: bool = True  # False: they are not
    hidden: tuple[str, ...] = ()  # folders and files of the service's own, which seem empty to them
    data: str = ""  # of this folder they read their own folder and their file stores alone
    writable: tuple[str, ...] = ()  # folders that they may write to besides
    user: str = ""  # the user that they run as; empty: the service's


class CageFeatures(NamedTuple):
    """The protections that the kernel gives here."""

    landlock: int = 0  # the version of its interface; 0: none
    mounts: bool = False  # the hidden folders are hidden
    network: bool = False  # there is no network


class Cage:
    """The cage of one template's processes. It is made in the root, and closed step by step on the way to an attempt."""

    def __init__(self, rules: CageRules) -> None:
        self._rules = rules
        self._abi = landlock_version() if rules.on else 0
        self._readable: list[int] = []
        self._read_rules: list[bytes] = []  # of what is readable: made once, so that an attempt only hands them over
        self._no_network = False

    def confine_zygote(self, *, network: bool) -> CageFeatures:
        """In a template's zygote, once it has imported all that it needs: enters its namespaces, and opens what attempts will read.

        `network` says whether the template needs a network.
        """
        if not self._rules.on:
            return CageFeatures()
        mounts = _enter_namespace(_NEWNS) and self._hide()
        self._no_network = not network
        without = not network and _enter_namespace(_NEWNET)
        kernel.die_with_parent()  # the kernel forgets it when the credentials change (prctl(2))
        if self._abi and self._rules.data:
            self._readable = [fd for path in _all_beside(Path(self._rules.data)) if (fd := _open(path)) is not None]
            self._read_rules = [_rule(fd, _READ_FILE) for fd in self._readable]
        return CageFeatures(self._abi, mounts=mounts, network=without)

    def take_folder(self, files: str) -> None:
        """In a process for attempts: makes its own folder, and becomes the user that it runs as."""
        with suppress(FileExistsError):
            os.mkdir(files, 0o700)  # noqa: PTH102 - touches a third of the pages that Path.mkdir does, in each attempt
        if self._rules.user:
            user = pwd.getpwnam(self._rules.user)
            os.chown(files, user.pw_uid, user.pw_gid)
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.environ["HOME"] = files
            kernel.die_with_parent()
        if self._rules.on:
            _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)  # also for everything that it starts
            _libc.capset(_OWN_PROCESS, _FEW_CAPABILITIES if os.getuid() == 0 else _NO_CAPABILITIES)

    def confine_attempt(self, files: str, folders: Iterable[str]) -> None:
        """In a process for one attempt, before it runs anything of the template: takes away all but `files`, the `folders` of its file
        stores and what the rules allow. Does nothing if the kernel has no Landlock."""
        if not self._abi:
            return
        for folder in folders:
            with suppress(OSError):
                make_folders(folder)  # a store would make it by itself, and will not be able to
        writes = _WRITE_FILE | _CHANGE_FOLDER | (_REFER if self._abi >= 2 else 0) | (_TRUNCATE if self._abi >= 3 else 0)
        rights = writes | (_READ_FILE if self._readable else 0)
        ruleset = self._ruleset(rights)
        if ruleset is None:
            return
        for rule in self._read_rules:
            _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        for path in (files, *folders, *self._rules.writable, *_SINKS):
            opened = _open(path)
            if opened is not None:
                rule = _rule(opened, rights if path not in _SINKS else rights & _FILE_RIGHTS)
                _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
                os.close(opened)
        self._restrict(ruleset)

    def confine_reused(self) -> None:
        """As `confine_attempt`, for a process whose attempts have file stores that are not known yet: takes away signals and tracing and,
        if the template needs none, the network."""
        if self._abi >= 6 and (ruleset := self._ruleset(0)) is not None:
            self._restrict(ruleset)

    def _ruleset(self, files: int) -> int | None:
        attributes = struct.pack("=Q", files)
        if self._abi >= 4:
            attributes += struct.pack("=Q", _TCP if self._no_network else 0)
        if self._abi >= 6:
            attributes += struct.pack("=Q", _SCOPED)
        fd = int(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
        return fd if fd >= 0 else None

    def _restrict(self, ruleset: int) -> None:
        _libc.syscall(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
        for fd in self._readable:
            os.close(fd)

    def _hide(self) -> bool:
        """Mounts an empty folder over each hidden folder, and nothing over each hidden file. Only this namespace sees it."""
        if _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE) != 0:
            return False
        hidden = True
        for name in self._rules.hidden:
            path = Path(name)
            if path.is_dir():
                hidden &= _mount(b"tmpfs", os.fsencode(path), b"tmpfs", _MS_RDONLY, b"size=4k,mode=000") == 0
            elif path.exists():
                hidden &= _mount(b"/dev/null", os.fsencode(path), None, _MS_BIND) == 0
        return hidden


def landlock_version() -> int:
    """Returns the version of Landlock that this kernel has; 0 if it has none, or if it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))))


def kernel_features() -> CageFeatures:
    """Returns the protections that an attempt would have here. It finds them out in a process that ends at once."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        features = CageFeatures()
        with suppress(OSError):
            features = Cage(CageRules()).confine_zygote(network=False)
        os.write(write, bytes(features))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        landlock, mounts, network = stream.read(3)
    os.waitpid(pid, 0)
    return CageFeatures(landlock, mounts=bool(mounts), network=bool(network))


def _enter_namespace(kind: int) -> bool:
    """Moves this process, which must have one thread, into a new namespace; into one of its own user if only that permits it."""
    if _libc.unshare(kind) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if user == 0 or _libc.unshare(_NEWUSER | kind) != 0:
        return False
    with suppress(OSError):  # it stays the same user, so that files keep their owner (user_namespaces(7))
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    return True


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None = None) -> int:
    return int(_libc.mount(source, target, kind, ctypes.c_ulong(flags), options))


def _all_beside(path: Path) -> list[Path]:
    """Returns everything that is neither `path` nor above it: the entries beside it, beside its folder, and so on up to the root."""
    beside: list[Path] = []
    for above in path.parents:
        inner = next(part for part in (path, *path.parents) if part.parent == above)
        with suppress(OSError):
            beside += [child for child in above.iterdir() if child != inner]
    return beside


def _open(path: str | Path) -> int | None:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None


def _rule(fd: int, rights: int) -> bytes:
    return struct.pack("=Qi", rights, fd)
