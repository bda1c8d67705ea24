"""What a service remembers: the runs it has seen, the reports it still owes, and its signing key.

`MemoryState` forgets everything with its process. `FileState` keeps it in an SQLite file, which several processes of one machine may share.
"""

from __future__ import annotations

import enum
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from jobwright_client.errors import DeclarationError
from jobwright_client.results import Outcome

KEEP_SECONDS = 86_400.0  # how long the result of a run is remembered
# After this time, a run of a process that died may be taken over. It is half of the time after which Jobwright notices that by default.
LEASE_SECONDS = 30.0
SENDING_SECONDS = 60.0  # after which a report that a process has begun to send may be sent by another
MOST_RUNS = 10_000  # remembered in memory


class Seen(enum.Enum):
    """What a call is, compared with the calls that came before."""

    NEW = "new"  # its work is to be done
    RUNNING = "running"  # this attempt's work is being done
    SUPERSEDES = "supersedes"  # an older attempt of the same execution is still being worked on
    DONE = "done"  # the work is done; here is its outcome
    STALE = "stale"  # a newer attempt has been seen


@dataclass(frozen=True)
class Verdict:
    """What a call is, the outcome if it is done, and for how long other processes leave the work to the one that does it."""

    seen: Seen
    outcome: Outcome | None = None
    lease_seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Owed:
    """A report that is still to be sent. Reports of one token go out in the order of their numbers."""

    number: int
    url: str
    token: str
    message_id: str
    body: bytes
    tries: int = 0


@dataclass
class _Run:
    attempt: int
    lease_until: float
    outcome: Outcome | None = None
    kept_until: float = 0.0

    def verdict(self, attempt: int, now: float) -> Verdict:
        """Judges a call of `attempt`."""
        if attempt < self.attempt:
            return Verdict(Seen.STALE)
        if self.outcome is not None:
            again = attempt > self.attempt and not self.outcome.succeeded
            return Verdict(Seen.NEW) if again else Verdict(Seen.DONE, self.outcome)
        if self.lease_until < now:
            return Verdict(Seen.NEW)
        return Verdict(Seen.RUNNING if attempt == self.attempt else Seen.SUPERSEDES, lease_seconds=self.lease_until - now)


class State(Protocol):
    """Remembers runs, owed reports and the signing key. Each method is atomic among threads, and among processes that share the state."""

    def begin(self, execution_id: str, attempt: int) -> Verdict:
        """Judges a call, and takes its work if it is new."""

    def adopt(self, execution_id: str, attempt: int) -> None:
        """Makes the work in progress, or its outcome, that of a newer attempt."""

    def renew(self, execution_id: str) -> None:
        """Says that the work goes on."""

    def end(self, execution_id: str, outcome: Outcome | None) -> None:
        """Remembers the outcome; without one, forgets the run, so that a further call does the work anew."""

    def owe(self, url: str, token: str, message_id: str, body: bytes) -> None:
        """Keeps a report until it is delivered."""

    def due(self) -> Owed | None:
        """Returns the report to send next, and keeps other threads and processes from sending it for a minute."""

    def next_due_seconds(self) -> float | None:
        """Returns in how many seconds the next report is due; None if none is owed."""

    def delivered(self, number: int) -> None:
        """Forgets a report."""

    def later(self, number: int, seconds: float) -> None:
        """Puts a report off."""

    def owed(self) -> int:
        """Returns how many reports are owed."""

    def signing_key(self, key: str | None = None) -> str | None:
        """Keeps a signing key, or returns the one that is kept."""


