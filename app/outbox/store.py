"""The items that the documents of one collection owe: claimed, settled, put off, given up, and asked for again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from pymongo import ReturnDocument, UpdateMany
from pymongo.database import Database

from app.mongo import ANY_DATE, Document, Records
from app.outbox.model import TOLD, Owed, owed_from
from app.shapes import Object
from templates_lib.messages import parts_of

Record = TypeVar("Record")

# The indexes of each collection that takes part (migration 17). Both are sparse: they hold only documents that owe something.
OWED_INDEX = "owed_items"  # (owed.what, owed.at)
GIVEN_UP_INDEX = "given_up"  # (owed.given_up_at)
NO_LIST: Document = {"$not": {"$type": "array"}}  # a list would match if one of its entries does
WHOLE: Document = {"$type": ["int", "long"], "$gte": 0, "$lt": 1_000_000, **NO_LIST}


class OutboxStore(Generic[Record]):
    """The `owed` list of the documents of one collection. `read` makes a record of a document.

    Every change is one compare-and-set on one document. A claim counts a try, and whoever writes how the try went names its number, so that
    a worker that was slower than its claim changes nothing.
    """

    def __init__(self, database: Database[Document], collection: str, shape: Object, read: Callable[[Document], Record]) -> None:
        self._collection, self._read = Records(database, collection, shape), read

    def claim(self, what: str, *, now: datetime, until: datetime) -> tuple[Record, Owed] | None:
        """A record that owes `what` by now, and the item with its new number of tries; nobody else gets it before `until`. None: no record
        does. The index gives the one that has waited longest. A damaged item is left alone."""
        due = _due(what, now)
        taken = {"$set": {"owed.$.at": until}, "$inc": {"owed.$.tries": 1}}
        row = self._collection.find_one_and_update(due, taken, hint=OWED_INDEX, return_document=ReturnDocument.AFTER)
        if row is None:
            return None
        return self._read(row), next(item for item in owed_from(row) if item.what == what)

    def claim_many(self, what: str, *, now: datetime, until: datetime, limit: int) -> list[tuple[Record, Owed]]:
        """Up to `limit` records that owe `what` by now, those that have waited longest, each with its item; nobody else gets them before
        `until`. Three round trips: the ids are read, their items are marked with the name of this claim, and what got the mark is read.

        A record that owes the same anew while the claim lasts, as its end was written meanwhile, has a new item without the mark.
        """
        due, claim = _due(what, now), secrets.token_hex(8)
        ids = [row["_id"] for row in self._collection.find(due, {"_id": 1}, hint=OWED_INDEX).limit(limit)]
        if not ids:
            return []
        taken = {"$set": {"owed.$.at": until, "owed.$.by": claim}, "$inc": {"owed.$.tries": 1}}
        self._collection.update_many({"_id": {"$in": ids}, **due}, taken, hint="_id_")
        marked = {"_id": {"$in": ids}, "owed": {"$elemMatch": {"what": what, "by": claim}}}
        rows = self._collection.find(marked, hint="_id_")
        return [(self._read(row), next(item for item in owed_from(row) if item.what == what)) for row in rows]

    def settle_many(self, settled: Sequence[tuple[str, Owed, Sequence[str]]]) -> None:
        """These items (record id, item, what was told) were carried out, each if the record still has it as it was claimed. What was told
        is noted with the record in any case. Records of one claim of which the same was told are written together, which costs the server
        a fraction of writing them one by one."""
        alike: dict[tuple[str, str | None, tuple[str, ...]], list[str]] = {}
        for record_id, item, told in settled:
            alike.setdefault((item.what, item.by, tuple(told)), []).append(record_id)
        if alike:
            changes = [UpdateMany({"_id": {"$in": ids}}, _settlement(*of), hint="_id_") for of, ids in alike.items()]
            self._collection.bulk_write(changes, ordered=False)

    def note_told(self, record_id: str, told: Sequence[str]) -> None:
        """Note what was told of a record that still owes the rest."""
        self._collection.update_one({"_id": record_id}, {"$addToSet": {TOLD: {"$each": list(told)}}})

    def bring_forward(self, what: str, *, now: datetime, untried_from: datetime, tried_from: datetime) -> int:
        """Make due what is put off until `untried_from` or later although no try has failed, or until `tried_from` or later. Returns how
        many records had such an item."""
        due = {"owed": {"$elemMatch": {"what": what, "at": {"$gte": min(untried_from, tried_from)}}}}
        ahead: Document = {"$or": [{"item.tries": 0, "item.at": {"$gte": untried_from}}, {"item.at": {"$gte": tried_from}}]}
        change = {"$set": {"owed.$[item].at": now}}
        filters = [{"item.what": what, **ahead}]
        return self._collection.update_many(due, change, array_filters=filters, hint=OWED_INDEX).modified_count

    def settle(self, record_id: str, item: Owed) -> None:
        """The item was carried out: the record owes it no more."""
        rest = {"$filter": {"input": "$owed", "cond": {"$ne": ["$$this.what", item.what]}}}
        # A document that owes nothing has no `owed`, so that the sparse indexes do not hold it.
        left = {"$let": {"vars": {"rest": rest}, "in": {"$cond": [{"$eq": ["$$rest", []]}, "$$REMOVE", "$$rest"]}}}
        self._collection.update_one(self._tried(record_id, item), [{"$set": {"owed": left}}])

    def put_off(self, record_id: str, item: Owed, *, at: datetime, error: str | None, counts: bool = True) -> None:
        """The next try is due `at`. With `counts` false this one is not counted, as it was no failure."""
        tries = item.tries if counts else item.tries - 1
        fields = {"owed.$.at": at, "owed.$.error": error, "owed.$.said": parts_of(error or ""), "owed.$.tries": tries}
        self._collection.update_one(self._tried(record_id, item), {"$set": fields, "$unset": {"owed.$.by": ""}})

    def give_up(self, record_id: str, item: Owed, *, now: datetime, error: str) -> None:
        """The last try failed: nobody tries again until a person asks for it."""
        fields = {"owed.$.at": None, "owed.$.error": error, "owed.$.said": parts_of(error), "owed.$.given_up_at": now}
        self._collection.update_one(self._tried(record_id, item), {"$set": fields, "$unset": {"owed.$.by": ""}})

    def ask_again(self, record_id: str, what: str, *, now: datetime) -> bool:
        """Make an item that was given up due again, with a fresh number of tries; False where the record has no such item."""
        given_up = {"_id": record_id, "owed": {"$elemMatch": {"what": what, "given_up_at": ANY_DATE}}}
        fields = {"owed.$.at": now, "owed.$.given_up_at": None, "owed.$.tries": 0}
        return self._collection.update_one(given_up, {"$set": fields}).matched_count == 1

    def given_up(self, limit: int) -> list[tuple[Record, Owed]]:
        """The items that were given up, newest first, with their records; those of `limit` records at most."""
        rows = self._collection.find({"owed.given_up_at": ANY_DATE}, hint=GIVEN_UP_INDEX).sort("owed.given_up_at", -1).limit(limit)
        return [(self._read(row), item) for row in rows for item in owed_from(row) if item.given_up]

    def count(self, what: str) -> int:
        """How many records owe `what`, due or not."""
        return self._collection.count_documents({"owed.what": what}, hint=OWED_INDEX)

    def due_since(self, what: str, now: datetime) -> datetime | None:
        """Since when the item `what` is due that has waited longest; None if none is due."""
        row = self._collection.find_one(_due(what, now), {"owed": 1}, hint=OWED_INDEX)
        return None if row is None else next((item.at for item in owed_from(row) if item.what == what), None)

    def count_given_up_of(self, what: str) -> int:
        """How many items `what` were given up and are still owed."""
        given_up = {"owed": {"$elemMatch": {"what": what, "given_up_at": ANY_DATE}}}
        return self._collection.count_documents(given_up, hint=GIVEN_UP_INDEX)

    def count_given_up(self, since: datetime) -> int:
        """How many records have an item that was given up after `since`."""
        return self._collection.count_documents({"owed.given_up_at": {"$gt": since}}, hint=GIVEN_UP_INDEX)

    @staticmethod
    def _tried(record_id: str, item: Owed) -> Document:
        """Finds the item as this try has it; a later try has counted on."""
        claimed = {} if item.by is None else {"by": item.by}
        return {"_id": record_id, "owed": {"$elemMatch": {"what": item.what, "tries": item.tries, **claimed}}}


def _due(what: str, now: datetime) -> Document:
    """Finds what is due. A damaged item is left alone."""
    return {"owed": {"$elemMatch": {"what": {"$eq": what, **NO_LIST}, "at": {**ANY_DATE, "$lte": now}, "tries": WHOLE}}}


def _settlement(what: str, by: str | None, told: Sequence[str]) -> list[Document]:
    """Takes the item out of what a record owes, and notes what was told."""
    same = {"$and": [{"$eq": ["$$this.what", what]}, {"$eq": ["$$this.by", by]}]}
    rest = {"$filter": {"input": {"$ifNull": ["$owed", []]}, "cond": {"$not": [same]}}}
    left = {"$let": {"vars": {"rest": rest}, "in": {"$cond": [{"$eq": ["$$rest", []]}, "$$REMOVE", "$$rest"]}}}
    fields: Document = {"owed": left}
    if told:
        fields[TOLD] = {"$setUnion": [{"$ifNull": [f"${TOLD}", []]}, {"$literal": list(told)}]}
    return [{"$set": fields}]
