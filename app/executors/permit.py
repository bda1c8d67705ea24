"""Permits to start runs: a node has one for a few seconds at a time, so that a switch that stops every start knows when no node has one."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

PERMIT_SECONDS = 5.0  # a node that does not answer any more is waited for so long


def boot_seconds() -> float:
    """Seconds since the machine began, sleep included; the same in all processes of the machine (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Grant:
    """Until when runs may be claimed by the database's clock (None: without an end), and until when they may begin, in `boot_seconds`."""

    claim_until: datetime | None
    begin_until: float


OPEN = Grant(None, math.inf)
NONE = Grant(None, -math.inf)


class StartPermit:
    """What this node may start. It is open until somebody keeps it (app.scheduling.permits): then only what was granted counts."""

    def __init__(self) -> None:
        self._grant = OPEN
        self._claiming = threading.Lock()

    def grant(self, grant: Grant) -> None:
        """Runs may be started until then."""
        self._grant = grant

    def revoke(self) -> None:
        """Nothing may be started from now on; a claim that is on its way goes on."""
        self._grant = NONE

    def begin_until(self) -> float:
        """Until when a run may begin, in `boot_seconds`."""
        return self._grant.begin_until

    @property
    def holds(self) -> bool:
        """Whether runs may be started now."""
        return boot_seconds() < self._grant.begin_until

    @contextmanager
    def claiming(self) -> Iterator[Grant | None]:
        """The grant for one claim, from its question to the executor having its answer; None where there is none."""
        with self._claiming:
            yield self._grant if self.holds else None

    def is_claiming(self) -> bool:
        """Whether a claim is on its way."""
        return self._claiming.locked()
