"""The `inbound_deliveries` collection."""

from __future__ import annotations

from pymongo.database import Database

from app.integrations.inbound.model import Delivery, Outcome, delivery_from
from app.mongo import Document, Records
from app.shapes import Anything, Instant, Listed, Number, Object, one_of, texts, wholes

KEPT = 50  # deliveries of an address
DELIVERY = Object(
    members={
        **texts("address_id", "job_id", "sender", "reason", "delivery_id", "body"),
        "at": Instant(),
        "outcome": one_of([item.value for item in Outcome], Outcome.REFUSED.value),
        **wholes("status", "size"),
        "said": Anything(optional=True),  # the parts of the reason
        "errors": Listed(of=Object(members={**texts("pointer", "message"), "said": Anything(optional=True)})),
        **texts("execution_id", "approval_id", nullable=True),
        "count": Number(least=1, default=1),
    }
)


class DeliveryStore:
    """The last deliveries of each address. They also go by themselves after some time."""

    def __init__(self, database: Database[Document]) -> None:
        self._deliveries = Records(database, "inbound_deliveries", DELIVERY)

    def add(self, delivery: Delivery) -> None:
        """Stores a delivery, and forgets those of its address beyond the last KEPT."""
        self._deliveries.insert_one(delivery.document())
        self._forget_old(delivery.address_id)

    def add_alike(self, delivery: Delivery) -> None:
        """Counts a delivery with the others of the same id, of which only the first one is stored: a flood writes one document a minute."""
        first = {key: value for key, value in delivery.document().items() if key not in {"_id", "count"}}
        counted = self._deliveries.update_one({"_id": delivery.id}, {"$setOnInsert": first, "$inc": {"count": 1}}, upsert=True)
        if counted.upserted_id is not None:
            self._forget_old(delivery.address_id)

    def of(self, job_id: str, *, address_id: str | None = None, limit: int = KEPT) -> list[Delivery]:
        """Returns the last deliveries to a job, or to one of its addresses, newest first."""
        where = {"job_id": job_id, **({"address_id": address_id} if address_id else {})}
        return [delivery_from(row) for row in self._deliveries.find(where).sort([("at", -1), ("_id", -1)]).limit(limit)]

    def remove_of(self, address_id: str) -> None:
        self._deliveries.delete_many({"address_id": address_id})

    def _forget_old(self, address_id: str) -> None:
        oldest = list(self._deliveries.find({"address_id": address_id}, {"at": 1}).sort("at", -1).skip(KEPT).limit(1))
        if oldest:
            self._deliveries.delete_many({"address_id": address_id, "at": {"$lte": oldest[0]["at"]}})
