"""Opens the SQLite files of SQL connections so that a statement can reach only the file of its connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from templates_lib.base import TemplateError
from templates_lib.messages import say
from templates_lib.own import Own

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_IN_MEMORY = ("", ":memory:")
# Pragmas that only return information (https://www.sqlite.org/pragma.html). Those of the second set take an argument: the name of a table
# or an index.
_INFORMATION = frozenset(
    {
        "application_id",
        "collation_list",
        "compile_options",
        "data_version",
        "encoding",
        "foreign_keys",
        "freelist_count",
        "function_list",
        "integrity_check",
        "journal_mode",
        "page_count",
        "page_size",
        "quick_check",
        "read_uncommitted",
        "schema_version",
        "table_list",
        "user_version",
    }
)
_INFORMATION_ABOUT = frozenset(
    {
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
# Pragmas that a connection with the right to write may set. None of them names a file or changes what a file may do.
_SETTING = frozenset(
    {
        "analysis_limit",
        "application_id",
        "auto_vacuum",
        "busy_timeout",
        "cache_size",
        "case_sensitive_like",
        "defer_foreign_keys",
        "foreign_keys",
        "incremental_vacuum",
        "journal_mode",
        "optimize",
        "recursive_triggers",
        "synchronous",
        "user_version",
        "wal_checkpoint",
    }
)
_FUNCTIONS_REFUSED = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})


def file_of(url: URL, own: Own) -> Path | None:
    """Returns the file that an address names, with links followed; None for a database in memory.

    Raises TemplateError (permanent) if the address is not a plain path, or if the file belongs to Jobwright itself.
    """
    name = url.database or ""
    if url.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise TemplateError(say("Jobwright cannot restrict {driver}. Write sqlite:///…", driver=url.drivername), permanent=True)
    if url.query or name.startswith("file:") or "\0" in name:
        raise TemplateError(say("A SQLite address contains only the path, such as sqlite:////data/shop.db"), permanent=True)
    if name in _IN_MEMORY:
        return None
    path = Path(name).resolve()
    reason = own.keeps(path)
    if reason is not None:
        raise TemplateError(reason, permanent=True)
    return path


def creator(url: URL, own: Own, *, read_only: bool) -> Callable[[], sqlite3.Connection]:
    """Returns a function that opens the file. With `mode=ro`, SQLite never writes to it and never creates it
    (https://www.sqlite.org/uri.html).

    Raises TemplateError (permanent) like `file_of`. The returned function raises it if a read-only connection has no file.
    """
    path = file_of(url, own)
    if path is None:
        return lambda: sqlite3.connect(":memory:", check_same_thread=False)
    address = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rwc'}"

    def connect() -> sqlite3.Connection:
        if read_only and not path.exists():
            raise TemplateError(
                say("There is no SQLite file {path}, and a read-only connection cannot create one", path=str(path)), permanent=True
            )
        return sqlite3.connect(address, uri=True, check_same_thread=False)

    return connect


def guard(connection: Any, *, read_only: bool) -> None:
    """Makes SQLite refuse forbidden actions when it prepares a statement (https://www.sqlite.org/c3ref/set_authorizer.html)."""
    connection.execute("PRAGMA trusted_schema = OFF")
    if read_only:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # this also prevents VACUUM INTO, which attaches its target

    def authorize(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
        return sqlite3.SQLITE_OK if _may(action, first, second, read_only=read_only) else sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)


def _may(action: int, first: str | None, second: str | None, *, read_only: bool) -> bool:
    """Returns whether a statement may do one of its actions (https://www.sqlite.org/c3ref/c_alter_table.html).

    Everything inside the file is allowed; a `read_only` file is opened so that it cannot change. Other files, code, and settings that would
    lift these limits are refused.
    """
    if action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        return name in (_INFORMATION if second is None else _INFORMATION_ABOUT) or (not read_only and name in _SETTING)
    if action == sqlite3.SQLITE_FUNCTION:
        return (second or "").lower() not in _FUNCTIONS_REFUSED
    if action == sqlite3.SQLITE_ATTACH:
        return first in _IN_MEMORY  # `first` is None if the name is computed
    return True
