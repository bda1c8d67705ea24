"""A MongoDB database that jobs work on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidURI

from templates_lib.base import RunContext, TemplateError
from templates_lib.connections.kind import ConnectionKind

TIMEOUT_MS = 10_000
EXPLORE_TIMEOUT_MS = 1500  # a form waits for it
SAMPLED = 50  # documents whose fields are suggested
MOST_SUGGESTED = 500

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "uri": {
            "type": "string",
            "title": "Connection string",
            "description": "Begins with `mongodb://` or `mongodb+srv://`. Kept encrypted, never shown again.",
            "pattern": r"^mongodb(\+srv)?://.+",
            "x-pattern-words": "a connection string that begins with mongodb:// or mongodb+srv://",
            "maxLength": 2000,
            "writeOnly": True,
        },
        "database": {
            "type": "string",
            "title": "Database",
            "description": "Jobs with this connection reach this database and no other.",
            "pattern": r"^[^/\\. \"$*<>:|?\x00]{1,63}$",
            "x-pattern-words": "the name of a database: at most 63 characters, without spaces, dots, slashes or $",
        },
    },
    "required": ["uri", "database"],
    "additionalProperties": False,
}


@contextmanager
def open_settings(settings: Mapping[str, Any], *, timeout_ms: int = TIMEOUT_MS) -> Iterator[Database[dict[str, Any]]]:
    """The database that `settings` name, closed at the end; datetimes are aware UTC."""
    with MongoClient[dict[str, Any]](
        settings["uri"], tz_aware=True, tzinfo=UTC,
        serverSelectionTimeoutMS=timeout_ms, connectTimeoutMS=timeout_ms, appname="jobwright-job",
    ) as client:  # fmt: skip
        yield client[settings["database"]]


@contextmanager
def open_mongodb(ctx: RunContext, name: str) -> Iterator[Database[dict[str, Any]]]:
    """The database behind connection `name` of this run.

    Raises TemplateError: permanent for settings that cannot work, not permanent where the server does not answer.
    """
    try:
        with open_settings(ctx.connection(name, "mongodb").settings) as database:
            yield database
    except (InvalidURI, ConfigurationError) as error:
        raise TemplateError(f"Connection {name!r}: {error}", permanent=True) from error
    except ConnectionFailure as error:
        raise TemplateError(f"Connection {name!r} does not answer: {str(error)[:300]}") from error


def _probe(settings: Mapping[str, Any]) -> str:
    with open_settings(settings) as database:
        version = database.client.server_info()["version"]
        return f"MongoDB {version} answers; database {database.name!r} has {len(database.list_collection_names())} collections"


def _explore(settings: Mapping[str, Any], what: str, inside: str) -> list[str]:
    """Names of collections, or of the fields (dotted for nested ones) of the first documents of one."""
    with open_settings(settings, timeout_ms=EXPLORE_TIMEOUT_MS) as database:
        if what == "collections":
            return sorted(name for name in database.list_collection_names() if not name.startswith("system."))[:MOST_SUGGESTED]
        found: dict[str, None] = {}
        for document in database[inside].find(limit=SAMPLED).max_time_ms(EXPLORE_TIMEOUT_MS) if inside else ():
            found |= dict.fromkeys(_paths(document))
        return list(found)[:MOST_SUGGESTED]


def _paths(document: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, value in document.items():
        yield before + key
        if isinstance(value, Mapping) and before.count(".") < 4:
            yield from _paths(value, f"{before}{key}.")


KIND = ConnectionKind(
    type="mongodb",
    name="MongoDB",
    icon="database",
    description="A database that jobs clean up, export or report on",
    settings_schema=SCHEMA,
    probe=_probe,
    explore=_explore,
)
