"""Checks the SQL statements of jobs: one statement at a time, and with a read-only connection no statement that visibly does more than
read.

The database itself enforces a read-only connection (templates_lib.connections.sql). This module looks for the few statements and functions
that a read-only transaction does not refuse: they write or read files of the server, or reach other servers.
"""

from __future__ import annotations

import re

from templates_lib.messages import say

# The first words of statements that only read. EXPLAIN ANALYZE runs its statement, but the read-only transaction still applies to it.
READS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "PRAGMA"})
_SKIPPED = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|/\*(?!!).*?\*/)*", re.S)
_FIRST = re.compile(r"[A-Za-z]+")
# These are refused anywhere in the text, even inside what may be a literal, because databases differ in where a literal begins.
_REACHES_OUT = {
    # https://www.postgresql.org/docs/current/functions-admin.html and lo-funcs.html; with U&, a name can be written without its letters.
    "postgresql": re.compile(
        r"lo_export|lo_import|lo_from_bytea|lo_put|lo_creat|lo_unlink|pg_read_|pg_ls_|pg_stat_file|pg_file_|pg_logdir_ls|dblink|set_config"
        r"|pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile|pg_switch_wal|pg_promote|pg_create_|pg_drop_"
        r"|pg_replication_|pg_logical_|pg_notify|pg_(?:try_)?advisory|pg_backup_|pg_start_backup|pg_stop_backup|pg_import_|pg_log_|pg_wal_replay|pg_stat_reset"
        r"|pg_copy_|pg_export_snapshot|\blowrite\b|lo_truncate"
        # These run a text as a statement, and the text may be assembled so that no name can be found in it.
        r"|query_to_xml|cursor_to_xml|\bts_stat\b|\bts_rewrite\b|\bcrosstab|\bconnectby\b|\bxpath_table\b|u&[\"']",
        re.I,
    ),
    # https://dev.mysql.com/doc/refman/8.4/en/select-into.html and string-functions.html; MySQL runs the text in /*! */.
    "mysql": re.compile(r"outfile|dumpfile|load_file|get_lock|/\*!|/\*m!", re.I),
}
_REACHES_OUT["mariadb"] = _REACHES_OUT["mysql"]


def problem(statement: str) -> str | None:
    """Returns a sentence if the text is not a single statement; else None."""
    if ";" in statement.rstrip().rstrip(";"):
        return say("must be one statement, but contains a semicolon before its end")
    return None


def writes(statement: str, engine: str) -> str | None:
    """Returns why a read-only connection refuses a statement; None if it does not. `engine` is SQLAlchemy's name of the database."""
    skipped = _SKIPPED.match(statement)
    first = _FIRST.match(statement, skipped.end() if skipped else 0)
    if first is None or first[0].upper() not in READS:
        return say("The connection is read only. The statement must begin with {words}", words=", ".join(sorted(READS)))
    match = _REACHES_OUT[engine].search(statement) if engine in _REACHES_OUT else None
    if match is not None:
        return say("The connection is read only. {word} is refused, because it reaches beyond the tables", word=match[0])
    return None
