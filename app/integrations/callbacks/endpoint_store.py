"""The `endpoints` collection: the circuit breaker of each endpoint of a service, shared by all nodes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.integrations.callbacks.breaker import Breaker, Circuit
from app.integrations.callbacks.endpoint import MOST_CALLS, Endpoint, LastCall, endpoint_id
from app.mongo import Document, Records
from app.shapes import Anything, Flag, Instant, Listed, Number, Object, Text, instants, one_of, texts, wholes
from templates_lib.messages import parts_of, restored

MILLISECOND = timedelta(milliseconds=1)
LAST_CALL = Object(
    members={
        **texts("execution_id", "job_name"),
        "at": Instant(),
        "succeeded": Flag(),
        "seconds": Number(whole=False),
        "error": Text(nullable=True),
        "said": Anything(optional=True),  # the parts of the error; a call that an older node has noted has none
    }
)
ENDPOINT = Object(
    members={
        **texts("service", "origin"),
        "circuit": one_of([item.value for item in Circuit], Circuit.CLOSED.value),
        **wholes("failures_in_row", "calls", "failures", "pause_ms", "version"),
        **instants("counted_from", "retry_at", "changed_at", nullable=True),
        "last_calls": Listed(of=LAST_CALL),
    }
)


class EndpointStore:
    """Endpoints, each changed by compare-and-set on its version."""

    def __init__(self, database: Database[Document]) -> None:
        self._endpoints = Records(database, "endpoints", ENDPOINT)

    def get(self, service: str, origin: str) -> Endpoint:
        """An endpoint; one of which nothing is stored is closed."""
        row = self._endpoints.find_one({"_id": endpoint_id(service, origin)})
        return Endpoint(service=service, origin=origin) if row is None else _endpoint(row)

    def of_services(self, names: Collection[str]) -> list[Endpoint]:
        """The endpoints of some services, by service and origin."""
        return [_endpoint(row) for row in self._endpoints.find({"service": {"$in": list(names)}}).sort("_id", 1)]

    def put(self, before: Endpoint, after: Endpoint) -> bool:
        """Replace an endpoint; False where somebody has changed it since it was read."""
        document = _document(after, before.version + 1)
        if before.version == 0:
            try:
                self._endpoints.insert_one(document)
            except DuplicateKeyError:
                return False
            return True
        where = {"_id": before.id, "version": before.version}
        return self._endpoints.replace_one(where, document).matched_count == 1

    def forget_unused(self, before: datetime) -> int:
        """Remove the endpoints that were called last before an instant, such as those of instances that have ended. So are those whose
        breaker is open: it would have let a probe through long ago, so nothing goes there any more. Returns how many there were."""
        return self._endpoints.delete_many({"last_calls.0.at": {"$lt": before}}).deleted_count

    def forget(self, service: str) -> None:
        """Remove the endpoints of a service."""
        self._endpoints.delete_many({"service": service})


def _document(endpoint: Endpoint, version: int) -> Document:
    breaker = endpoint.breaker
    return {
        "_id": endpoint.id,
        "service": endpoint.service,
        "origin": endpoint.origin,
        "circuit": breaker.circuit.value,
        "failures_in_row": breaker.failures_in_row,
        "calls": breaker.calls,
        "failures": breaker.failures,
        "counted_from": breaker.counted_from,
        "retry_at": breaker.retry_at,
        "pause_ms": breaker.pause // MILLISECOND,
        "last_calls": [{**asdict(call), "said": parts_of(call.error or "")} for call in endpoint.last_calls[:MOST_CALLS]],
        "changed_at": endpoint.changed_at,
        "version": version,
    }


def _endpoint(row: Document) -> Endpoint:
    return Endpoint(
        service=row["service"],
        origin=row["origin"],
        breaker=Breaker(
            circuit=Circuit(row["circuit"]),
            failures_in_row=row["failures_in_row"],
            calls=row["calls"],
            failures=row["failures"],
            counted_from=row["counted_from"],
            retry_at=row["retry_at"],
            pause=row["pause_ms"] * MILLISECOND,
        ),
        last_calls=tuple(_last_call(call) for call in row["last_calls"]),
        changed_at=row["changed_at"],
        version=row["version"],
    )


def _last_call(row: Document) -> LastCall:
    call = LastCall(**{name: row[name] for name in LastCall.__slots__})
    return call if call.error is None else replace(call, error=restored(call.error, row.get("said")))
