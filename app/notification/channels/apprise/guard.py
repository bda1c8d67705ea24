"""Keeps the code of others in this process from private hosts, files and programs."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from templates_lib.net import refused_address

# What libraries read while they work: modules, time zones, certificates of authorities, types of media.
READABLE = (sys.prefix, sys.base_prefix, "/usr", "/etc/ssl", "/etc/pki", "/etc/mime.types", "/etc/hosts", "/etc/localtime", "/dev/null")
MODULES = (".py", ".pyc", ".so")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROGRAMS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"})
_FILES = frozenset({"os.remove", "os.rename", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"})
_TRAFFIC = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class Refusal(OSError):
    """This process may not do that. Libraries take it for an error of the network or of the file."""


class Guard:
    """From `close` on, this process connects only to public addresses and to `allowed_hosts` (`host` or `host:port`), starts no programs,
    and reads only the files of its libraries. It cannot be opened again. `refused` are the hosts that were refused."""

    def __init__(self, allowed_hosts: Iterable[str]) -> None:
        self._allowed, self._checked = {host.lower() for host in allowed_hosts}, set[str]()
        self._look_up, self.refused = socket.getaddrinfo, list[str]()

    def close(self) -> None:
        """Begins to guard."""
        socket.getaddrinfo = self._guarded_look_up
        sys.addaudithook(self._watch)

    def _guarded_look_up(self, host: Any, port: Any, *others: Any, **named: Any) -> Any:
        answers = self._look_up(host, port, *others, **named)
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        addresses = [str(answer[4][0]) for answer in answers]
        if not {name.lower(), f"{name.lower()}:{port}"} & self._allowed and refused_address(addresses) is not None:
            self._refuse(name)
        self._checked.update(addresses)
        return answers

    def _refuse(self, place: str) -> None:
        self.refused.append(place)
        raise Refusal(f"{place} is a private or local address")

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _TRAFFIC:
            self._watch_traffic(arguments)
        elif event == "open":
            _watch_file(arguments[0], arguments[2])
        elif event in _PROGRAMS or event in _FILES:
            raise Refusal(f"{event} is not allowed here")

    def _watch_traffic(self, arguments: tuple[Any, ...]) -> None:
        address = arguments[1] if len(arguments) > 1 else None
        if address is None:  # a datagram of a connected socket
            return
        host = address[0] if isinstance(address, tuple) else str(address)
        if host not in self._checked:  # another family of sockets, or an address that nobody has looked up
            self._refuse(str(host))


def _watch_file(path: Any, flags: Any) -> None:
    if isinstance(path, int) or path is None:  # a file that is open already
        return
    place = os.path.realpath(os.fsdecode(path))
    if isinstance(flags, int) and flags & _WRITES and place != "/dev/null":
        raise Refusal(f"{place} may not be written")
    if not place.endswith(MODULES) and not any(Path(place).is_relative_to(root) for root in READABLE):
        raise Refusal(f"{place} may not be read")
