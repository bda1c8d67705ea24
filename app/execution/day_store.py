"""The `execution_days` collection: how many executions each hour had, counted once a day has settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from pymongo import UpdateOne
from pymongo.database import Database

from app.mongo import Document

Counts = Mapping[datetime, Mapping[str, int]]


class DayStore:
    """One document a day (UTC) {_id: "2026-03-29", hours: {"0": {status: count}}, counted_at}."""

    def __init__(self, database: Database[Document]) -> None:
        self._days = database["execution_days"]

    def read(self, begin: datetime, end: datetime) -> tuple[dict[datetime, Mapping[str, int]], dict[datetime, datetime]]:
        """The counts by hour of the days from `begin` on and before `end`, and when each day that is there was counted."""
        hours: dict[datetime, Mapping[str, int]] = {}
        counted: dict[datetime, datetime] = {}
        for row in self._days.find({"_id": {"$gte": f"{begin:%Y-%m-%d}", "$lt": f"{end:%Y-%m-%d}"}}):
            day = datetime.strptime(row["_id"], "%Y-%m-%d").replace(tzinfo=UTC)
            counted[day] = row["counted_at"]
            hours |= {day + timedelta(hours=int(hour)): counts for hour, counts in row["hours"].items()}
        return hours, counted

    def write(self, days: Iterable[datetime], counts: Counts, *, at: datetime) -> None:
        """Keep what was counted of those of these days that have any; a later count is not replaced by an earlier one."""
        changes = []
        for day in days:
            hours = {str(n): dict(counts[day + timedelta(hours=n)]) for n in range(24) if day + timedelta(hours=n) in counts}
            if not hours:  # whoever turns the pages of a calendar leaves nothing behind
                continue
            where = {"_id": f"{day:%Y-%m-%d}"}
            changes.append(UpdateOne(where, {"$setOnInsert": {"hours": {}, "counted_at": datetime.fromtimestamp(0, UTC)}}, upsert=True))
            changes.append(UpdateOne({**where, "counted_at": {"$lt": at}}, {"$set": {"hours": hours, "counted_at": at}}))
        if changes:
            self._days.bulk_write(changes)
