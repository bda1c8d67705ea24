"""Reads tables of other schedulers over SQLAlchemy. The connection is read-only wherever the database can promise that."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.imports.sources.addresses import full_address, host_of, without_credentials
from app.imports.sources.base import SourceError, SourceOptions

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

SCHEMES = ("postgresql", "mysql", "mariadb", "sqlite", "oracle", "mssql")
MOST_ROWS = 100_000
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)?")


def sql_address(place: str, options: SourceOptions) -> str:
    """Returns the address of a database; a path is that of an SQLite file. Raises SourceError."""
    path = Path(place)
    if place and "://" not in place:
        if not path.is_file():
            raise SourceError(f"{place} does not exist. Give the path of an SQLite file, or an address such as postgresql://HOST/DATABASE.")
        return f"sqlite:///{path.absolute()}"
    return full_address(place, options, SCHEMES)


def sql_name(address: str, options: SourceOptions) -> str:
    """Returns what identifies a database: its host and its name, or for a file the machine and its path."""
    path = sqlite_path(address)
    if path is not None:
        return f"{options.machine}:{path}"
    return f"{host_of(address)}:{without_credentials(address).partition('://')[2].partition('/')[2].partition('?')[0]}"


def sqlite_path(address: str) -> Path | None:
    """Returns the file of an SQLite address; None for other addresses."""
    scheme, _, rest = address.partition("://")
    if not scheme.startswith("sqlite"):
        return None
    return Path(rest.removeprefix("/").partition("?")[0]).absolute()


@contextmanager
def open_sql(address: str) -> Iterator[Connection]:
    """Yields a connection that cannot write. Raises SourceError."""
    from sqlalchemy import create_engine, event, text  # noqa: PLC0415 - other sources do without SQLAlchemy
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError  # noqa: PLC0415 - the same
    from sqlalchemy.pool import NullPool  # noqa: PLC0415 - the same

    path = sqlite_path(address)
    if path is not None and not path.is_file():
        raise SourceError(f"{path} does not exist.")
    shown = without_credentials(address)
    try:
        engine = create_engine(address, poolclass=NullPool, **({"creator": lambda: _read_only(path)} if path else {}))
        event.listen(engine, "before_cursor_execute", _refuse_writes)
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET TRANSACTION READ ONLY"))
            elif connection.dialect.name in {"mysql", "mariadb"}:
                connection.execute(text("SET SESSION TRANSACTION READ ONLY"))
            yield connection
    except (ImportError, NoSuchModuleError) as error:
        raise SourceError(f"The driver for {shown} is not installed: {error}. Install it beside Jobwright.") from error
    except ArgumentError as error:
        raise SourceError(f"{shown} is not an address that SQLAlchemy understands.") from error
    except ValueError as error:
        raise SourceError(f"{shown} cannot be read: it contains a value that is not of the kind of its column. {error}.") from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise SourceError(f"{shown} cannot be read: {without_credentials(reason)}.") from error


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def _refuse_writes(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    words = statement.split(None, 1)
    if not words or words[0].upper() not in {"SELECT", "SET", "PRAGMA", "SHOW", "DESCRIBE", "WITH"}:
        raise SourceError("A statement that may write was refused. This is a fault of Jobwright.")


def rows_of(connection: Connection, table: str, *, option: str = "") -> Sequence[Mapping[str, Any]]:
    """Returns all rows of a table, with its columns as they are in this database. `option` names the option that gives the table. Raises
    SourceError."""
    from sqlalchemy import MetaData, Table, select  # noqa: PLC0415 - as above
    from sqlalchemy.exc import NoSuchTableError  # noqa: PLC0415 - the same

    if not _TABLE.fullmatch(table):
        raise SourceError(f"{table!r} is not the name of a table.")
    schema, _, name = table.rpartition(".")
    try:
        known = Table(name, MetaData(), autoload_with=connection, schema=schema or None)
    except NoSuchTableError as error:
        hint = f" If the table has another name, give it with --option {option}=NAME." if option else ""
        raise SourceError(f"The database has no table {table}.{hint}") from error
    rows = connection.execute(select(known).limit(MOST_ROWS + 1)).mappings().all()
    if len(rows) > MOST_ROWS:
        raise SourceError(f"The table {table} has more than {MOST_ROWS:,} rows.")
    return [dict(row) for row in rows]


def has_table(connection: Connection, table: str) -> bool:
    """Returns whether the database has a table."""
    from sqlalchemy import inspect  # noqa: PLC0415 - as above

    return bool(inspect(connection).has_table(table))
