"""The chain that audit events form: each holds its number, the seal of the one before it, and a seal over all of that.

The seal is an HMAC-SHA256 (RFC 2104) with a key of the installation: who can write to the database and has not the key can neither change,
insert nor remove an event without the chain showing it. The end is the one place where events can be cut off unseen from within: the
service logs each seal (`audit.written`), and whoever keeps the log elsewhere can compare.
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
BEGINNING = "0" * 64  # what the first event holds in place of a seal before it


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain."""

    seq: int = 0
    seal: str = BEGINNING


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain does not hold, and how."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`events` were looked at, the last of which is `head`; `older` of them have no seal, as they are older than the chain; `breaks` are
    the first places where it does not hold."""

    events: int
    older: int
    head: Head
    breaks: tuple[Break, ...]


def link(event: Document, head: Head, keys: KeyRing) -> Document:
    """`event` as the one after `head`, in the form that the database gives back (milliseconds, the driver's types)."""
    key = keys.derive(PURPOSE)
    stored = as_stored({**event, "seq": head.seq + 1, "previous": head.seal, "key": _name(key)}, EXACT)
    return {**stored, "seal": _seal(stored, key)}


def verify(events: Iterable[Document], keys: KeyRing, *, most_breaks: int = 10) -> Verdict:
    """Walk `events`, which are all there are, by their numbers."""
    known = {_name(key): key for key in keys.derive_all(PURPOSE)}
    head, count, older = Head(), 0, 0
    breaks: list[Break] = []
    for event in events:
        count += 1
        if not isinstance(event.get("seq"), int):
            if len(breaks) < most_breaks:
                breaks.append(Break(head.seq, f"after it stands one without a number: {event.get('_id')}"))
            continue
        if "seal" not in event and older == count - 1:
            older, head = count, Head(int(event["seq"]))
            continue
        reason = _wrong(event, head, known)
        if reason is not None and len(breaks) < most_breaks:
            breaks.append(Break(int(event["seq"]), reason))
        head = Head(int(event["seq"]), str(event.get("seal", "")))
    return Verdict(count, older, head, tuple(breaks))


def _wrong(event: Document, head: Head, known: dict[str, bytes]) -> str | None:
    if event["seq"] != head.seq + 1:
        return f"{event['seq'] - head.seq - 1} events before it are missing"
    if event.get("previous") != head.seal:
        return "it does not follow the event before it"
    key = known.get(str(event.get("key")))
    if key is None:
        return "it was sealed with a key that is not known here (JOBWRIGHT_OLD_SECRET_KEYS)"
    body = {name: value for name, value in event.items() if name != "seal"}
    return None if hmac.compare_digest(_seal(body, key), str(event.get("seal"))) else "it was changed after it was written"


def _seal(event: Document, key: bytes) -> str:
    # Members in the order of their names: a database may give them back in another.
    text = dumps(event, json_options=CANONICAL_JSON_OPTIONS, sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:12]
