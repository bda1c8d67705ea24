"""The database of the sample shop. The numbers do not change with time, so that documentation can name them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from pymongo import MongoClient

Document = dict[str, Any]

INACTIVE, ACTIVE = 1_523, 2_690  # customers: last active seven months ago or earlier, and in the last four months
ORDERS, OPEN_EVERY = 6_000, 7  # each seventh order is open
CITIES = ("Berlin", "Hamburg", "Leipzig", "Munich", "Vienna", "Zurich")
# In these hours of the day (UTC), counted from the one in which the data was made, one city reports no number: a report of it fails.
BAD_HOURS = (0, 8, 16)
BAD_CITY, BAD_TOTAL = "Leipzig", "n/a"
MARK = {"_id": "jobwright sample data"}  # a document of the database; a database without it is never dropped
TIMEOUT_MS = 5_000


def open_orders() -> int:
    """Returns how many orders of the shop are open."""
    return len(range(0, ORDERS, OPEN_EVERY))


def bad_hours(hour: int) -> frozenset[int]:
    """Returns the hours of the day in which a report fails, for data that is made so that one fails in `hour`."""
    return frozenset((hour + later) % 24 for later in BAD_HOURS)


def fill(uri: str, database: str, *, now: datetime, failing_hour: int) -> None:
    """Fills the database of the shop. Replaces what an earlier try left there."""
    with MongoClient[Document](uri, serverSelectionTimeoutMS=TIMEOUT_MS) as client:
        shop = client[database]
        shop["about"].replace_one(MARK, {**MARK, "made_at": now}, upsert=True)
        for name, documents in (
            ("customers", _customers(now)),
            ("orders", _orders(now)),
            ("sales", _sales(bad_hours(failing_hour))),
        ):
            shop[name].drop()
            shop[name].insert_many(documents, ordered=False)


def drop(uri: str, database: str) -> None:
    """Drops the database of the shop if it has its mark."""
    with MongoClient[Document](uri, serverSelectionTimeoutMS=TIMEOUT_MS) as client:
        if client[database]["about"].find_one(MARK) is not None:
            client.drop_database(database)


def _customers(now: datetime) -> Iterator[Document]:
    for number in range(INACTIVE + ACTIVE):
        inactive = number < INACTIVE
        days = 215 + number % 700 if inactive else number % 120
        yield {
            "_id": number + 1,
            "name": f"Customer {number + 1}",
            "email": f"customer{number + 1}@example.com",
            "city": CITIES[number % len(CITIES)],
            "lastActive": now - timedelta(days=days, minutes=number % 1_440),
        }


def _orders(now: datetime) -> Iterator[Document]:
    for number in range(ORDERS):
        yield {
            "_id": number + 1,
            "customer": number * 13 % (INACTIVE + ACTIVE) + 1,
            "status": "shipped" if number % OPEN_EVERY else "open",
            "total": round(5 + number * 7.9 % 240, 2),
            "placedAt": now - timedelta(minutes=number * 11),
        }


def _sales(bad: frozenset[int]) -> Iterator[Document]:
    for hour in range(24):
        for place, city in enumerate(CITIES):
            total = f"{120 + (hour * 37 + place * 61) % 480:.2f}"
            yield {"hour": hour, "city": city, "total": BAD_TOTAL if city == BAD_CITY and hour in bad else total}
