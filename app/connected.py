"""Which processes of Jobwright are connected to a database, by the names that they give the server. Web servers leave no other trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version as version_of
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from app.mongo import Document

LASTING = frozenset({"serve", "web", "scheduler", "worker"})  # roles of processes that go on until they are stopped
COMMAND = "command"  # the role of the others
_BEGINNING = "jobwright/"


@dataclass(frozen=True, slots=True)
class Connected:
    """A process: its role, its version, and the address that it comes from."""

    role: str
    version: str
    address: str

    def __str__(self) -> str:
        return f"{self.role} ({self.address}, {self.version})"


def name_of_process(role: str, database: str, *, version: str | None = None) -> str:
    """Returns the name by which a process of this version, or another one, is connected to a database: `jobwright/1.2.0 web shop`."""
    return f"{_BEGINNING}{version or version_of('jobwright')} {role} {database}"


def connected_processes(client: MongoClient[Document], database: str) -> list[Connected]:
    """Returns the lasting processes that are connected to a database.

    Without further rights, a user of the server sees connections of the same user. Empty if the server does not tell.
    """
    stages: list[Document] = [
        {"$currentOp": {"allUsers": False, "idleConnections": True}},
        {"$match": {"appName": {"$regex": f"^{_BEGINNING}"}}},
    ]
    try:
        rows = list(client.admin.aggregate(stages))
    except OperationFailure:
        return []
    return sorted(set(_processes(rows, database)), key=str)


def _processes(rows: list[dict[str, Any]], database: str) -> Iterator[Connected]:
    for row in rows:
        name, role, place = f"{row['appName']}  ".split(" ", 2)
        if role in LASTING and place.strip() == database:
            yield Connected(role, name.removeprefix(_BEGINNING), _host(str(row.get("client", ""))))


def _host(client: str) -> str:
    """Returns where a connection comes from without its port, as each process has several connections."""
    host = client.rpartition(":")[0]
    return "this machine" if not host or "unix socket" in host else host
