"""The kinds of connection: what each asks for, and how it is opened. Named credentials, never written into a job."""

from __future__ import annotations

from templates_lib.connections import file_store, mongodb, smtp
from templates_lib.connections.kind import ConnectionKind

KINDS: dict[str, ConnectionKind] = {kind.type: kind for kind in (mongodb.KIND, smtp.KIND, file_store.KIND)}

__all__ = ["KINDS", "ConnectionKind"]
