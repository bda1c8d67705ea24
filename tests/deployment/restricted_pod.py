"""Runs a command as a pod of the restricted Pod Security Standard would: python -m tests.deployment.restricted_pod FOLDER SECRETS COMMAND…

Needs root, in a mount namespace of its own (`unshare --mount`). What the manifests ask for is done with the same means of the kernel: the root
file system is read-only, /tmp and FOLDER are file systems in memory, the folder SECRETS is mounted inside FOLDER, the user is 10001 and has no
capability and gains none, and system calls that make or enter namespaces or mount are refused, as by the default seccomp profile of container
runtimes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TMP = Path("/tmp")
USER = 10001
_REFUSED = {"x86_64": (165, 272, 308), "aarch64": (40, 97, 268)}  # mount, unshare, setns (syscalls(2))
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # of classic BPF (seccomp(2))
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVS, _SECCOMP, _FILTER, _DROP_BOUNDING = 38, 22, 2, 24  # prctl(2)
_LAST_CAPABILITY = 40


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _keep(paths: list[Path]) -> None:
    """Makes the paths known as /mnt/0, /mnt/1 …, whatever is mounted above them later."""
    _mount("-t", "tmpfs", "tmpfs", "/mnt")
    for number, path in enumerate(paths):
        kept = Path("/mnt") / str(number)
        kept.mkdir()
        _mount("--bind", str(path), str(kept))


def _make_reachable(paths: list[Path]) -> None:
    """Lets other users reach the paths, of which the first is kept as /mnt/0, where a folder above them is closed, such as /root, or is
    covered, as /tmp is: an empty open folder takes its place."""
    covered = {TMP}
    for number, path in enumerate(paths):
        closed = next((above for above in reversed(path.parents) if above in covered or not above.stat().st_mode & 0o001), None)
        if closed is None:
            continue
        if closed not in covered:
            _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(closed))
            covered.add(closed)
        path.mkdir(parents=True, exist_ok=True)
        _mount("--bind", f"/mnt/{number}", str(path))


def mount(folder: Path, secrets: Path) -> None:
    """Makes the root of this namespace read-only, /tmp and the folder writable, and the secrets readable inside the folder."""
    _mount("--make-rprivate", "/")
    program = [Path(sys.base_prefix), ROOT]
    _keep([*program, secrets])
    for place in (TMP, folder):
        _mount("-t", "tmpfs", "-o", f"mode=0770,uid={USER},gid={USER}", "tmpfs", str(place))
    _make_reachable(program)
    inside = folder / "secret.files"
    inside.mkdir()
    _mount("--bind", "/mnt/2", str(inside))
    for place in (inside, Path("/")):
        _mount("-o", "remount,bind,ro", str(place))


def confine() -> None:
    """Gives up root, all capabilities and the system calls that a container runtime refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_LAST_CAPABILITY + 1):
        libc.prctl(_DROP_BOUNDING, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    assert libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    refused = _REFUSED[platform.machine()]
    code = struct.pack("=HBBI", _LOAD, 0, 0, 0)  # the number of the system call
    for index, number in enumerate(refused):
        code += struct.pack("=HBBI", _EQUAL, len(refused) - index, 0, number)
    code += struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW) + struct.pack("=HBBI", _RETURN, 0, 0, _ERRNO | errno.EPERM)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    if libc.prctl(_SECCOMP, _FILTER, ctypes.create_string_buffer(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    """Mounts, confines, and becomes the command."""
    folder, secrets, command = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    mount(folder, secrets)
    confine()
    os.chdir(folder)
    os.execvp(command[0], command)  # noqa: S606 - the command of a test


if __name__ == "__main__":
    main()
