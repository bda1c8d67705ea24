"""Scripts that other schedulers keep with their jobs: a script of one command is a command, any other one stays a script."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SHELLS = frozenset({"sh", "bash", "dash", "ash"})


@dataclass(frozen=True, slots=True)
class Script:
    """What a script runs. A text with a new line can be run by its shell only."""

    text: str
    shell: str = "/bin/sh"


def read_script(text: str, *, interpreter: str = "", arguments: str = "") -> Script:
    """Returns what a script runs. `interpreter` takes precedence over its first line; `arguments` are words of a shell."""
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    shell = ""
    if lines[0].startswith("#!"):
        shell = lines[0][2:].strip()
        lines = lines[1:]
    shell = interpreter.strip() or shell or "/bin/sh"
    body = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if shell.split()[0].rpartition("/")[2] in _SHELLS:
        body = [line for line in body if not re.fullmatch(r"set -[a-z]+(?: -?o? ?pipefail)?", line)] if len(body) == 2 else body
        if len(body) == 1 and not arguments and not body[0].endswith("\\"):
            return Script(body[0], shell)
        if arguments:
            lines = [f"set -- {arguments}", *lines]
    return Script("\n".join(lines).strip("\n") + "\n", shell if shell.startswith("/") else f"/usr/bin/env {shell}")
