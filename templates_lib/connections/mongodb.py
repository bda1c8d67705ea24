"""A MongoDB database that jobs work on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from typing import Any, NoReturn

from pymongo import MongoClient, ReadPreference
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidURI, OperationFailure, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri

from templates_lib.base import Problem, RunContext, TemplateError
from templates_lib.connections import failures
from templates_lib.connections.kind import PROBE_SECONDS, TEMPLATES, ConnectionKind
from templates_lib.messages import say, say_many
from templates_lib.own import Own

TIMEOUT_MS = 10_000
EXPLORE_TIMEOUT_MS = 1500  # a form waits for the answer
SAMPLED = 50  # documents whose fields are suggested
MOST_SUGGESTED = 500
# MongoDB's own databases: users and roles, the log of all writes (which includes the registry's), the settings of a cluster.
RESERVED = frozenset({"admin", "local", "config"})
# The registry writes this document into its own database (app/migrations.py). It identifies that database for any connection string.
OWN_MARKER = {"_id": "jobwright"}
UNAUTHORIZED = 13

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "uri": {
            "type": "string",
            "title": "Connection string",
            "description": "Starts with `mongodb://` or `mongodb+srv://`. Stored encrypted and never shown again.",
            "pattern": r"^mongodb(\+srv)?://.+",
            "x-pattern-words": "a connection string that starts with mongodb:// or mongodb+srv://",
            "maxLength": 2000,
            "writeOnly": True,
        },
        "database": {
            "type": "string",
            "title": "Database",
            "x-destination": False,
            "description": "Jobs with this connection can use this database and no other.",
            "pattern": r"^[^/\\. \"$*<>:|?\x00]{1,63}$",
            "x-pattern-words": "the name of a database: at most 63 characters, without spaces, dots, slashes or $",
        },
        "collections": {
            "type": "array",
            "title": "Allowed collections",
            "x-destination": False,
            "description": "Names, or prefixes such as `sessions_*`. Leave empty to allow every collection of the database.",
            "uniqueItems": True,
            "maxItems": 200,
            "items": {"type": "string", "title": "Collection", "minLength": 1, "maxLength": 200, "pattern": r"^[^$*\x00]*\*?$"},
        },
        "templates": TEMPLATES,
    },
    "required": ["uri", "database"],
    "additionalProperties": False,
}


class OwnDatabase(TemplateError):
    """The connection leads to Jobwright's own database, or to one of MongoDB's own."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


def may_use(settings: Mapping[str, Any], collection: str) -> bool:
    """Returns whether jobs with this connection may use the collection. No job may use MongoDB's own (`system.*`)."""
    if is_system(collection):
        return False
    allowed = settings.get("collections") or ["*"]
    return any(collection.startswith(name[:-1]) if name.endswith("*") else collection == name for name in allowed)


def is_system(collection: str) -> bool:
    """Returns whether a collection is one of MongoDB's own: views, profiles, buckets of time series, users."""
    return collection.startswith("system.")


def is_reserved(database: str) -> bool:
    """Returns whether a database is one of MongoDB's own. MongoDB ignores the case of letters in names of databases."""
    return database.lower() in RESERVED


class _Narrow(Database[dict[str, Any]]):
    """A database in which only the collections that the settings allow can be used."""

    def __init__(self, client: MongoClient[dict[str, Any]], settings: Mapping[str, Any]) -> None:
        super().__init__(client, settings["database"])
        self._settings = settings

    def __getitem__(self, name: str) -> Collection[dict[str, Any]]:
        self._check(name)
        return super().__getitem__(name)

    def get_collection(self, name: str, *args: Any, **options: Any) -> Collection[dict[str, Any]]:
        self._check(name)
        return super().get_collection(name, *args, **options)

    def aggregate(self, *args: Any, **options: Any) -> NoReturn:  # noqa: ARG002 - the driver's signature
        """Refuses a pipeline without a collection, because it would show data about the server: its operations, sessions and changes."""
        raise TemplateError("A pipeline needs a collection of this connection", permanent=True)

    watch = aggregate

    def _check(self, name: str) -> None:
        if name != "$cmd" and not may_use(self._settings, name):  # the driver itself uses $cmd to send a command
            raise TemplateError(say("This connection does not reach the collection {name!r}", name=name), permanent=True)


@contextmanager
def open_settings(settings: Mapping[str, Any], own: Own, *, timeout_ms: int = TIMEOUT_MS) -> Iterator[Database[dict[str, Any]]]:
    """Yields the database that `settings` name, and closes the client at the end. Datetimes are aware UTC.

    Raises OwnDatabase if it is the registry's own database, or one of MongoDB's.
    """
    if is_reserved(settings["database"]):
        raise OwnDatabase(say("{name!r} is one of MongoDB's own databases. Jobs cannot use it", name=settings["database"]))
    with MongoClient[dict[str, Any]](
        settings["uri"],
        tz_aware=True,
        tzinfo=UTC,
        serverSelectionTimeoutMS=timeout_ms,
        connectTimeoutMS=timeout_ms,
        appname="jobwright-job",
    ) as client:
        try:
            refuse_own(client[settings["database"]], own)
            yield _Narrow(client, settings)
        except ServerSelectionTimeoutError as error:
            raise error from _reason(client)  # the driver only says this within a description of all servers


