"""The logs of executions, for people and programs to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.accounts.permissions import May, require
from app.audit.model import Actor
from app.execution.log_store import LogStore, LogWindow
from app.execution.visible import VisibleExecutions
from app.jobs.directory import JobDirectory
from app.mongo import Document
from app.queue.store import QueueStore

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")  # of log lines, the gravest last


class Logs:
    """Reads log lines {timestamp, level, message, attempt}. Each method raises NotFound for an execution that `actor` does not see."""

    def __init__(self, queue: QueueStore, logs: LogStore, directory: JobDirectory) -> None:
        self._visible, self._logs = VisibleExecutions(queue, directory), logs

    def read(self, actor: Actor, execution_id: str, *, after: str = "", limit: int = 1000) -> tuple[list[Document], str]:
        """The lines after a cursor, and the next cursor."""
        self._require_visible(actor, execution_id)
        return self._logs.read(execution_id, after=after, limit=limit)

    def window(self, actor: Actor, execution_id: str, *, first: int, limit: int) -> LogWindow:
        """Lines by their numbers, as LogStore.window."""
        self._require_visible(actor, execution_id)
        return self._logs.window(execution_id, first, limit)

    def search(self, actor: Actor, execution_id: str, *, text: str, level: str, limit: int = 1000) -> tuple[list[Document], bool]:
        """The first lines of a level or a graver one that hold a text, and whether there are more."""
        self._require_visible(actor, execution_id)
        return self._logs.search(execution_id, text=text, levels=at_least(level), limit=limit)

    def failing_line(self, actor: Actor, execution_id: str) -> Document | None:
        """The last line that tells of an error; None where none does."""
        self._require_visible(actor, execution_id)
        return self._logs.last_of(execution_id, at_least("ERROR"))

    def whole(self, actor: Actor, execution_id: str) -> Iterator[Document]:
        """Every line, as it comes from the database."""
        self._require_visible(actor, execution_id)
        return self._logs.all(execution_id)

    def _require_visible(self, actor: Actor, execution_id: str) -> None:
        require(actor, May.SEE_EXECUTIONS)
        self._visible.get(actor, execution_id)


def at_least(level: str) -> Sequence[str]:
    """A level and the graver ones; none, which is any, for what is no level."""
    return LEVELS[LEVELS.index(level) :] if level in LEVELS else ()
