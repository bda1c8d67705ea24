"""Limits on time and memory of clients, and the choice of the connections to close when there are too many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

SPARE_FILES = 512  # open files that a process needs beside its clients: MongoDB, logs, job processes, spools


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one server. The time of a client is limited in total and not from byte to byte, so slow sending does not extend it."""

    body_bytes: int
    connections: int
    head_bytes: int = 64_000
    head_seconds: float = 10  # from the first byte of a request to the end of its head
    idle_seconds: float = 10  # from one request of a connection to the next
    grace_seconds: float = 10  # for a body, or for taking an answer, beside what its bytes allow
    slowest_bytes_per_second: int = 4_000
    linger_seconds: float = 2  # for a client that still sends what is not wanted, so that it sees the answer
    answer_bytes: int = 64_000_000  # of one answer, kept for a client that takes it slowly; a longer one waits for the client
    held_bytes: int = 512_000_000  # of all bodies and answers that wait for clients

    def transfer_seconds(self, size: int) -> float:
        """Returns the seconds that `size` bytes may take: 10 s, and a second for each 4,000 bytes. 2 MB: 510 s, 8 kB: 12 s."""
        return self.grace_seconds + size / self.slowest_bytes_per_second


@dataclass(frozen=True, slots=True)
class Place:
    """What the choice of the connections to close knows of one connection."""

    address: str
    since: float
    waits: bool  # for its client: it holds no thread and no finished request


def leaving_order(places: Sequence[Place]) -> Iterator[int]:
    """The indices of the connections to close when there are too many, one after the other; none has work of the server's to wait for.

    1. Only those that wait for their client.
    2. Of these, those of the address that has most of them left.
    3. Of these, the one that has waited longest.
    """
    waiting = defaultdict[str, list[int]](list)
    for index in sorted((index for index, place in enumerate(places) if place.waits), key=lambda index: -places[index].since):
        waiting[places[index].address].append(index)
    heap = [(-len(own), places[own[-1]].since, address) for address, own in waiting.items()]
    heapify(heap)
    while heap:
        _, _, address = heappop(heap)
        own = waiting[address]
        yield own.pop()
        if own:
            heappush(heap, (-len(own), places[own[-1]].since, address))


def affordable_connections(wanted: int, open_files: int) -> int:
    """How many of the connections `wanted` fit into a process that may have so many files open: at least 16."""
    return max(16, min(wanted, open_files - SPARE_FILES))
