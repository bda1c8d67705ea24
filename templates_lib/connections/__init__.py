"""The kinds of connections: the settings of each kind, and how it is opened. Connections are named credentials, which are never part of a
job."""

from __future__ import annotations

from templates_lib.connections import file_store, http, mongodb, nats, secret, service, smtp, sql
from templates_lib.connections.kind import ConnectionKind

KINDS: dict[str, ConnectionKind] = {
    kind.type: kind for kind in (mongodb.KIND, smtp.KIND, http.KIND, service.KIND, nats.KIND, sql.KIND, file_store.KIND, secret.KIND)
}

__all__ = ["KINDS", "ConnectionKind"]
