"""What a node may do: the base class of its duties, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.clock import Clock
from app.config import Settings
from app.node.loops import Loop
from app.node.ticks import Ticks

SETTLE_AFTER_OUTAGE_SECONDS = 5.0  # workers write what they hold before anyone calls them lost


class Unrest:
    """When the database was last away, and when the machine's clock was last set. Both make leases look older than they are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._away_at = self._set_at = float("-inf")

    def note_away(self) -> None:
        """The database did not answer."""
        self._away_at = self._clock.monotonic()

    def note_clock_set(self) -> None:
        """The clock was set."""
        self._set_at = self._clock.monotonic()

    def is_over(self) -> bool:
        """Whether the database has been there for a while."""
        return self._clock.monotonic() - self._away_at > SETTLE_AFTER_OUTAGE_SECONDS

    def clock_set_within(self, seconds: float) -> bool:
        """Whether the clock was set within so many seconds."""
        return self._clock.monotonic() - self._set_at <= seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What the duties of a node share. `name` is unlike any other node's. `wake` says that something waits in the queue, or that capacity
    is free."""

    name: str
    ticks: Ticks
    unrest: Unrest
    clock: Clock
    settings: Settings
    wake: Callable[[], None]


class Duty(ABC):
    """One of the things that a node does. The node calls each method once, in the order in which they stand here, and `wake` at any time.
    `kept_ticks` are the names of the ticks that a drain needs to the end, and `vital_ticks` of those without which it does nothing."""

    kept_ticks: ClassVar[frozenset[str]] = frozenset()
    vital_ticks: ClassVar[frozenset[str]]

    @abstractmethod
    def start(self) -> None:
        """Prepares, and names its ticks. They begin afterwards."""

    @abstractmethod
    def loops(self) -> Sequence[Loop]:
        """Returns the loops that run beside the ticks."""

    def begin(self) -> None:  # noqa: B027 - optional
        """The ticks have begun."""

    def wake(self) -> None:  # noqa: B027 - optional
        """Something waits in the queue, or capacity is free."""

    @abstractmethod
    def stop_taking(self) -> None:
        """Takes on nothing new. Returns at once."""

    def stop(self) -> None:  # noqa: B027 - optional
        """All ticks but `kept_ticks` have ended: begins nothing more of what it has taken on."""

    def finish(self, grace_seconds: float) -> None:  # noqa: B027 - optional
        """Lets end what is under way."""

    def settle(self) -> None:  # noqa: B027 - optional
        """All ticks have ended: writes what others are to know."""

    @abstractmethod
    def close(self) -> None:
        """Frees all resources."""

    @abstractmethod
    def age(self) -> float:
        """Returns the seconds since its most important tick last finished; a stalled or failing one grows."""
