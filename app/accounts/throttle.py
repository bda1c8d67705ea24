"""Slows guessing down: attempts are counted before they are judged, so that many at once are no more than many in a row."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import LimitReached
from app.mongo import Document
from templates_lib.messages import say

FORGOTTEN_AFTER = timedelta(hours=24)
STEEPEST = 20  # doublings; beyond, the longest wait holds anyhow


@dataclass(frozen=True, slots=True)
class Bound:
    """`free` attempts without a wait; after each further one the wait doubles from a second up to `longest_seconds`."""

    name: str
    free: int
    longest_seconds: int


# From one place at one account; from one place at all; at one account from places that its owner never signed in from. The last one cannot
# lock an owner out: whose browser has signed in before is counted apart (device cookies, OWASP: "Slow Down Online Guessing Attacks").
PAIR = Bound("pair", 5, 900)
PLACE = Bound("place", 30, 900)
ACCOUNT = Bound("account", 50, 60)
DEVICE = Bound("device", 10, 900)


class Throttle:
    """The `sign_in_attempts` collection."""

    def __init__(self, database: Database[Document]) -> None:
        self._attempts = database["sign_in_attempts"]

    def take(self, bound: Bound, key: str, now: datetime) -> None:
        """Count one attempt, which may be judged then. Raises LimitReached with the seconds until one may."""
        name = f"{bound.name}:{key}"
        count = {"$add": [{"$ifNull": ["$count", 0]}, 1]}
        over = {"$subtract": ["$count", bound.free]}
        wait = {"$min": [bound.longest_seconds * 1000, {"$multiply": [1000, {"$pow": [2, {"$min": [over, STEEPEST]}]}]}]}
        update: list[Document] = [
            {"$set": {"count": count, "expires_at": now + FORGOTTEN_AFTER}},
            {"$set": {"until": {"$cond": [{"$gte": [over, 0]}, {"$add": [now, {"$toLong": wait}]}, None]}}},
        ]
        free_now = {"_id": name, "$or": [{"until": None}, {"until": {"$lte": now}}]}
        while True:
            try:
                self._attempts.update_one(free_now, update, upsert=True)
            except DuplicateKeyError:  # it is there: its wait is not over, or another attempt has made it a moment ago
                row = self._attempts.find_one({"_id": name}) or {}
                until: datetime | None = row.get("until")
                if until is not None and until > now:
                    seconds = math.ceil((until - now).total_seconds())
                    raise LimitReached(
                        say("Too many attempts; try again in {seconds} s", seconds=seconds), retry_after_seconds=seconds
                    ) from None
            else:
                return

    def forget(self, bound: Bound, key: str) -> None:
        """The attempt was a good one: those before it are forgiven."""
        self._attempts.delete_one({"_id": f"{bound.name}:{key}"})


def place_of(address: str) -> str:
    """The network that one attacker is likely to have all of: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
