"""The `deliveries` collection."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from app.mongo import ANY_DATE, QUERY_TIME_MS, Document, Records, is_only_duplicates
from app.notification.delivery import LADDER, MOST_ATTEMPTS, Delivery, DeliveryFilter, DeliveryStatus, Try, delivery_from
from app.notification.message import MessageKind, Severity
from app.shapes import Anything, Instant, Json, Listed, Number, Object, Text, instants, one_of, texts, wholes

MESSAGE = Object(
    members={
        **texts("key", "thread", "title", "text", "language"),
        "kind": one_of([item.value for item in MessageKind], MessageKind.NOTICE.value),
        "severity": one_of([item.value for item in Severity], Severity.INFO.value),
        "at": Instant(),
        "facts": Listed(of=Object(members=texts("label", "value"))),
        "links": Listed(of=Object(members=texts("words", "url"))),
        "excerpts": Listed(of=Object(members={**texts("words"), "lines": Listed(of=Text())}), optional=True),
        "event": Json(),
        # A message of an older release has none.
        "parts": Listed(
            of=Object(members={"title": Text(), "lines": Listed(of=Object(members=texts("words", "url", "detail")))}), optional=True
        ),
    }
)
DELIVERY = Object(
    members={
        **texts("channel_id", "channel", "type", "job_name"),
        "recipients": Listed(of=Text()),
        "execution_id": Text(nullable=True),
        "job_id": Text(nullable=True),
        "message": MESSAGE,
        # An unreadable status is not waiting: nobody is told twice because of it.
        "status": one_of([item.value for item in DeliveryStatus], DeliveryStatus.UNKNOWN.value),
        **instants("created_at", "due_at"),
        **instants("settled_at", "failing_since", nullable=True),
        **wholes("failures", "unknowns", "replays"),
        "attempts": Listed(
            of=Object(members={"at": Instant(), "took_ms": Number(), **texts("result", "reason", "by"), "said": Anything(optional=True)})
        ),
        "claim": Text(nullable=True),
        "instead_of": Listed(of=Text(), optional=True),
    }
)
DUE_INDEX = "due"  # (channel_id, due_at), of what waits
WAITING = DeliveryStatus.WAITING.value
FORGOTTEN_AT_ONCE = 1_000


class NotificationDeliveryStore:
    """One document a delivery. Each change is one compare-and-set: a claim names itself, and whoever writes how a try went names the
    claim, so that a sender that was slower than its claim changes nothing."""

    def __init__(self, database: Database[Document]) -> None:
        self._deliveries = Records(database, "deliveries", DELIVERY)

    # -- writing and sending --------------------------------------------------------------------------------------

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Writes deliveries. One that exists already stays as it is."""
        if not deliveries:
            return
        try:
            self._deliveries.insert_many([delivery.as_document() for delivery in deliveries], ordered=False)
        except BulkWriteError as error:
            if not is_only_duplicates(error):
                raise

    def channels_due(self, now: datetime) -> list[str]:
        """Returns the ids of the channels that have something to send now."""
        due = {"status": WAITING, "channel_id": {"$type": "string"}, "due_at": {**ANY_DATE, "$lte": now}}
        groups = self._deliveries.aggregate([{"$match": due}, {"$group": {"_id": "$channel_id"}}], hint=DUE_INDEX)
        return sorted(group["_id"] for group in groups)

    def claim(self, channel_id: str, *, now: datetime, until: datetime, claim: str) -> Delivery | None:
        """Claims the delivery of a channel that has been due for the longest time; nobody else gets it before `until`. None: none is due.
        A damaged delivery is left alone."""
        due = {"status": WAITING, "channel_id": channel_id, "due_at": {**ANY_DATE, "$lte": now}}
        row = self._deliveries.find_one_and_update(
            due,
            {"$set": {"due_at": until, "claim": claim}},
            sort=[("due_at", 1)],
            hint=DUE_INDEX,
            return_document=ReturnDocument.AFTER,
        )
        return None if row is None else delivery_from(row)

    def renew(self, claims: Collection[str], *, until: datetime) -> None:
        """Makes claims last until then."""
        if claims:
            self._deliveries.update_many({"status": WAITING, "claim": {"$in": list(claims)}}, {"$set": {"due_at": until}})

    def settle(self, delivery: Delivery, status: DeliveryStatus, attempt: Try) -> bool:
        """Ends a claimed delivery. Returns False if somebody else has claimed it meanwhile."""
        fields: Document = {"status": status.value, "settled_at": attempt.at, "claim": None}
        return self._change(delivery, fields, attempt)

    def put_off(self, delivery: Delivery, attempt: Try, *, due_at: datetime, unknown: bool) -> bool:
        """Makes a claimed delivery due later after a failed try. Returns False if somebody else has claimed it meanwhile."""
        fields = {
            "due_at": due_at,
            "failures": delivery.failures + 1,
            "unknowns": delivery.unknowns + unknown,
            "failing_since": delivery.failing_since or attempt.at,
            "claim": None,
        }
        return self._change(delivery, fields, attempt)

    def _change(self, delivery: Delivery, fields: Document, attempt: Try) -> bool:
        attempts = [*delivery.attempts, attempt]
        if len(attempts) > MOST_ATTEMPTS:
            attempts = [attempts[0], *attempts[-MOST_ATTEMPTS + 1 :]]
        fields = {**fields, "attempts": [item.as_document() for item in attempts]}
        claimed = {"_id": delivery.id, "status": WAITING, "claim": delivery.claim}
        return self._deliveries.update_one(claimed, {"$set": fields}).matched_count == 1

    def hasten(self, channel_id: str, *, now: datetime) -> int:
        """Makes deliveries of a channel that answers again due: each no sooner than the first wait after its last try. Returns their
        number."""
        soon = now + LADDER[0]
        put_off = {"status": WAITING, "channel_id": channel_id, "claim": None, "failures": {"$gt": 0}, "due_at": {"$gt": soon}}
        tried_at = {"$getField": {"field": "at", "input": {"$last": "$attempts"}}}
        earliest = {"$max": [now, {"$add": [tried_at, LADDER[0] // timedelta(milliseconds=1)]}]}
        return self._deliveries.update_many(put_off, [{"$set": {"due_at": {"$min": ["$due_at", earliest]}}}]).modified_count

    def bring_oldest(self, channel_id: str, *, now: datetime) -> bool:
        """Makes the oldest delivery of a channel that was put off due now. Returns False if there is none."""
        put_off = {"status": WAITING, "channel_id": channel_id, "claim": None, "failures": {"$gt": 0}, "due_at": {"$gt": now}}
        row = self._deliveries.find_one_and_update(put_off, {"$set": {"due_at": now}}, {"_id": 1}, sort=[("created_at", 1)])
        return row is not None

    def replay(self, delivery_id: str, *, now: datetime) -> bool:
        """Makes a delivery that does not wait due now, with a key of its own. Returns False if it waits already."""
        again = {"status": WAITING, "due_at": now, "settled_at": None, "failing_since": None, "failures": 0, "unknowns": 0, "claim": None}
        settled = {"_id": delivery_id, "status": {"$ne": WAITING}}
        return self._deliveries.update_one(settled, {"$set": again, "$inc": {"replays": 1}}).matched_count == 1

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, delivery_id: str) -> Delivery | None:
        row = self._deliveries.find_one({"_id": delivery_id})
        return None if row is None else delivery_from(row)

    def of(self, ids: Collection[str], statuses: Collection[DeliveryStatus]) -> list[Delivery]:
        """Returns which of these deliveries have one of these statuses."""
        wanted = {"_id": {"$in": list(ids)}, "status": {"$in": [status.value for status in statuses]}}
        return [delivery_from(row) for row in self._deliveries.find(wanted)] if ids else []

    def of_execution(self, execution_id: str) -> list[Delivery]:
        """Returns the deliveries about an execution, oldest first."""
        rows = self._deliveries.find({"execution_id": execution_id}).sort([("created_at", 1), ("_id", 1)])
        return [delivery_from(row) for row in rows]

    def page(self, wanted: DeliveryFilter, *, limit: int) -> list[Delivery]:
        """Returns deliveries, newest first."""
        rows = self._deliveries.find(_query(wanted)).sort([("created_at", -1), ("_id", -1)]).limit(limit).max_time_ms(QUERY_TIME_MS)
        return [delivery_from(row) for row in rows]

    def count_since(self, since: datetime, statuses: Collection[DeliveryStatus]) -> int:
        """Returns how many deliveries that were written after `since` have one of these statuses. Tests of channels do not count."""
        wanted = {
            "created_at": {"$gt": since},
            "message.kind": {"$ne": MessageKind.TEST.value},
            "status": {"$in": [status.value for status in statuses]},
        }
        return self._deliveries.count_documents(wanted, maxTimeMS=QUERY_TIME_MS)

    def lost(self, since: datetime, statuses: Collection[DeliveryStatus], limit: int) -> list[tuple[str, datetime]]:
        """Returns the ids of deliveries that ended after `since` with one of these statuses, and when they did, the newest first. Tests of
        channels do not count, nor does what was written more than a day before."""
        wanted = {
            "created_at": {**ANY_DATE, "$gt": since - timedelta(days=1)},
            "settled_at": {**ANY_DATE, "$gt": since},
            "message.kind": {"$ne": MessageKind.TEST.value},
            "status": {"$in": [status.value for status in statuses]},
        }
        rows = self._deliveries.find(wanted, {"settled_at": 1}).sort("created_at", -1).limit(limit).max_time_ms(QUERY_TIME_MS)
        return [(row["_id"], row["settled_at"]) for row in rows]

    def waiting(self) -> tuple[int, datetime | None]:
        """Returns how many deliveries wait, and since when the first of them does."""
        waits = {"status": WAITING}
        first = self._deliveries.find(waits, {"created_at": 1}).sort([("created_at", 1), ("_id", 1)]).limit(1).max_time_ms(QUERY_TIME_MS)
        count = self._deliveries.count_documents(waits, maxTimeMS=QUERY_TIME_MS)
        return count, next((row["created_at"] for row in first), None)

    def standing_still(self, before: datetime, now: datetime) -> datetime | None:
        """Returns since when the first message has been due of a channel of which nothing was sent or tried after `before`; None if each
        channel moves. A channel that cannot be reached moves too: its messages are tried and put off."""
        due = {"status": WAITING, "channel_id": {"$type": "string"}, "due_at": {**ANY_DATE, "$lt": before}}
        grouped = {"$group": {"_id": "$channel_id", "since": {"$min": "$due_at"}}}
        rows = self._deliveries.aggregate([{"$match": due}, grouped], hint=DUE_INDEX, maxTimeMS=QUERY_TIME_MS)
        return min((row["since"] for row in rows if not self._moves(row["_id"], before, now)), default=None)

    def _moves(self, channel_id: str, before: datetime, now: datetime) -> bool:
        signs: list[Document] = [
            {"status": WAITING, "claim": {"$ne": None}, "due_at": {"$gt": now}},
            {"status": WAITING, "due_at": {"$gt": before}, "attempts.at": {"$gt": before}},
            {"settled_at": {"$gt": before}},
        ]
        sign = {"channel_id": channel_id, "$or": signs}
        return self._deliveries.find_one(sign, {"_id": 1}, max_time_ms=QUERY_TIME_MS) is not None

    def forget(self, before: datetime) -> int:
        """Removes some deliveries that were written before then and do not wait. Returns their number."""
        old = {"created_at": {**ANY_DATE, "$lt": before}, "status": {"$ne": WAITING}}
        ids = [row["_id"] for row in self._deliveries.find(old, {"_id": 1}).limit(FORGOTTEN_AT_ONCE)]
        return self._deliveries.delete_many({"_id": {"$in": ids}, "status": {"$ne": WAITING}}).deleted_count if ids else 0


def _query(wanted: DeliveryFilter) -> Mapping[str, Any]:
    names = ("channel_id", "status", "job_id", "execution_id")
    query: Document = {name: getattr(wanted, name) for name in names if getattr(wanted, name)}
    times = {name: value for name, value in (("$gte", wanted.begin), ("$lt", wanted.end)) if value is not None}
    if times:
        query["created_at"] = times
    if wanted.before is not None:
        at, last_id = wanted.before
        query["$or"] = [{"created_at": {"$lt": at}}, {"created_at": at, "_id": {"$lt": last_id}}]
    return query
