"""Jobs that were deleted, for those who follow a link to one."""

from __future__ import annotations

from app.accounts.permissions import May, require, sees_group
from app.audit.model import Actor
from app.errors import NotFound
from app.jobs.list_store import ListStore
from app.jobs.model import Job


class DeletedJobs:
    """Finds jobs that are deleted. Their records and executions are kept."""

    def __init__(self, lists: ListStore) -> None:
        self._lists = lists

    def get(self, actor: Actor, job_id: str) -> Job:
        """Returns a deleted job, whose last change is its deletion. Raises Forbidden, NotFound."""
        require(actor, May.SEE_JOBS)
        job = self._lists.deleted(job_id)
        if job is None or not sees_group(actor, job.definition.group):
            raise NotFound("job", job_id)
        return job
