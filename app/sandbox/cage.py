"""What keeps a job process in, as far as the kernel lets it: no door but those that its run was given.

Two steps, each done where it costs least. Once a kind, in its zygote (`close_kind`): a network namespace without a network where the kind
needs none, and a mount namespace in which the service's own folders are empty (namespaces(7); a user namespace around them where the
service is not root). Once an attempt (`close_attempt`): another user where one is set, and Landlock (landlock(7)): it writes to its own
folder, to the file stores that it was given and nowhere else, reads nothing else of the data folder, and signals, traces and reads the
memory and environment of no process but its own.

What the kernel refuses is left out and said (`Holds`); nothing here fails a run.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from app.sandbox import kernel
from templates_lib.private import make_folders

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture (syscalls(2))
_VERSION, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _TRUNCATE, _REFER = 1 << 1, 1 << 2, 1 << 14, 1 << 13
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE  # what a rule may say of a file that is no folder
_CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))  # remove, and make of every sort
_TCP = 0b11  # bind, connect
_SCOPED = 0b11  # abstract sockets, signals
_NO_NEW_PRIVS = 38  # prctl(2)
_CAPABILITY_VERSION = 0x2008_0522  # capget(2)
# What a process of root keeps (capabilities(7)): CHOWN, DAC_OVERRIDE, FOWNER, FSETID, so that it reads and writes its file stores whoever
# owns them. Not what undoes a namespace, looks into other processes or becomes somebody else.
_FEW = struct.pack("=IIIIII", 0b11011, 0b11011, 0, 0, 0, 0)
_NONE = bytes(24)
_OF_ONESELF = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
_NEWNS, _NEWUSER, _NEWNET = 0x0002_0000, 0x1000_0000, 0x4000_0000
_MS_RDONLY, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 4096, 16384, 1 << 18
# Devices that programs write to and that keep nothing.
_SINKS = ("/dev/null", "/dev/zero", "/dev/full")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to keep attempts in. `on` false: not at all. `hidden` are folders and files of the service's own; of `data` an attempt reads its
    own folder and its file stores alone; `writable` are folders that it may write to besides. `user` is whose name it runs under."""

    on: bool = True
    hidden: tuple[str, ...] = ()
    data: str = ""
    writable: tuple[str, ...] = ()
    user: str = ""

    @classmethod
    def from_json(cls, found: dict[str, object]) -> Plan:
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in found.items()})  # type: ignore[arg-type]  # as `to_json` wrote it

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Holds:
    """What the kernel lets hold here."""

    landlock: int = 0  # the version of its interface; 0: none
    mounts: bool = False
    network: bool = False


class Cage:
    """Of one kind of job; made in the root, closed step by step on the way to an attempt."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._abi = landlock_version() if plan.on else 0
        self._readable: list[int] = []
        self._rules: list[bytes] = []  # of what is readable, made once: an attempt only hands them over
        self._no_network = False

    def close_kind(self, *, network: bool) -> Holds:
        """In a kind's zygote, once it has imported what it needs: its namespaces, and what attempts will need open."""
        if not self._plan.on:
            return Holds()
        mounts = _in_namespace(_NEWNS) and self._hide()
        self._no_network = not network
        without = not network and _in_namespace(_NEWNET)
        kernel.die_with_parent()  # forgotten where the credentials changed (prctl(2))
        if self._abi and self._plan.data:
            self._readable = [fd for path in _beside(Path(self._plan.data)) if (fd := _open(path)) is not None]
            self._rules = [_rule(fd, _READ_FILE) for fd in self._readable]
        return Holds(self._abi, mounts=mounts, network=without)

    def take_folder(self, files: str) -> None:
        """In an attempt's process: its own folder, and the user that it runs under."""
        with suppress(FileExistsError):
            os.mkdir(files, 0o700)  # noqa: PTH102 - a third of the pages that Path.mkdir touches, in each attempt
        if self._plan.user:
            found = pwd.getpwnam(self._plan.user)
            os.chown(files, found.pw_uid, found.pw_gid)
            os.setgroups([])
            os.setgid(found.pw_gid)
            os.setuid(found.pw_uid)
            os.environ["HOME"] = files
            kernel.die_with_parent()
        if self._plan.on:
            _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)  # for all that it starts, too
            _libc.capset(_OF_ONESELF, _FEW if os.getuid() == 0 else _NONE)

    def close_attempt(self, files: str, folders: Iterable[str]) -> None:
        """In an attempt's process, before it runs anything of the template: from here on it has `files`, the `folders` of its file stores
        and what the plan allows; where the kernel has no Landlock, all that it had."""
        if not self._abi:
            return
        for folder in folders:
            with suppress(OSError):
                make_folders(folder)  # what a store would do by itself, and could not any more
        writes = _WRITE_FILE | _CHANGE_FOLDER | (_REFER if self._abi >= 2 else 0) | (_TRUNCATE if self._abi >= 3 else 0)
        rights = writes | (_READ_FILE if self._readable else 0)
        ruleset = self._ruleset(rights)
        if ruleset is None:
            return
        for rule in self._rules:
            _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        for path in (files, *folders, *self._plan.writable, *_SINKS):
            opened = _open(path)
            if opened is not None:
                rule = _rule(opened, rights if path not in _SINKS else rights & _OF_FILES)
                _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
                os.close(opened)
        self._restrict(ruleset)

    def close_shared(self) -> None:
        """The same for a process whose attempts have file stores that are not known yet: signals, tracing and, where the kind needs none,
        the network."""
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
        """An empty folder over each hidden one, nothing in place of each hidden file. Only this namespace sees it."""
        if _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE) != 0:
            return False
        done = True
        for name in self._plan.hidden:
            path = Path(name)
            if path.is_dir():
                done &= _mount(b"tmpfs", os.fsencode(path), b"tmpfs", _MS_RDONLY, b"size=4k,mode=000") == 0
            elif path.exists():
                done &= _mount(b"/dev/null", os.fsencode(path), None, _MS_BIND) == 0
        return done


def landlock_version() -> int:
    """The version of Landlock that this kernel has; 0 where it has none, or it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))))


def try_out() -> Holds:
    """What would hold for an attempt, found out in a process that ends at once."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        found = Holds()
        with suppress(OSError):
            found = Cage(Plan()).close_kind(network=False)
        os.write(write, bytes([found.landlock, found.mounts, found.network]))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        landlock, mounts, network = stream.read(3)
    os.waitpid(pid, 0)
    return Holds(landlock, mounts=bool(mounts), network=bool(network))


def _in_namespace(kind: int) -> bool:
    """Move this process, which must be single-threaded, into a new namespace; one of its own user where only that lets it."""
    if _libc.unshare(kind) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if user == 0 or _libc.unshare(_NEWUSER | kind) != 0:
        return False
    with suppress(OSError):  # as oneself: files keep their owner (user_namespaces(7))
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    return True


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None = None) -> int:
    return int(_libc.mount(source, target, kind, ctypes.c_ulong(flags), options))


def _beside(path: Path) -> list[Path]:
    """All that is not `path`, nor above it: together with it, everything."""
    found = []
    for above in path.parents:
        inner = next(part for part in (path, *path.parents) if part.parent == above)
        with suppress(OSError):
            found += [child for child in above.iterdir() if child != inner]
    return found


def _open(path: str | Path) -> int | None:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None


def _rule(fd: int, rights: int) -> bytes:
    return struct.pack("=Qi", rights, fd)
