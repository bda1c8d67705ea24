"""Patterns of hosts, as connections list them: `host`, `host:port`, or `*.example.com`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

HOST_PATTERN = r"^(\*\.)?([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?$"
HOST: dict[str, Any] = {
    "type": "string",
    "title": "Host",
    "maxLength": 260,
    "pattern": HOST_PATTERN,
    "x-pattern-words": "a host name such as api.example.com, with :port if the port is not the usual one",
}
DEFAULT_PORTS = {"https": 443, "http": 80}


def fits(pattern: str, host: str, port: int, default: int) -> bool:
    """Returns whether a pattern names a host at a port. `default` is the port of a pattern that names none."""
    name, colon, number = pattern.lower().rpartition(":") if not pattern.endswith("]") else (pattern.lower(), "", "")
    name, wanted = (name, int(number)) if colon else (pattern.lower(), default)
    name, host = name.strip("[]"), host.lower()
    return port == wanted and (host.endswith(name[1:]) and host != name[2:] if name.startswith("*.") else host == name)


def any_fits(patterns: Iterable[str], host: str, port: int) -> bool:
    """Returns whether one of the patterns names a host at a port. A pattern without a port means the ports of HTTP and HTTPS."""
    default = DEFAULT_PORTS["https"] if port == DEFAULT_PORTS["https"] else DEFAULT_PORTS["http"]
    return any(fits(pattern, host, port, default) for pattern in patterns)
