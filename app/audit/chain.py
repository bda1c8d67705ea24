"""The chain of audit events: each event holds its number, the seal of the event before it, and a seal over all of its own fields.

A seal is an HMAC-SHA256 (RFC 2104) with a key of the installation. A person who can write to the database but does not have the key cannot
change, insert or remove an event without breaking the chain. Only the newest events can be removed unnoticed. The service therefore logs
each seal (`audit.written`), and the log can be compared with the last event.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from bson.json_util import CANONICAL_JSON_OPTIONS, dumps

from app.keys import KeyRing
from app.mongo import EXACT, Document, as_stored

PURPOSE = "audit"
BEGINNING = "0" * 64  # the first event holds this as the seal of the event before it


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain."""

    seq: int = 0
    seal: str = BEGINNING


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """A place where the chain is broken: the number of the event, and the reason."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The result of a check of the chain.

    `events` is the number of checked events, and `head` the last of them. `unsealed` of them are older than the chain and have no seal.
    `breaks` are the first places where the chain is broken; empty for an intact chain.
    """

    events: int
    unsealed: int
    head: Head
    breaks: tuple[ChainBreak, ...]


def link(event: Document, head: Head, keys: KeyRing) -> Document:
    """Returns `event` as the successor of `head`, in the form in which the database returns it (milliseconds, the types of the driver)."""
    key = keys.derive(PURPOSE)
    stored = as_stored({**event, "seq": head.seq + 1, "previous": head.seal, "key": _name(key)}, EXACT)
    return {**stored, "seal": _seal(stored, key)}


def verify(events: Iterable[Document], keys: KeyRing, *, most_breaks: int = 10) -> ChainReport:
    """Checks all events of the trail, in the order of their numbers. Reports at most `most_breaks` breaks."""
    known = {_name(key): key for key in keys.derive_all(PURPOSE)}
    head, count, unsealed = Head(), 0, 0
    breaks: list[ChainBreak] = []
    for event in events:
        count += 1
        if not isinstance(event.get("seq"), int):
            if len(breaks) < most_breaks:
                breaks.append(ChainBreak(head.seq, f"the event after it has no number: {event.get('_id')}"))
            continue
        if "seal" not in event and unsealed == count - 1:
            unsealed, head = count, Head(int(event["seq"]))
            continue
        reason = _break_reason(event, head, known)
        if reason is not None and len(breaks) < most_breaks:
            breaks.append(ChainBreak(int(event["seq"]), reason))
        head = Head(int(event["seq"]), str(event.get("seal", "")))
    return ChainReport(count, unsealed, head, tuple(breaks))


def _break_reason(event: Document, head: Head, known: dict[str, bytes]) -> str | None:
    if event["seq"] != head.seq + 1:
        return f"{event['seq'] - head.seq - 1} events before it are missing"
    if event.get("previous") != head.seal:
        return "it does not follow the event before it"
    key = known.get(str(event.get("key")))
    if key is None:
        return "it was sealed with an unknown key (add it to JOBWRIGHT_OLD_SECRET_KEYS)"
    body = {name: value for name, value in event.items() if name != "seal"}
    return None if hmac.compare_digest(_seal(body, key), str(event.get("seal"))) else "it was changed after it was written"


def _seal(event: Document, key: bytes) -> str:
    # Fields are sorted by name, because a database may return them in another order.
    text = dumps(event, json_options=CANONICAL_JSON_OPTIONS, sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:12]
