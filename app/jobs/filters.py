"""What a list of jobs is narrowed to, and the query that says so to the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from app.mongo import Document, literal
from app.triggers import TRIGGERS
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


def _text(longest: int, description: str = "", *, column: str = "", default: str | None = None) -> Any:
    """A text of at most `longest` characters. With `column`, jobs pass whose document has it there, in any spelling."""
    return field(default=default, metadata={"type": str, "longest": longest, "description": description, "column": column})


def _flag(description: str = "") -> Any:
    return field(default=None, metadata={"type": bool, "description": description})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What a list of jobs is narrowed to; None and empty mean all. This is the only list of filters: REST and bulk actions take the fields
    that have a type in their metadata, and `matching` makes the database's query."""

    name: str | None = _text(120, "Its whole name", column="name")
    template_type: str | None = _text(100)
    enabled: bool | None = _flag()
    paused: bool | None = _flag()
    shadow: bool | None = _flag("Only jobs in shadow mode")
    broken: bool | None = _flag("Only jobs that cannot run: the schedule is invalid or the template is missing")
    ended: bool | None = _flag("Only jobs whose schedule has ended")
    last_status: str | None = _text(20, "Outcome of the last run, or `never`")  # a status, or NEVER
    owner: str | None = _text(320, "E-mail address of the person who created the job", column="created_by")
    tag: str | None = _text(50, column="tags")
    group: str | None = _text(100, column="group")
    search: str = _text(200, "Text to find in names, descriptions and tags", default="")
    ids: Collection[str] | None = None
    groups: Collection[str] | None = None

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out, besides what a person does not see."""
        return replace(self, groups=None) != EVERY_JOB


NEVER = "never"  # as a last status: no run has ended yet
EVERY_JOB = JobFilter()
# The filters that people and programs may set, by name, with what is declared of each.
DECLARED: Mapping[str, Mapping[str, Any]] = {field.name: field.metadata for field in fields(JobFilter) if "type" in field.metadata}
_COLUMNS = {name: declared["column"] for name, declared in DECLARED.items() if declared.get("column")}


def search_text(text: str) -> str:
    """Returns a text in the form in which lists search: case-folded, its letters composed in one way."""
    return normal(normal(text).casefold())


def matching(query: JobFilter, missing: Sequence[tuple[str, int]], now: datetime) -> Document:
    """Returns the database's query for the jobs that pass a filter at `now`. `missing` are the templates and versions that are not
    installed, whose jobs are broken."""
    where: Document = {"retired": False}
    if query.template_type:
        where["template_type"] = query.template_type
    if query.enabled is not None:
        where["enabled"] = query.enabled
    for name, column in _COLUMNS.items():
        if text := getattr(query, name):
            where[column] = {"$in": spellings(text)}
    if query.last_status:
        where["last_status"] = None if query.last_status == NEVER else query.last_status
    if query.paused is not None:
        where["paused"] = {"$ne": None} if query.paused else None
    if query.shadow is not None:
        where["shadow"] = {"$ne": None} if query.shadow else None
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
    timed = [each for each in TRIGGERS.values() if each.is_timed]
    over = [{"schedule.type": each.type, f"schedule.{each.last_field}": {"$lte": now}} for each in timed]
    return {
        "schedule.type": {"$nin": [each.type for each in TRIGGERS.values() if not each.is_timed]},
        "schedule_error": None,
        "$or": [{**goes_on, "next_run_at": None}, {"$nor": [goes_on], "$or": over}],
    }


def in_groups(groups: Collection[str] | None) -> Document:
    """The database's query for the jobs of these groups; for all jobs where that is None."""
    return {} if groups is None else {"group": {"$in": sorted(groups)}}
