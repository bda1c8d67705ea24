"""SQLite files of SQL connections: opened so that a statement reaches the file of the connection and no other."""

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
# Pragmas that tell something (https://www.sqlite.org/pragma.html); those of the second set take the name of what they tell about.
_TELLING = frozenset(
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
_TELLING_OF = frozenset(
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
# Pragmas that a connection which may write can set. None names a file or changes what a file is trusted with.
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
    """The file that an address names, links followed; None for a database in memory.

    Raises TemplateError (permanent) for an address that is no plain path, and for a file that belongs to Jobwright itself.
    """
    name = url.database or ""
    if url.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise TemplateError(say("{driver} cannot be restricted by Jobwright; write sqlite:///…", driver=url.drivername), permanent=True)
    if url.query or name.startswith("file:") or "\0" in name:
        raise TemplateError(say("A SQLite database is named by its path alone, such as sqlite:////data/shop.db"), permanent=True)
    if name in _IN_MEMORY:
        return None
    path = Path(name).resolve()
    reason = own.keeps(path)
    if reason is not None:
        raise TemplateError(reason, permanent=True)
    return path


def creator(url: URL, own: Own, *, read_only: bool) -> Callable[[], sqlite3.Connection]:
    """What opens the file: `mode=ro` never writes to it and never makes it (https://www.sqlite.org/uri.html).

    Raises TemplateError (permanent) as `file_of` and, when it is called, where a read-only connection has no file.
    """
    path = file_of(url, own)
    if path is None:
        return lambda: sqlite3.connect(":memory:", check_same_thread=False)
    address = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rwc'}"

    def connect() -> sqlite3.Connection:
        if read_only and not path.exists():
            raise TemplateError(
                say("There is no SQLite file {path}; a read-only connection does not create one", path=str(path)), permanent=True
            )
        return sqlite3.connect(address, uri=True, check_same_thread=False)

    return connect


def guard(connection: Any, *, read_only: bool) -> None:
    """Let SQLite refuse what a statement may not do, when it is prepared (https://www.sqlite.org/c3ref/set_authorizer.html)."""
    connection.execute("PRAGMA trusted_schema = OFF")
    if read_only:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # so that VACUUM INTO has nothing to write to

    def authorize(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
        return sqlite3.SQLITE_OK if _may(action, first, second, read_only=read_only) else sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)


def _may(action: int, first: str | None, second: str | None, *, read_only: bool) -> bool:
    """Whether a statement may do one of its actions (https://www.sqlite.org/c3ref/c_alter_table.html): everything within the file, which
    itself is opened so that it cannot be changed where that is `read_only`; no other file, no code, no setting that lifts this."""
    if action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        return name in (_TELLING if second is None else _TELLING_OF) or (not read_only and name in _SETTING)
    if action == sqlite3.SQLITE_FUNCTION:
        return (second or "").lower() not in _FUNCTIONS_REFUSED
    if action == sqlite3.SQLITE_ATTACH:
        return first in _IN_MEMORY  # None where the name is computed
    return True
