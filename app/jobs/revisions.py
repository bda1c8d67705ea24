"""The earlier versions of a job, and what each change made of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.audit.model import field_diff
from app.connections.vault import mask
from app.jobs.model import Cause, Job, to_plain


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a job: its number, when and by whom it was made, and what the change was.

    `diff` has a row a field, secrets masked. It is empty for the first version (`first`), and for a change that paused the job (`paused`
    is true) or ended its pause (`paused` is false).
    """

    version: int
    at: datetime
    by: str
    diff: list[dict[str, Any]]
    first: bool = False
    paused: bool | None = None


def difference(older: Job, newer: Job) -> list[dict[str, Any]]:
    """Returns what a person changed from one state of a job to another, a row a field, secrets masked."""
    diff = field_diff(mask(to_plain(older.definition)), mask(to_plain(newer.definition)))
    diff += _declared_difference(older, newer, {row["field"] for row in diff})
    if older.template_version != newer.template_version:
        diff.append({"field": "/template_version", "before": older.template_version, "after": newer.template_version})
    return diff


def _declared_difference(older: Job, newer: Job, shown: Collection[str]) -> list[dict[str, Any]]:
    """Returns what the code of a service declares in another way, as far as that does not show in the definition that applies (`shown`)."""
    if older.registered is None or newer.registered is None:
        return []
    rows = field_diff(mask(older.registered.declared), mask(newer.registered.declared))
    return [{**row, "field": f"/declared{row['field']}"} for row in rows if row["field"] not in shown]


def change(job: Job, older: Job | None) -> Revision:
    """Returns the change that made `job` from `older`, which is None if it is not kept."""
    if older is None:
        return Revision(job.version, job.updated_at, job.updated_by, [], first=job.version == 1)
    was, now_is = (state.paused is not None and state.paused.cause is Cause.PERSON for state in (older, job))
    return Revision(job.version, job.updated_at, job.updated_by, difference(older, job), paused=now_is if was != now_is else None)
