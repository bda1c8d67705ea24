"""What a list of jobs is narrowed to, and the query that says so to the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.mongo import Document, literal
from app.validation.names import normal, spellings

# The orders of a list: the word of REST and of pages, with the field and the direction of the database's sort.
SORTS = {
    "name": ("name", 1),
    "-name": ("name", -1),
    "created_at": ("created_at", 1),
    "-created_at": ("created_at", -1),
    "updated_at": ("updated_at", 1),
    "-updated_at": ("updated_at", -1),
    "next_run_at": ("next_run_at", 1),
    "-next_run_at": ("next_run_at", -1),
    "last_run_at": ("last_run_at", 1),
    "-last_run_at": ("last_run_at", -1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What a list is narrowed to; `None` and empty mean all."""

    template_type: str | None = None
    enabled: bool | None = None
    paused: bool | None = None
    broken: bool | None = None
    ended: bool | None = None
    last_status: str | None = None  # one of them, or NEVER
    owner: str | None = None
    tag: str | None = None
    group: str | None = None
    ids: Collection[str] | None = None
    groups: Collection[str] | None = None
    search: str = ""

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out, besides what a person does not see."""
        return replace(self, groups=None) != EVERY_JOB


NEVER = "never"  # as a last status: no run has ended yet
EVERY_JOB = JobFilter()


def search_text(text: str) -> str:
    """Returns a text in the form in which lists search: case-folded, its letters composed in one way."""
    return normal(normal(text).casefold())


def matching(query: JobFilter, missing: Sequence[tuple[str, int]], now: datetime) -> Document:
    """Returns the database's query for the jobs that pass a filter at `now`. `missing` are the templates and versions that are not
    installed, whose jobs are broken."""
    where: Document = {"retired": False}
    for field, value in (("template_type", query.template_type), ("enabled", query.enabled)):
        if value is not None and value != "":
            where[field] = value
    for field, name in (("tags", query.tag), ("group", query.group), ("created_by", query.owner)):
        if name:
            where[field] = {"$in": spellings(name)}
    if query.last_status:
        where["last_status"] = None if query.last_status == NEVER else query.last_status
    if query.paused is not None:
        where["paused"] = {"$ne": None} if query.paused else None
    if query.ids is not None:
        where["_id"] = {"$in": list(query.ids)}
    both: list[Document] = []
    if query.groups is not None:
        both.append(in_groups(query.groups))
    if query.broken is not None:
        whole: list[Document] = [{"schedule_error": {"$gt": ""}}, *({"template_type": a, "template_version": b} for a, b in missing)]
        both.append({"$or" if query.broken else "$nor": whole})
    if query.ended is not None:
        both.append(_has_ended(now) if query.ended else {"$nor": [_has_ended(now)]})
    if query.search:
        where["search"] = {"$regex": literal(search_text(query.search))}
    return {**where, "$and": both} if both else where


def _has_ended(now: datetime) -> Document:
    """As Job.has_ended."""
    goes_on: Document = {"enabled": True, "paused": None}
    once = {"schedule.type": "once", "schedule.run_at": {"$lte": now}}
    repeated = {"schedule.type": {"$in": ["cron", "interval"]}, "schedule.end_at": {"$lte": now}}
    return {
        "schedule.type": {"$ne": "manual"},
        "schedule_error": None,
        "$or": [{**goes_on, "next_run_at": None}, {"$nor": [goes_on], "$or": [once, repeated]}],
    }


def in_groups(groups: Collection[str] | None) -> Document:
    """The database's query for the jobs of these groups; for all jobs where that is None."""
    return {} if groups is None else {"group": {"$in": sorted(groups)}}
