"""Slows down guessing. An attempt is counted before it is checked, so simultaneous attempts have no advantage over consecutive ones."""

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
MOST_DOUBLINGS = 20  # doublings of the wait; the longest wait is reached before


@dataclass(frozen=True, slots=True)
class Bound:
    """Allows `free` attempts without a wait. After each further attempt the wait doubles, from one second up to `longest_seconds`."""

    name: str
    free: int
    longest_seconds: int


# A browser that has signed in to an account before is counted by DEVICE alone, so guesses of others cannot lock an owner out (device
# cookies, OWASP: "Slow Down Online Guessing Attacks").
PAIR = Bound("pair", 5, 900)  # from one network, at one account
NETWORK = Bound("place", 30, 900)  # from one network, at any account
ACCOUNT = Bound("account", 50, 60)  # at one account, from any network
DEVICE = Bound("device", 10, 900)  # at one account, from a browser that its owner has used


class Throttle:
    """Counts attempts in the collection `sign_in_attempts`."""

    def __init__(self, database: Database[Document]) -> None:
        self._attempts = database["sign_in_attempts"]

    def take(self, bound: Bound, key: str, now: datetime) -> None:
        """Counts one attempt before it is checked. Raises LimitReached, with the seconds to wait, if it may not be checked yet."""
        name = f"{bound.name}:{key}"
        count = {"$add": [{"$ifNull": ["$count", 0]}, 1]}
        over = {"$subtract": ["$count", bound.free]}
        wait = {"$min": [bound.longest_seconds * 1000, {"$multiply": [1000, {"$pow": [2, {"$min": [over, MOST_DOUBLINGS]}]}]}]}
        update: list[Document] = [
            {"$set": {"count": count, "expires_at": now + FORGOTTEN_AFTER}},
            {"$set": {"until": {"$cond": [{"$gte": [over, 0]}, {"$add": [now, {"$toLong": wait}]}, None]}}},
        ]
        free_now = {"_id": name, "$or": [{"until": None}, {"until": {"$lte": now}}]}
        while True:
            try:
                self._attempts.update_one(free_now, update, upsert=True)
            except DuplicateKeyError:  # the document exists: its wait is not over, or another attempt has just created it
                row = self._attempts.find_one({"_id": name}) or {}
                until: datetime | None = row.get("until")
                if until is not None and until > now:
                    seconds = math.ceil((until - now).total_seconds())
                    raise LimitReached(
                        say("Too many attempts. The next one is possible in {seconds} s.", seconds=seconds), retry_after_seconds=seconds
                    ) from None
            else:
                return

    def forget(self, bound: Bound, key: str) -> None:
        """Forgets all attempts, after a successful one."""
        self._attempts.delete_one({"_id": f"{bound.name}:{key}"})


def network_of(address: str) -> str:
    """Returns the network that one attacker is likely to control completely: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
