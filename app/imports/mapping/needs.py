"""Names of the connections that imported jobs need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.imports.entries import Draft, Need
from app.imports.names import slug

LONGEST = 80


def connection(
    draft: Draft, kind: str, about: str, settings: Mapping[str, Any], *, secret: str = "", prints: tuple[str, ...] | None = None
) -> str:
    """Notes that the job needs a connection, and returns its name.

    Two jobs that need the same one get the same name; another secret (`prints`, by default those of the whole entry) makes it another
    connection.
    """
    name = f"{kind.replace('_', '-')}-{slug(about)}"[:LONGEST].rstrip("-")
    key = (draft.prints if prints is None else prints) if secret else ()
    names = draft.connections.setdefault(name, {})
    if key not in names:
        names[key] = name if not names else f"{name}-{len(names) + 1}"
    draft.needs.append(Need(name=names[key], kind=kind, settings=settings, secret=secret))
    return names[key]
