"""A MongoDB database that jobs work on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidURI

from templates_lib.base import RunContext, TemplateError
from templates_lib.connections.kind import TEMPLATES, ConnectionKind

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
        "collections": {
            "type": "array",
            "title": "Only these collections",
            "description": "Names, or beginnings such as `sessions_*`. None: every collection of the database.",
            "uniqueItems": True,
            "maxItems": 200,
            "items": {"type": "string", "title": "Collection", "minLength": 1, "maxLength": 200, "pattern": r"^[^$*\x00]*\*?$"},
        },
        "templates": TEMPLATES,
    },
    "required": ["uri", "database"],
    "additionalProperties": False,
}


def may_use(settings: Mapping[str, Any], collection: str) -> bool:
    """Whether jobs with this connection reach the collection."""
    allowed = settings.get("collections") or ["*"]
    return any(collection.startswith(one[:-1]) if one.endswith("*") else collection == one for one in allowed)


class _Narrow(Database[dict[str, Any]]):
    """A database of which some collections are to be reached."""

    def __init__(self, client: MongoClient[dict[str, Any]], settings: Mapping[str, Any]) -> None:
        super().__init__(client, settings["database"])
        self._settings = settings

    def __getitem__(self, name: str) -> Collection[dict[str, Any]]:
        self._check(name)
        return super().__getitem__(name)

    def get_collection(self, name: str, *args: Any, **options: Any) -> Collection[dict[str, Any]]:
        self._check(name)
        return super().get_collection(name, *args, **options)

    def _check(self, name: str) -> None:
        if name != "$cmd" and not may_use(self._settings, name):  # the driver's own way to send a command
            raise TemplateError(f"This connection does not reach the collection {name!r}", permanent=True)


@contextmanager
def open_settings(settings: Mapping[str, Any], *, timeout_ms: int = TIMEOUT_MS) -> Iterator[Database[dict[str, Any]]]:
    """The database that `settings` name, closed at the end; datetimes are aware UTC."""
    with MongoClient[dict[str, Any]](
        settings["uri"], tz_aware=True, tzinfo=UTC,
        serverSelectionTimeoutMS=timeout_ms, connectTimeoutMS=timeout_ms, appname="jobwright-job",
    ) as client:  # fmt: skip
        yield _Narrow(client, settings) if settings.get("collections") else client[settings["database"]]


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
            names = database.list_collection_names()
            return sorted(name for name in names if not name.startswith("system.") and may_use(settings, name))[:MOST_SUGGESTED]
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
    reaches=may_use,
)
