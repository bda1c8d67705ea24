"""The `metric_totals` collection: what all executions have come to that have ended. One document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database

from app.mongo import CODEC, Document, Records
from app.shapes import DAMAGED, Instant, Number, Object

TOTALS = Object(members={"until": Instant(), "counts": Object(others=Number(whole=False, most=None))})
_ID = "executions"
_BETWEEN = "|"  # the parts of a key

Key = tuple[str, ...]  # what is counted, and the values of its labels


@dataclass(frozen=True, slots=True)
class Totals:
    """All that had ended `until` an instant, by what was counted."""

    until: datetime
    counts: Mapping[Key, float]


class TotalsStore:
    """Each step from one instant to the next is one compare-and-set, so that no end is counted twice, on any number of nodes."""

    def __init__(self, database: Database[Document]) -> None:
        self._totals, self._database = Records(database, "metric_totals", TOTALS), database

    def database_time(self) -> datetime:
        """Returns the time of the database."""
        at: datetime = self._database.command("hello", codec_options=CODEC)["localTime"]
        return at

    def read(self) -> Totals | None:
        """The totals; None before the first step, and if the document is damaged."""
        row = self._totals.find_one({"_id": _ID})
        return None if row is None or DAMAGED in row else Totals(row["until"], {_key(name): count for name, count in row["counts"].items()})

    def begin(self, at: datetime) -> None:
        """Begins to count from an instant on, unless that was done before. Damaged totals begin again at 0, as after a restart."""
        row = self._totals.find_one({"_id": _ID})
        if row is not None and DAMAGED in row:
            self._totals.delete_one({"_id": _ID})
        self._totals.update_one({"_id": _ID}, {"$setOnInsert": {"until": at, "counts": {}}}, upsert=True)

    def add(self, counts: Mapping[Key, float], *, after: datetime, until: datetime) -> bool:
        """Adds what ended after one instant and until another. Returns False if another node was quicker."""
        more = {f"counts.{_name(key)}": count for key, count in counts.items()}
        update = {"$set": {"until": until}, **({"$inc": more} if more else {})}
        return self._totals.update_one({"_id": _ID, "until": after}, update).matched_count == 1


def _name(key: Key) -> str:
    """A key as the name of a field, in which a dot would mean a field within a field."""
    return _BETWEEN.join(part.replace("%", "%25").replace(".", "%2E").replace(_BETWEEN, "%7C").replace("$", "%24") for part in key)


def _key(name: str) -> Key:
    parts = name.split(_BETWEEN)
    return tuple(part.replace("%24", "$").replace("%7C", _BETWEEN).replace("%2E", ".").replace("%25", "%") for part in parts)
