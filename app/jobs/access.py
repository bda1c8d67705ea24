"""How a service gets the job that somebody names, and how it writes a change while the dispatcher may move the job."""

from __future__ import annotations

from collections.abc import Callable, Collection

from app.accounts.permissions import sees_group
from app.audit.model import Actor
from app.errors import Conflict, NotFound, StaleVersion
from app.jobs.model import DEFINITION_FIELDS, Job
from app.jobs.registry_store import RegistryStore
from templates_lib.messages import say

# The dispatcher moves a job on at most once a tick; a change that it overtook this often will not be written.
WRITE_TRIES = 20


class JobAccess:
    """Checks that an actor sees a job, but not what they may do: the caller checks that."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    def visible(self, actor: Actor, job_id: str) -> Job:
        """Returns a job that `actor` sees. Raises NotFound, also for a job of a group that they are kept out of."""
        job = self._store.get(job_id)
        if job is None or not sees_group(actor, job.definition.group):
            raise NotFound("job", job_id)
        return job

    def at_version(self, actor: Actor, job_id: str, version: int | None, *, repairs: Collection[str] = ()) -> Job:
        """Returns the job that is to be changed or run, which must be at `version` unless that is None.

        A damaged job can only be changed by a change that gives each damaged field a new value (the fields `repairs`): any other change
        would write a neutral value over what is there. Raises NotFound, StaleVersion, Conflict.
        """
        job = self.visible(actor, job_id)
        if version is not None and version != job.version:
            raise StaleVersion(version, job.version)
        if job.damaged.intersection(DEFINITION_FIELDS).difference(repairs):
            raise Conflict(say("This action is not possible: {reason}. Edit or delete the job.", reason=job.schedule_error or ""))
        return job

    def write(self, before: Job, write: Callable[[Job], Job | None]) -> Job:
        """Calls `write` with the job, and again with its newest state while the dispatcher has moved its next due time meanwhile; `write`
        returns None where the job is no longer as it was given. Returns what `write` has written.

        Raises StaleVersion if a person was quicker.
        """
        for _ in range(WRITE_TRIES):
            after = write(before)
            if after is not None:
                return after
            stored = self._store.get(before.id)
            if stored is None or stored.version != before.version:
                break
            before = stored
        raise StaleVersion(before.version, stored.version if stored else before.version + 1)
