"""The way to the database of the old scheduler: through a connection of Jobwright, so that its password is stored nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import PyMongoError

from app.connections.service import Connections
from app.errors import Conflict, FieldError, ValidationFailed
from migrations_scripts.unified_scheduler.ledger import Ledger
from templates_lib.base import TemplateError
from templates_lib.connections.mongodb import open_settings
from templates_lib.messages import say
from templates_lib.own import Own

TIMEOUT_MS = 5_000


class OldWorld:
    """Opens the ledger of the old scheduler."""

    def __init__(self, connections: Connections, own: Own) -> None:
        self._connections, self._own = connections, own

    @contextmanager
    def ledger(self, connection: str) -> Iterator[Ledger]:
        """Yields the ledger behind a connection. Raises ValidationFailed for one that does not exist or is of another kind; Conflict if its
        database does not answer or is not that of an old scheduler."""
        grant = self._connections.grant([connection]).get(connection)
        if grant is None or grant.kind != "mongodb":
            raise ValidationFailed([FieldError("/connection", say("is not the name of a MongoDB connection: {name!r}", name=connection))])
        try:
            with open_settings(grant.settings, self._own, timeout_ms=TIMEOUT_MS) as database:
                yield Ledger(database)
        except (PyMongoError, TemplateError) as error:
            raise Conflict(say("The database of the old scheduler cannot be used: {reason}", reason=str(error)[:300])) from error
