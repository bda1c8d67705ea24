"""The `dynamic_jobs` collection, as it is asked how many jobs use what, and which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pymongo.database import Database

from app.jobs.filters import in_groups
from app.jobs.job_store import open_jobs
from app.jobs.records import LastRun
from app.mongo import QUERY_TIME_MS, Document

_FAILURES = ["failed", "timeout"]  # app.queue.model, which lies above
_BY_VERSION: Document = {"maxTimeMS": QUERY_TIME_MS, "hint": "by_version"}  # this index holds all that counts of templates read


class UsageStore:
    """Counts and names of the jobs in the registry, by what they use: templates, connections, calendars, time zones."""

    def __init__(self, database: Database[Document]) -> None:
        self._jobs = open_jobs(database)

    # -- templates ------------------------------------------------------------------------------------------------

    def count_of(self, template_type: str, version: int | None = None) -> int:
        """Returns how many jobs a template has, or one version of it."""
        where = {"template_type": template_type, "retired": False, **({} if version is None else {"template_version": version})}
        return self._jobs.count_documents(where, maxTimeMS=QUERY_TIME_MS)

    def counts_by_version(self, template_type: str) -> dict[int, int]:
        """Returns how many jobs each version of a template has."""
        match = {"$match": {"template_type": template_type, "retired": False}}
        rows = self._jobs.aggregate([match, {"$sortByCount": "$template_version"}], maxTimeMS=QUERY_TIME_MS)
        return {row["_id"]: row["count"] for row in rows if isinstance(row["_id"], int)}

    def versions_in_use(self) -> dict[tuple[str, int], int]:
        """Returns each (template, version) that a job is of, with the number of its jobs."""
        group = {"_id": {"type": "$template_type", "version": "$template_version"}, "count": {"$sum": 1}}
        rows = self._jobs.aggregate([{"$match": {"retired": False}}, {"$group": group}], **_BY_VERSION)
        counts = [(row["_id"].get("type"), row["_id"].get("version"), row["count"]) for row in rows]
        return {(name, version): count for name, version, count in counts if isinstance(name, str) and isinstance(version, int)}

    def names_of(self, template_type: str, version: int) -> list[str]:
        """Returns the names of the jobs of one version of a template, sorted."""
        where = {"retired": False, "template_type": template_type, "template_version": version}
        return [row["name"] for row in self._jobs.find(where, {"name": 1}).sort("name", 1)]

    # -- others ---------------------------------------------------------------------------------------------------

    def counts_by_owner(self, owners: Sequence[str]) -> dict[str, int]:
        """Returns how many jobs in the registry each of these e-mail addresses has made; those without a job are left out."""
        stages: list[Document] = [
            {"$match": {"retired": False, "created_by": {"$in": list(owners)}}},
            {"$group": {"_id": "$created_by", "n": {"$sum": 1}}},
        ]
        return {row["_id"]: row["n"] for row in self._jobs.aggregate(stages, maxTimeMS=QUERY_TIME_MS)}

    def names_using(self, connection: str, paths: Iterable[str]) -> list[str]:
        """Returns the names of the jobs whose parameters hold the name `connection` at one of the dotted `paths`."""
        where = {"retired": False, "$or": [{f"parameters.{path}": connection} for path in paths]}
        return [row["name"] for row in self._jobs.find(where, {"name": 1})]

    def names_notifying(self, recipient: str) -> list[str]:
        """Returns the names of the jobs that notify a recipient after a success or a failure."""
        where = {"retired": False, "$or": [{f"notifications.{name}": recipient} for name in ("on_success", "on_failure")]}
        return [row["name"] for row in self._jobs.find(where, {"name": 1}).max_time_ms(QUERY_TIME_MS)]

    def counts_by_connection(self, paths: Collection[str]) -> dict[str, int]:
        """Returns how many jobs hold each text at one of the dotted `paths` of their parameters."""
        tops = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
        counts: Counter[str] = Counter()
        rows = self._jobs.find({"retired": False}, {f"parameters.{path}": 1 for path in tops}).max_time_ms(QUERY_TIME_MS) if tops else ()
        for row in rows:
            counts.update(set(_texts(row.get("parameters"))))
        return dict(counts)

    def names_on(self, calendar: str, *, groups: Collection[str] | None = None) -> list[str]:
        """Returns the names of the jobs whose schedule names the calendar, sorted; of all jobs or of those of some groups."""
        rows = self._jobs.find({"retired": False, "schedule.calendars": calendar, **in_groups(groups)}, {"name": 1})
        return sorted(row["name"] for row in rows)

    def broken(self) -> dict[str, str]:
        """Returns the names of the jobs whose schedule cannot be computed, with the reason."""
        rows = self._jobs.find({"retired": False, "schedule_error": {"$gt": ""}}, {"name": 1, "schedule_error": 1})
        return {row["name"]: row["schedule_error"] for row in rows}

    # -- metrics --------------------------------------------------------------------------------------------------

    def schedule_types(self, ids: Collection[str]) -> dict[str, str]:
        """Returns the type of schedule of each of these jobs, deleted ones included, by id."""
        rows = self._jobs.aggregate([{"$match": {"_id": {"$in": list(ids)}}}, {"$project": {"type": "$schedule.type"}}]) if ids else ()
        return {row["_id"]: str(row.get("type")) for row in rows}

    def counts_by_schedule(self) -> dict[tuple[str, str], int]:
        """Returns how many jobs have which type of schedule and are `enabled`, `disabled`, `paused` or `broken`, by (type, state)."""
        states = [
            {"case": {"$gt": ["$schedule_error", ""]}, "then": "broken"},
            {"case": {"$ne": ["$enabled", True]}, "then": "disabled"},
            {"case": {"$eq": [{"$type": "$paused"}, "object"]}, "then": "paused"},
        ]
        group = {"_id": {"type": "$schedule.type", "state": {"$switch": {"branches": states, "default": "enabled"}}}, "n": {"$sum": 1}}
        rows = self._jobs.aggregate([{"$match": {"retired": False}}, {"$group": group}], maxTimeMS=QUERY_TIME_MS)
        return {(str(row["_id"].get("type")), row["_id"]["state"]): row["n"] for row in rows}

    def count_failing(self) -> int:
        """Returns how many jobs that are switched on failed or timed out in their last run."""
        where = {"retired": False, "enabled": True, "last_status": {"$in": _FAILURES}}
        return self._jobs.count_documents(where, maxTimeMS=QUERY_TIME_MS)

    def count_created(self) -> int:
        """Returns how many jobs were ever created; a deleted one stays in the collection."""
        return self._jobs.estimated_document_count(maxTimeMS=QUERY_TIME_MS)

    def highest_ids(self, limit: int, *, tag: str | None = None) -> list[str]:
        """Returns the ids of jobs that are switched on: those of the highest priority first, and the oldest jobs of these; of all jobs, or
        of those with a tag. This reads all of them."""
        where: Document = {"retired": False, "enabled": True, **({} if tag is None else {"tags": tag})}
        order = {"priority": -1, "created_at": 1, "_id": 1}
        stages: list[Document] = [{"$match": where}, {"$project": dict.fromkeys(order, 1)}, {"$sort": order}, {"$limit": limit}]
        return [row["_id"] for row in self._jobs.aggregate(stages, maxTimeMS=QUERY_TIME_MS)]

    def last_runs(self, ids: Collection[str]) -> list[LastRun]:
        """Returns the last runs of those of these jobs that are switched on."""
        where: Document = {"_id": {"$in": list(ids)}, "retired": False, "enabled": True}
        rows = self._jobs.find(where, {"name": 1, "last_status": 1, "last_run_at": 1}, hint="_id_").max_time_ms(QUERY_TIME_MS)
        return [LastRun(row["name"], row.get("last_status"), row.get("last_run_at")) for row in rows]

    # -- mails and zones ------------------------------------------------------------------------------------------

    def count_with_recipients(self) -> int:
        """Returns how many jobs that are switched on mail an outcome to somebody."""
        with_somebody = [{f"notifications.{name}.0": {"$exists": True}} for name in ("on_success", "on_failure")]
        return self._jobs.count_documents({"retired": False, "enabled": True, "$or": with_somebody}, maxTimeMS=QUERY_TIME_MS)

    def zones_in_use(self) -> list[Any]:
        """Returns the time zones of the jobs in the registry, as they are stored, valid or not."""
        return list(self._jobs.distinct("schedule.timezone", {"retired": False}))


def _texts(value: Any) -> Iterator[str]:
    """Yields each text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
