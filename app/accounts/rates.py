"""Limits how many requests a caller may make. The count is in MongoDB, so a limit holds for all processes together."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import TYPE_CHECKING

from pymongo.database import Database

from app.accounts.throttle import network_of
from app.errors import LimitReached
from app.mongo import Document
from templates_lib.messages import say, say_many

if TYPE_CHECKING:
    from app.accounts.rate_storage import Counter


class Rates:
    """Counts requests per minute: of an account by its tokens, to an inbound address, and of a network whose requests prove no account."""

    def __init__(self, database: Database[Document], *, per_minute: int, strangers_per_minute: int) -> None:
        self._database, self._per_minute, self._strangers = database, per_minute, strangers_per_minute

    @cached_property
    def _counter(self) -> Counter:
        from app.accounts.rate_storage import Counter  # noqa: PLC0415 - the scheduler does without it

        return Counter(self._database)

    def count_request(self, account_id: str) -> None:
        """Counts one request of an account. Raises LimitReached."""
        until = self._counter.hit("account", account_id, self._per_minute)
        if until is not None:
            seconds = _seconds_until(until)
            text = say_many(
                "This account may send one request per minute (JOBWRIGHT_API_RATE). The next one is possible in {seconds} s.",
                "This account may send {count} requests per minute (JOBWRIGHT_API_RATE). The next one is possible in {seconds} s.",
                self._per_minute,
                seconds=seconds,
            )
            raise LimitReached(text, retry_after_seconds=seconds)

    def count_delivery(self, inbound_address_id: str, per_minute: int) -> None:
        """Counts one delivery to an inbound address of a job. Raises LimitReached."""
        until = self._counter.hit("inbound", inbound_address_id, per_minute)
        if until is not None:
            seconds = _seconds_until(until)
            text = say_many(
                "This address accepts one delivery per minute. The next one is possible in {seconds} s.",
                "This address accepts {count} deliveries per minute. The next one is possible in {seconds} s.",
                per_minute,
                seconds=seconds,
            )
            raise LimitReached(text, retry_after_seconds=seconds)

    def count_stranger(self, address: str) -> None:
        """Counts one request that proves no account: a wrong token, a sign-in form, a reset link. Raises LimitReached."""
        until = self._counter.hit("stranger", network_of(address), self._strangers)
        if until is not None:
            seconds = _seconds_until(until)
            text = say(
                "Too many requests without a valid sign-in came from your network. The next one is possible in {seconds} s.",
                seconds=seconds,
            )
            raise LimitReached(text, retry_after_seconds=seconds)


def _seconds_until(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
