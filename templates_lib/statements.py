"""SQL statements of jobs: one at a time, and under a read-only connection none that is seen to do more than read.

The database itself holds a read-only connection (templates_lib.connections.sql). What is looked for here are the few statements and
functions that no read-only transaction refuses: they write files of the server, read them, or reach other servers.
"""

from __future__ import annotations

import re

from templates_lib.messages import say

# How a statement that only reads begins. EXPLAIN ANALYZE runs the statement, which the read-only transaction holds.
READS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "PRAGMA"})
_SKIPPED = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|/\*(?!!).*?\*/)*", re.S)
_FIRST = re.compile(r"[A-Za-z]+")
# Anywhere in the text, also in what may be a literal: where one begins differs between databases and their settings.
_REACHES_OUT = {
    # https://www.postgresql.org/docs/current/functions-admin.html and lo-funcs.html; U& would spell a name without its letters.
    "postgresql": re.compile(
        r"lo_export|lo_import|lo_from_bytea|lo_put|lo_creat|lo_unlink|pg_read_|pg_ls_|pg_stat_file|pg_file_|pg_logdir_ls|dblink|set_config"
        r"|pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile|pg_switch_wal|pg_promote|pg_create_|pg_drop_"
        r"|pg_replication_|pg_logical_|pg_notify|pg_(?:try_)?advisory|pg_backup_|pg_start_backup|pg_stop_backup|pg_import_|pg_log_|pg_wal_replay|pg_stat_reset"
        r"|pg_copy_|pg_export_snapshot|\blowrite\b|lo_truncate"
        # They run a text as a statement, which may be put together so that no name can be found in it.
        r"|query_to_xml|cursor_to_xml|\bts_stat\b|\bts_rewrite\b|\bcrosstab|\bconnectby\b|\bxpath_table\b|u&[\"']",
        re.I,
    ),
    # https://dev.mysql.com/doc/refman/8.4/en/select-into.html and string-functions.html; text in /*! */ is run.
    "mysql": re.compile(r"outfile|dumpfile|load_file|get_lock|/\*!|/\*m!", re.I),
}
_REACHES_OUT["mariadb"] = _REACHES_OUT["mysql"]


def problem(statement: str) -> str | None:
    """What is wrong with a statement whatever runs it: a sentence, None where it is one statement."""
    if ";" in statement.rstrip().rstrip(";"):
        return say("must be one statement; it holds a semicolon before its end")
    return None


def writes(statement: str, engine: str) -> str | None:
    """Why a read-only connection to a database of this `engine` (SQLAlchemy's name) refuses a statement; None where it does not."""
    skipped = _SKIPPED.match(statement)
    first = _FIRST.match(statement, skipped.end() if skipped else 0)
    if first is None or first[0].upper() not in READS:
        return say("The connection is read only; a statement begins with {words}", words=", ".join(sorted(READS)))
    found = _REACHES_OUT[engine].search(statement) if engine in _REACHES_OUT else None
    if found is not None:
        return say("The connection is read only; {word} is refused: it reaches beyond the tables", word=found[0])
    return None
