"""What a job was, and what each change made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.audit.model import field_diff
from app.connections.vault import mask
from app.jobs.model import Cause, Job, to_plain


@dataclass(frozen=True, slots=True)
class Revision:
    """A job as it was from one change to the next: which version, since when, by whom, and what that change was.

    `diff` has a row a field, secrets masked. It is empty for how the job was made (`first`), and for a change that paused it (`paused`
    is true) or ended its pause (false).
    """

    version: int
    at: datetime
    by: str
    diff: list[dict[str, Any]]
    first: bool = False
    paused: bool | None = None


def difference(older: Job, newer: Job) -> list[dict[str, Any]]:
    """What a person changed from one state of a job to another, a row a field, secrets masked."""
    diff = field_diff(mask(to_plain(older.definition)), mask(to_plain(newer.definition)))
    if older.template_version != newer.template_version:
        diff.append({"field": "/template_version", "before": older.template_version, "after": newer.template_version})
    return diff


def change(job: Job, older: Job | None) -> Revision:
    """The change that made `job` of `older`, which is None where it is not kept."""
    if older is None:
        return Revision(job.version, job.updated_at, job.updated_by, [], first=job.version == 1)
    was, now_is = (one.paused is not None and one.paused.cause is Cause.PERSON for one in (older, job))
    return Revision(job.version, job.updated_at, job.updated_by, difference(older, job), paused=now_is if was != now_is else None)
