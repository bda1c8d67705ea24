"""Counts requests in MongoDB. A module of its own, because only processes with a web server need the library `limits`."""

from __future__ import annotations

from typing import Any

from limits import RateLimitItemPerMinute
from limits.storage.mongodb import MongoDBStorageBase
from limits.strategies import FixedWindowRateLimiter
from pymongo import MongoClient
from pymongo.database import Database

from app.mongo import Document


class _Storage(MongoDBStorageBase):
    """The counters of `limits`, in the registry's own database and through its own client."""

    STORAGE_SCHEME = None  # the library must not choose this class by an address

    def __init__(self, database: Database[Document]) -> None:
        self._client: MongoClient[Document] = database.client
        super().__init__("", database_name=database.name, counter_collection_name="rate_counters", window_collection_name="rate_windows")

    def __del__(self) -> None:
        """Keeps the client open: the base class would close it, but it belongs to the registry."""

    def _init_mongo_client(self, uri: str | None, **options: Any) -> MongoClient[Document]:  # noqa: ARG002 - the base's signature
        return self._client


class Counter:
    """Counts in windows of a minute. The counts are exact, even if many processes count at the same time."""

    def __init__(self, database: Database[Document]) -> None:
        self._limiter = FixedWindowRateLimiter(_Storage(database))

    def hit(self, name: str, key: str, per_minute: int) -> float | None:
        """Counts one request. Returns None if it is within the limit, else the end of the window in seconds since 1970."""
        bound = RateLimitItemPerMinute(per_minute, namespace=name)
        return None if self._limiter.hit(bound, key) else float(self._limiter.get_window_stats(bound, key).reset_time)
