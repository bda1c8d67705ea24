"""A relational database, through SQLAlchemy. The connection is read-only unless its settings say otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from templates_lib import statements
from templates_lib.base import Problem, RunContext, TemplateError
from templates_lib.connections import failures, sqlite
from templates_lib.connections.kind import PROBE_SECONDS, TEMPLATES, ConnectionKind
from templates_lib.messages import say, say_many
from templates_lib.own import Own

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

# The ports of servers whose address names none.
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
# The description names the databases that are tested. Others with a dialect of SQLAlchemy work if their driver is installed.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "url": {
            "type": "string",
            "title": "Address",
            "maxLength": 2000,
            "writeOnly": True,
            "pattern": r"^[a-z][a-z0-9_+]*://.*",
            "x-placeholder": "postgresql+psycopg://user:password@db.example.com/shop",
            "x-pattern-words": "an address such as postgresql+psycopg://user:password@host/database",
            "description": "An address of SQLAlchemy: `postgresql+psycopg://…`, `mysql+pymysql://…`, `sqlite:////data/shop.db`. Stored encrypted and never shown again.",
        },
        "read_only": {
            "x-destination": False,
            "type": "boolean",
            "title": "Read only",
            "default": True,
            "description": "Statements that change data are refused.",
        },
        "templates": TEMPLATES,
    },
    "required": ["url"],
    "additionalProperties": False,
}


@contextmanager
def open_settings(settings: Mapping[str, Any], own: Own) -> Iterator[Connection]:
    """Yields a connection in a transaction, which is committed at the end unless the connection is read-only.

    The README of the template sql_query describes how each engine enforces a read-only connection. Raises TemplateError (permanent) for a
    SQLite file that belongs to Jobwright itself, and for a statement that the connection refuses.
    """
    from sqlalchemy import create_engine, event  # noqa: PLC0415 - the service lists this kind of connection without SQLAlchemy
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - the same
    from sqlalchemy.pool import NullPool  # noqa: PLC0415 - the same

    url, read_only = make_url(settings["url"]), settings.get("read_only", True)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool, creator=sqlite.creator(url, own, read_only=read_only))
    else:
        engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        _guard(connection, read_only=read_only)
        if read_only:
            event.listen(connection, "before_cursor_execute", _refuse_writes)
        yield connection
        if read_only:
            connection.rollback()
        else:
            connection.commit()


def _guard(connection: Connection, *, read_only: bool) -> None:
    """Makes the database itself enforce the rights of the connection, for as long as it is open."""
    from sqlalchemy import text  # noqa: PLC0415 - as above

    engine = connection.dialect.name
    if engine == "sqlite":
        sqlite.guard(connection.connection.dbapi_connection, read_only=read_only)
    elif read_only:
        if engine == "postgresql":  # this also applies to later transactions
            connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
            connection.commit()
        connection.execute(text("SET TRANSACTION READ ONLY"))
        if engine == "postgresql":
            connection.execute(text("SELECT 1"))  # after its first query, a transaction cannot become read-write again


def _refuse_writes(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    reason = statements.writes(statement, connection.dialect.name)
    if reason is not None:
        raise TemplateError(reason, permanent=True)


@contextmanager
def open_sql(ctx: RunContext, name: str) -> Iterator[Connection]:
    """Yields the database of the connection `name` of this run. Raises TemplateError; it is permanent if the database refuses the
    statement."""
    from sqlalchemy import exc  # noqa: PLC0415 - as above

    settings = ctx.connection(name, "sql").settings
    try:
        with open_settings(settings, ctx.own) as connection:
            yield connection
    except (exc.ArgumentError, exc.NoSuchModuleError, ModuleNotFoundError) as error:
        words = failures.sentence(error, _place(settings))
        raise TemplateError(say("Connection {name!r}: {words}", name=name, words=words), permanent=True) from error
    except exc.OperationalError as error:
        words = str(error.orig or error)[:300]
        # Other databases raise this for a broken connection. SQLite raises it for many errors; only those with these words may pass.
        is_sqlite = type(error.orig).__module__.startswith("sqlite3")
        passes = not is_sqlite or any(word in words for word in ("locked", "busy", "unable to open", "disk"))
        raise TemplateError(say("Connection {name!r}: {words}", name=name, words=words), permanent=not passes) from error
    except exc.DBAPIError as error:
        raise TemplateError(
            say("The database refused it: {reason}", reason=str(error.orig or error)[:300]), permanent=not error.connection_invalidated
        ) from error
    except exc.SQLAlchemyError as error:  # the statement and its values do not fit together
        raise TemplateError(str(error).partition(" (Background")[0][:300], permanent=True) from error


def _folders(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the folder of a SQLite file, because the journal is in the same folder."""
    path = str(settings["url"]).partition(":///")[2].partition("?")[0] if str(settings["url"]).startswith("sqlite") else ""
    return (path.rpartition("/")[0],) if path.startswith("/") and path.count("/") > 1 else ()


def _problems(settings: Mapping[str, Any], own: Own) -> Iterable[Problem]:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - as above
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - the same

    try:
        url = make_url(settings["url"])
        if url.get_backend_name() == "sqlite":
            sqlite.file_of(url, own)
    except (ArgumentError, ValueError) as error:
        yield Problem("/url", say("is not the address of a database: {error}", error=str(error)[:200]))
    except TemplateError as error:
        yield Problem("/url", str(error))


def _place(settings: Mapping[str, Any]) -> str:
    """Returns the host and port of the address, else the file. The user and the password are left out."""
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - as above

    url = make_url(settings["url"])
    port = url.port or _PORTS.get(url.get_backend_name())
    return url.database or "" if not url.host else f"{url.host}:{port}" if port else url.host


def _probe(settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str:
    from sqlalchemy import inspect, text  # noqa: PLC0415 - as above
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - the same

    url = make_url(settings["url"])
    port = url.port or _PORTS.get(url.get_backend_name())
    if url.host and port:
        failures.check_listening([(url.host, port)], seconds)
    with open_settings(settings, own) as connection:
        connection.execute(text("SELECT 1"))
        count = len(inspect(connection).get_table_names())
        return say_many(
            "{engine} answers. It has {count} table.", "{engine} answers. It has {count} tables.", count, engine=connection.engine.name
        )


KIND = ConnectionKind(
    type="sql",
    name="SQL database",
    icon="table-2",
    description="A relational database that jobs query, through SQLAlchemy",
    settings_schema=SCHEMA,
    place=_place,
    probe=_probe,
    problems=_problems,
    folders=_folders,
)
