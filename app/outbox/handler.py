"""Who carries out what records owe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from typing import ClassVar, Generic, Protocol, TypeVar

from app.outbox.model import Owed


class HasId(Protocol):
    """A record that can be named."""

    @property
    def id(self) -> str: ...


Record = TypeVar("Record", bound=HasId)

LONGEST_DELAY = timedelta(hours=1)


class Later(Exception):
    """The item cannot be carried out yet, and that is no failure: it is due again after `delay`, and the try does not count."""

    def __init__(self, delay: timedelta) -> None:
        super().__init__(f"again in {delay.total_seconds():g} s")
        self.delay = delay


class Handler(ABC, Generic[Record]):
    """Carries out one thing that records owe. Delivery is at least once, so `carry_out` must bear being called again for the same record.

    `name` is what records owe; it is stored, so it stays. A try may take `claim_for`; after that another node may try. A failed try is
    repeated after `first_delay`, which doubles with each further failure up to LONGEST_DELAY; after `most_tries` failures the item is given
    up, and a person can see it and ask for it again. Without a failure no item waits for `longest_wait` or longer: Later asks for less.
    """

    name: ClassVar[str]
    most_tries: ClassVar[int] = 5
    claim_for: ClassVar[timedelta] = timedelta(seconds=60)
    first_delay: ClassVar[timedelta] = timedelta(seconds=60)
    longest_wait: ClassVar[timedelta] = timedelta(minutes=3)  # more than an event waits for its change (UNCONFIRMED), and clocks differ

    @abstractmethod
    def carry_out(self, record: Record) -> None:
        """Do it. Raises Later where it cannot be done yet, and any other exception where it failed."""

    def wants_still(self, record: Record) -> bool:  # noqa: ARG002 - the default wants every record
        """Whether there is anything to do for `record`; where not, the item is settled without `carry_out`."""
        return True

    def delay_after(self, item: Owed) -> timedelta:
        """How long to wait after try number `item.tries` failed."""
        doublings = min(max(item.tries - 1, 0), 20)
        return min(self.first_delay * (1 << doublings), LONGEST_DELAY)