class MemoryState:
    """State in memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._owed: OrderedDict[int, tuple[Owed, float]] = OrderedDict()
        self._numbers = 0
        self._key: str | None = None

    def begin(self, execution_id: str, attempt: int) -> Verdict:
        with self._lock:
            now = self._clock()
            self._forget(now)
            run = self._runs.get(execution_id)
            verdict = run.verdict(attempt, now) if run else Verdict(Seen.NEW)
            if verdict.seen is Seen.NEW:
                self._runs[execution_id] = _Run(attempt, now + LEASE_SECONDS)
                self._runs.move_to_end(execution_id)
            return verdict

    def adopt(self, execution_id: str, attempt: int) -> None:
        with self._lock:
            if execution_id in self._runs:
                self._runs[execution_id].attempt = max(attempt, self._runs[execution_id].attempt)

    def _forget(self, now: float) -> None:
        # The oldest come first; some of them may still run.
        for execution_id, run in list(islice(self._runs.items(), 50)):
            if run.outcome is not None and (run.kept_until < now or len(self._runs) > MOST_RUNS):
                del self._runs[execution_id]

    def renew(self, execution_id: str) -> None:
        with self._lock:
            if execution_id in self._runs:
                self._runs[execution_id].lease_until = self._clock() + LEASE_SECONDS

    def end(self, execution_id: str, outcome: Outcome | None) -> None:
        with self._lock:
            run = self._runs.get(execution_id)
            if run is None:
                return
            if outcome is None:
                del self._runs[execution_id]
            else:
                run.outcome, run.kept_until = outcome, self._clock() + KEEP_SECONDS

    def owe(self, url: str, token: str, message_id: str, body: bytes) -> None:
        with self._lock:
            self._numbers += 1
            self._owed[self._numbers] = (Owed(self._numbers, url, token, message_id, body), 0.0)

    def due(self) -> Owed | None:
        with self._lock:
            now, tokens = self._clock(), set()
            for number, (owed, not_before) in self._owed.items():
                if owed.token not in tokens and not_before <= now:
                    self._owed[number] = (owed, now + SENDING_SECONDS)
                    return owed
                tokens.add(owed.token)
            return None

    def next_due_seconds(self) -> float | None:
        with self._lock:
            first_of_token: dict[str, float] = {}
            for owed, not_before in self._owed.values():
                first_of_token.setdefault(owed.token, not_before)
            return max(0.0, min(first_of_token.values()) - self._clock()) if first_of_token else None

    def delivered(self, number: int) -> None:
        with self._lock:
            self._owed.pop(number, None)

    def later(self, number: int, seconds: float) -> None:
        with self._lock:
            if number in self._owed:
                owed, _ = self._owed[number]
                again = Owed(owed.number, owed.url, owed.token, owed.message_id, owed.body, owed.tries + 1)
                self._owed[number] = (again, self._clock() + seconds)

    def owed(self) -> int:
        with self._lock:
            return len(self._owed)

    def signing_key(self, key: str | None = None) -> str | None:
        self._key = key or self._key
        return self._key


_TABLES = """
CREATE TABLE IF NOT EXISTS runs (execution_id TEXT PRIMARY KEY, attempt INTEGER NOT NULL, lease_until REAL NOT NULL, outcome TEXT,
    kept_until REAL NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS owed (number INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, token TEXT NOT NULL, message_id TEXT NOT NULL,
    body BLOB NOT NULL, tries INTEGER NOT NULL DEFAULT 0, not_before REAL NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS owed_token ON owed (token, number);
CREATE INDEX IF NOT EXISTS owed_due ON owed (not_before);
CREATE INDEX IF NOT EXISTS runs_kept ON runs (kept_until);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class FileState:
    """State in an SQLite file. Each call opens the file anew, so that it works after a fork and in any thread."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        import os

        self._path = path
        self._clock = clock
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # it holds callback tokens and a signing key
        except OSError as error:
            raise DeclarationError(f"The state file {path} cannot be opened: {error.strerror}; see JOBWRIGHT_STATE") from error
        with self._open() as connection:
            connection.executescript(_TABLES)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """A connection in a transaction that writes; it is committed at the end."""
        import sqlite3

        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield connection
        finally:
            connection.close()

    def begin(self, execution_id: str, attempt: int) -> Verdict:
        now = self._clock()
        with self._open() as connection:
            connection.execute("DELETE FROM runs WHERE outcome IS NOT NULL AND kept_until < ?", (now,))
            row = connection.execute("SELECT attempt, lease_until, outcome FROM runs WHERE execution_id = ?", (execution_id,)).fetchone()
            verdict = _Run(row[0], row[1], _read_outcome(row[2])).verdict(attempt, now) if row else Verdict(Seen.NEW)
            if verdict.seen is Seen.NEW:
                values = (execution_id, attempt, now + LEASE_SECONDS)
                connection.execute("INSERT OR REPLACE INTO runs (execution_id, attempt, lease_until) VALUES (?, ?, ?)", values)
        return verdict

    def adopt(self, execution_id: str, attempt: int) -> None:
        with self._open() as connection:
            connection.execute("UPDATE runs SET attempt = max(attempt, ?) WHERE execution_id = ?", (attempt, execution_id))

    def renew(self, execution_id: str) -> None:
        with self._open() as connection:
            connection.execute("UPDATE runs SET lease_until = ? WHERE execution_id = ?", (self._clock() + LEASE_SECONDS, execution_id))

    def end(self, execution_id: str, outcome: Outcome | None) -> None:
        with self._open() as connection:
            if outcome is None:
                connection.execute("DELETE FROM runs WHERE execution_id = ?", (execution_id,))
                return
            values = (_written_outcome(outcome), self._clock() + KEEP_SECONDS, execution_id)
            connection.execute("UPDATE runs SET outcome = ?, kept_until = ? WHERE execution_id = ?", values)

    def owe(self, url: str, token: str, message_id: str, body: bytes) -> None:
        with self._open() as connection:
            connection.execute("INSERT INTO owed (url, token, message_id, body) VALUES (?, ?, ?, ?)", (url, token, message_id, body))

    def due(self) -> Owed | None:
        now = self._clock()
        with self._open() as connection:
            row = connection.execute(
                "SELECT number, url, token, message_id, body, tries FROM owed WHERE not_before <= ?"
                " AND number IN (SELECT MIN(number) FROM owed GROUP BY token) ORDER BY number LIMIT 1",
                (now,),
            ).fetchone()
            if row is None:
                return None
            connection.execute("UPDATE owed SET not_before = ? WHERE number = ?", (now + SENDING_SECONDS, row[0]))
        return Owed(*row)

    def next_due_seconds(self) -> float | None:
        with self._open() as connection:
            (moment,) = connection.execute(
                "SELECT MIN(not_before) FROM owed WHERE number IN (SELECT MIN(number) FROM owed GROUP BY token)"
            ).fetchone()
        return None if moment is None else max(0.0, moment - self._clock())

    def delivered(self, number: int) -> None:
        with self._open() as connection:
            connection.execute("DELETE FROM owed WHERE number = ?", (number,))

    def later(self, number: int, seconds: float) -> None:
        with self._open() as connection:
            values = (self._clock() + seconds, number)
            connection.execute("UPDATE owed SET not_before = ?, tries = tries + 1 WHERE number = ?", values)

    def owed(self) -> int:
        with self._open() as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM owed").fetchone()
        return int(count)

    def signing_key(self, key: str | None = None) -> str | None:
        with self._open() as connection:
            if key is not None:
                connection.execute("INSERT OR REPLACE INTO settings (name, value) VALUES ('signing_key', ?)", (key,))
            row = connection.execute("SELECT value FROM settings WHERE name = 'signing_key'").fetchone()
        return None if row is None else str(row[0])


def _written_outcome(outcome: Outcome) -> str:
    return json.dumps([outcome.result, outcome.permanent, outcome.retry_after_seconds])


def _read_outcome(text: str | None) -> Outcome | None:
    return None if text is None else Outcome(*json.loads(text))
