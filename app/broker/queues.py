"""The names of queues and tasks at the message broker. All functions are pure.

A queue is for one route, one band of priorities and one set of labels that a worker must have: `jobwright.reports.high`,
`jobwright.default.normal.gpu+site=berlin`. Where the labels would make the name too long, it has their digest instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

PREFIX = "jobwright"
DEFAULT_ROUTE = "default"
BANDS = ("high", "normal", "low")
RUN = f"{PREFIX}.run"  # the task: its one argument is the id of an execution
PROBE = f"{PREFIX}.probe"  # the task by which a worker sees that messages reach it
LONGEST_NAME = 200  # bytes; AMQP allows 255


def band_of(priority: int) -> str:
    """Returns the band of a priority: 8 to 10 are high, 4 to 7 normal, 1 to 3 low."""
    return "high" if priority >= 8 else "normal" if priority >= 4 else "low"


def queue_name(route: str, priority: int, needs: Iterable[str] = ()) -> str:
    """Returns the queue of a run."""
    return _named(route, band_of(priority), needs)


def queues_of(routes: Iterable[str], needs: Iterable[Collection[str]]) -> list[str]:
    """Returns all queues of some routes, for runs that need no label and for each of the sets of labels in `needs`."""
    return [_named(route, band, labels) for band in BANDS for route in routes for labels in [(), *filter(None, needs)]]


def probe_queue(worker: str) -> str:
    """Returns the queue of the probes of one worker."""
    return f"{PROBE}.{worker}"


def routes_in(queues: Iterable[str]) -> frozenset[str]:
    """Returns the routes that a worker takes, by the queues that it consumes."""
    parts = [name.split(".", 3) for name in queues]
    return frozenset(part[1] for part in parts if len(part) == 3 and part[0] == PREFIX and part[2] in BANDS)


def _named(route: str, band: str, needs: Iterable[str]) -> str:
    start, labels = f"{PREFIX}.{route}.{band}", "+".join(sorted(needs))
    if len(start) + len(labels) >= LONGEST_NAME:
        labels = "#" + hashlib.sha256(labels.encode()).hexdigest()[:32]
    return start + (f".{labels}" if labels else "")