def _reason(client: MongoClient[dict[str, Any]]) -> Exception | None:
    """Returns why a server of the connection could not be reached; None if that is unknown."""
    servers = client.topology_description.server_descriptions().values()
    return next((server.error for server in servers if server.error is not None), None)


def refuse_own(database: Database[dict[str, Any]], own: Own) -> None:
    """Raises OwnDatabase for the database of a registry.

    The marker in the database itself is read. So another host name, port, socket, option or user of the same server makes no difference.
    If the user of the connection may not read it, the name of the database decides.
    """
    migrations = database.get_collection("migrations", read_preference=ReadPreference.PRIMARY_PREFERRED, read_concern=ReadConcern("local"))
    try:
        is_own = migrations.find_one(OWN_MARKER) is not None
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise
        is_own = database.name.lower() == own.database.lower()
    if is_own:
        raise OwnDatabase(say("{name!r} is Jobwright's own database. Jobs cannot use it", name=database.name))


@contextmanager
def open_mongodb(ctx: RunContext, name: str) -> Iterator[Database[dict[str, Any]]]:
    """Yields the database of the connection `name` of this run.

    Raises TemplateError. It is permanent for settings that cannot work, and not permanent if the server does not answer or refuses an
    operation in the body.
    """
    try:
        with open_settings(ctx.connection(name, "mongodb").settings, ctx.own) as database:
            yield database
    except (InvalidURI, ConfigurationError) as error:
        raise TemplateError(say("Connection {name!r}: {words}", name=name, words=error), permanent=True) from error
    except ConnectionFailure as error:
        place = _place(ctx.connection(name, "mongodb").settings)
        words = failures.sentence(error, place, TIMEOUT_MS / 1000)
        raise TemplateError(say("Connection {name!r}: {words}", name=name, words=words)) from error
    except OperationFailure as error:
        raise TemplateError(say("The database refused the operation: {reason}", reason=failures.server_words(error))) from error


def _problems(settings: Mapping[str, Any], own: Own) -> Iterable[Problem]:
    """Yields a problem for MongoDB's own databases, and for the registry's database if it answers soon. If it does not answer now, each run
    refuses it."""
    name = settings["database"]
    if is_reserved(name):
        yield Problem("/database", say("{name!r} is one of MongoDB's own databases. Jobs cannot use it", name=name))
    elif name.lower() == own.database.lower():
        try:
            with open_settings(settings, own, timeout_ms=EXPLORE_TIMEOUT_MS):
                pass
        except OwnDatabase as error:
            yield Problem("/database", str(error))
        except Exception:
            return  # the health of the connection reports that it does not answer


def _place(settings: Mapping[str, Any]) -> str:
    """Returns the hosts of the connection string, without the user. What comes before the last `@` may be a part of the password, also in
    a connection string that is not valid."""
    return str(settings["uri"]).partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]


def _probe(settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str:
    try:
        nodes = parse_uri(settings["uri"], connect_timeout=seconds)["nodelist"]
    except (InvalidURI, ValueError):  # their words may quote a part of the password
        words = say(
            "The connection string is not valid. Percent-encode the characters / ? # [ ] @ : and % in the user name and the password."
        )
        raise TemplateError(words, permanent=True) from None
    failures.check_listening([(host, port) for host, port in nodes if port], seconds)  # a local socket has no port
    with open_settings(settings, own, timeout_ms=round(seconds * 1000)) as database:
        version, count = database.client.server_info()["version"], len(database.list_collection_names())
        return say_many(
            "MongoDB {version} answers. The database {name!r} has {count} collection.",
            "MongoDB {version} answers. The database {name!r} has {count} collections.",
            count,
            version=version,
            name=database.name,
        )


def _explore(settings: Mapping[str, Any], what: str, inside: str, own: Own) -> list[str]:
    """Returns the names of the collections, or of the fields in the first documents of a collection. Nested fields have dots."""
    with open_settings(settings, own, timeout_ms=EXPLORE_TIMEOUT_MS) as database:
        if what == "collections":
            names = database.list_collection_names()
            return sorted(name for name in names if may_use(settings, name))[:MOST_SUGGESTED]
        paths: dict[str, None] = {}
        for document in database[inside].find(limit=SAMPLED).max_time_ms(EXPLORE_TIMEOUT_MS) if inside else ():
            paths |= dict.fromkeys(_paths(document))
        return list(paths)[:MOST_SUGGESTED]


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
    place=_place,
    probe=_probe,
    explore=_explore,
    problems=_problems,
    reaches=may_use,
)
