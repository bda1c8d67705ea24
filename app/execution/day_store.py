"""The `execution_days` collection: what the executions of each hour came to, counted once a day has settled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pymongo import UpdateOne
from pymongo.database import Database

from app.execution.tallies import Tallies, Tally
from app.mongo import Document, Records
from app.queue.shape import DAY


class DayStore:
    """One document a day (UTC) {_id: "2026-03-29", hours: {"0": {status: count}}, seconds: {"0": 12.5}, counted_at}.

    One that was written before seconds were counted is as good as not there."""

    def __init__(self, database: Database[Document]) -> None:
        self._days = Records(database, "execution_days", DAY)

    def read(self, begin: datetime, end: datetime) -> tuple[dict[datetime, Tally], dict[datetime, datetime]]:
        """The tallies by hour of the days from `begin` on and before `end`, and when each day that is there was counted."""
        hours: dict[datetime, Tally] = {}
        counted: dict[datetime, datetime] = {}
        within = {"_id": {"$gte": f"{begin:%Y-%m-%d}", "$lt": f"{end:%Y-%m-%d}"}, "seconds": {"$exists": True}}
        for row in self._days.find(within):
            day = datetime.strptime(row["_id"], "%Y-%m-%d").replace(tzinfo=UTC)
            counted[day] = row["counted_at"]
            seconds = row["seconds"]
            hours |= {day + timedelta(hours=int(hour)): Tally(counts, seconds.get(hour, 0.0)) for hour, counts in row["hours"].items()}
        return hours, counted

    def write(self, days: Iterable[datetime], tallies: Tallies, *, at: datetime) -> None:
        """Keep what was counted of those of these days that have any; a later count is not replaced by an earlier one."""
        changes = []
        for day in days:
            hours = {str(n): tallies[day + timedelta(hours=n)] for n in range(24) if day + timedelta(hours=n) in tallies}
            if not hours:  # whoever turns the pages of a calendar leaves nothing behind
                continue
            where = {"_id": f"{day:%Y-%m-%d}"}
            kept = {
                "hours": {n: dict(tally.counts) for n, tally in hours.items()},
                "seconds": {n: tally.seconds for n, tally in hours.items()},
            }
            changes.append(UpdateOne(where, {"$setOnInsert": {"hours": {}, "counted_at": datetime.fromtimestamp(0, UTC)}}, upsert=True))
            changes.append(UpdateOne({**where, "counted_at": {"$lt": at}}, {"$set": {**kept, "counted_at": at}}))
        if changes:
            self._days.bulk_write(changes)

    def forget(self, begin: datetime) -> None:
        """Removes the counts of the days from `begin` on, so that they are counted again."""
        self._days.delete_many({"_id": {"$gte": f"{begin:%Y-%m-%d}"}})
