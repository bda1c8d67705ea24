"""The NATS connection that the settings describe: jobs send commands through it before anybody has created a connection."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from app.audit.model import SYSTEM
from app.config import Settings
from app.connections.service import DEFAULT, Connections
from app.errors import DuplicateName, JobwrightError
from app.events import get_logger
from app.integrations.nats.connection import servers_of
from app.mongo import Document

log = get_logger(__name__)

KIND = "nats"
NAME = f"{DEFAULT}-{KIND}"  # `default` stays free for a connection of another kind


class CommandConnection:
    """Keeps the connection NAME like NATS_URL and ALLOWED_COMMANDS, unless a person has changed it."""

    def __init__(self, connections: Connections, settings: Settings) -> None:
        self._connections, self._settings = connections, settings

    def keep(self) -> None:
        """Creates the connection, or gives it what the settings say now. Does nothing if one of the settings is empty, or if there is a
        default connection of this kind that a person has created or changed. Logs why it cannot be created."""
        if not (self._settings.nats_url and self._settings.allowed_commands):
            return
        try:
            self._write(self._wanted())
        except DuplicateName:
            return  # another process has just created it, or a connection of another kind has its name
        except JobwrightError as error:
            log.warning("bus.no_command_connection", reason=error.detail)

    def _write(self, wanted: dict[str, Any]) -> None:
        name = self._connections.defaults({KIND}).get(KIND)
        if name is None:
            self._connections.create(SYSTEM, name=NAME, kind=KIND, settings=wanted)
            return
        stored, granted = self._stored(name), self._connections.grant([name]).get(name)
        if stored["updated_by"] == SYSTEM.email and granted is not None and granted.settings != wanted:
            self._connections.update(SYSTEM, stored["_id"], name=name, settings=wanted, version=stored["version"])

    def _stored(self, name: str) -> Document:
        return next(row for row in self._connections.all(SYSTEM) if row["name"] == name)

    def _wanted(self) -> dict[str, Any]:
        servers = servers_of(self._settings.nats_servers)
        user = dict(servers[0].user)
        renamed = {"username" if name == "user" else name: value for name, value in user.items()}
        addresses = [f"{urlsplit(server.url).scheme}://{server.place}" for server in servers]
        return {"servers": list(dict.fromkeys(addresses)), "subjects": list(self._settings.allowed_commands), **renamed}
