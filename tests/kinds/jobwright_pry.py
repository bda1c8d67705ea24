"""A kind of job that tries every door, and says which were open."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from templates_lib.base import JobResult, JobTemplate, RunContext
from templates_lib.connections.file_store import open_file_store


class Pry(JobTemplate):
    """`paths` are read and written to, `pids` signalled and looked into, `addresses` connected to."""

    type = "pry"
    name = "Pry"
    description = "Try every door"
    category = "Tests"
    icon = "ban"
    network = False
    parameters_schema = {
        "type": "object",
        "properties": {
            "read": {"type": "array", "items": {"type": "string"}},
            "write": {"type": "array", "items": {"type": "string"}},
            "pids": {"type": "array", "items": {"type": "integer"}},
            "addresses": {"type": "array", "items": {"type": "string"}},
            "store": {"type": "string", "x-options": {"from": "connections", "kind": "file_store"}},
        },
        "additionalProperties": False,
    }

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        Path("own").write_text("x")
        Path("own").rename("mine")
        found: dict[str, Any] = {"user": os.getuid(), "environment": dict(os.environ), "own": Path("mine").read_text(), "open": []}
        for path in params.get("read", ()):
            self._try(found, f"read {path}", lambda path=path: _full(Path(path).read_bytes()))
            self._try(found, f"cat {path}", lambda path=path: _full(subprocess.run(["cat", path], check=True, capture_output=True).stdout))
            self._try(
                found,
                f"through a link {path}",
                lambda path=path: (Path("link").unlink(missing_ok=True), Path("link").symlink_to(path), _full(Path("link").read_bytes())),
            )
            self._try(
                found,
                f"as a hard link {path}",
                lambda path=path: (Path("hard").unlink(missing_ok=True), os.link(path, "hard"), _full(Path("hard").read_bytes())),
            )
        for path in params.get("write", ()):
            self._try(found, f"write {path}", lambda path=path: Path(path, f"pry-{os.getpid()}").write_text("x"))
            self._try(found, f"mkdir {path}", lambda path=path: Path(path, f"pry-d-{os.getpid()}").mkdir())
            self._try(
                found,
                f"move to {path}",
                lambda path=path: (Path("moved").write_text("x"), Path("moved").rename(f"{path}/pry-{os.getpid()}")),
            )
        for pid in params.get("pids", ()):
            self._try(found, f"signal {pid}", lambda pid=pid: os.kill(pid, 0))
            for name in ("environ", "mem", "maps"):
                self._try(found, f"{name} {pid}", lambda pid=pid, name=name: _look(Path(f"/proc/{pid}/{name}")))
        for address in params.get("addresses", ()):
            self._try(found, f"connect {address}", lambda address=address: _connect(address))
        if "store" in params:
            store = open_file_store(ctx, params["store"])
            with store.write_atomically("inner/file") as stream:
                stream.write(b"kept")
            found["stored"] = store.read("inner/file", limit_bytes=100).decode()
        return JobResult("pried", found)

    @staticmethod
    def _try(found: dict[str, Any], name: str, door: Callable[[], Any]) -> None:
        try:
            door()
        except (OSError, subprocess.CalledProcessError):
            return
        found["open"].append(name)


class PryReused(Pry):
    """The same in a process that others use after it."""

    type = "pry_reused"
    name = "Pry, reused"
    isolation = "reused"


def _look(path: Path) -> None:
    with path.open("rb") as stream:
        stream.read(1)


def _full(data: bytes) -> None:
    """What is there and empty gives nothing away."""
    if not data:
        raise OSError("empty")


def _connect(address: str) -> None:
    if address.startswith("/"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address)
        return
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=2).close()
