"""Hooks of schemathesis: every third call has one of its values replaced by one that no schema would think of (SCHEMATHESIS_HOOKS)."""

from __future__ import annotations

from itertools import count
from typing import Any

import schemathesis

NUMBERS = (2**31, 2**63, -(2**63) - 1, 10**20, 10**400)
TEXTS = (
    "\0",
    "a\0b",
    "\u202e",
    "\u200d",
    "\ufeff",
    "\U0010ffff",
    "x" * 500,
    "[",
    "$where",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "localtime",
    "9" * 500,
    "-9223372036854775809",
)
IN_BODIES = (*TEXTS, *NUMBERS, {"\0": 1}, {"$where": "1"}, [[]] * 50)
IN_ADDRESSES = (
    *TEXTS,
    *NUMBERS[:-1],
)  # bytes that are no text cannot be sent by its client: tests/integration/all_rooms/test_odd_addresses.py
_calls = count()


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    number = next(_calls)
    if number % 3:
        return
    parts = [part for part in (case.query, case.path_parameters, case.body) if isinstance(part, dict) and part]
    if not parts:
        return
    part = parts[number // 3 % len(parts)]
    name = sorted(part, key=str)[number // 7 % len(part)]
    odd = IN_BODIES if part is case.body else IN_ADDRESSES
    part[name] = odd[number // 3 % len(odd)]
