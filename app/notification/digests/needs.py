"""The part of a digest about what needs a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from app.audit.model import Actor
from app.connections.service import Connections
from app.execution.given_up import GivenUp
from app.notification.digests.model import Line, Reading, Section
from app.validation.terminal import one_line
from templates_lib.messages import say, say_many

LONGEST_REASON = 160  # characters


class NeedsPerson:
    """Reads the requests for approval that wait (`approvals` counts those that somebody sees), connections that do not answer, follow-ups
    that were given up, and notifications that did not arrive (`undelivered` counts them)."""

    def __init__(
        self, *, approvals: Callable[[Actor], int], connections: Connections, given_up: GivenUp, undelivered: Callable[[Reading], int]
    ) -> None:
        self._approvals, self._connections, self._given_up, self._undelivered = approvals, connections, given_up, undelivered

    def __call__(self, reading: Reading) -> Iterable[Section]:
        yield Section.of("needs_person", say("Needs attention"), self._lines(reading), path="/")

    def _lines(self, reading: Reading) -> Iterator[Line]:
        if not reading.tags:
            waiting = self._approvals(reading.reader)
            if waiting:
                words = say_many("{count} request waits for approval", "{count} requests wait for approval", waiting)
                yield Line(words=words, path="/approvals")
        if reading.of_everything:
            for condition in self._connections.conditions():
                if not condition.works:
                    words = say("Connection {name} does not answer", name=one_line(condition.name))
                    yield Line(words=words, path="/connections", detail=one_line(condition.message)[:LONGEST_REASON])
            yield from self._lost(reading)

    def _lost(self, reading: Reading) -> Iterator[Line]:
        dropped = sum(reading.begin < item.given_up_at <= reading.end for item in self._given_up.items(reading.reader))
        if dropped:
            words = say_many("{count} follow-up was given up", "{count} follow-ups were given up", dropped)
            yield Line(words=words, path="/system")
        undelivered = self._undelivered(reading)
        if undelivered:
            words = say_many("{count} notification did not arrive", "{count} notifications did not arrive", undelivered)
            yield Line(words=words, path="/deliveries")
