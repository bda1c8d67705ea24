"""Which executions an actor sees: those of the jobs of their groups."""

from __future__ import annotations

from app.audit.model import Actor
from app.errors import NotFound
from app.jobs.directory import JobDirectory
from app.queue.execution import Execution
from app.queue.store import QueueStore


class VisibleExecutions:
    """Reads single executions for one actor at a time."""

    def __init__(self, queue: QueueStore, directory: JobDirectory) -> None:
        self._queue, self._directory = queue, directory

    def get(self, actor: Actor, execution_id: str) -> Execution:
        """One execution, with its secrets. Raises NotFound where there is none that `actor` sees."""
        execution = self._queue.get(execution_id)
        if execution is None or not self._directory.sees(actor, execution.job_id):
            raise NotFound("execution", execution_id)
        return execution
