"""The permit of a node to start runs. A node has one for a few seconds at a time, so that a switch that stops every start knows when no
node has one."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from app.sandbox.kernel import boot_seconds

PERMIT_SECONDS = 5.0  # a permit holds so long; so long is waited for a node that does not answer any more


@dataclass(frozen=True, slots=True)
class Grant:
    """Until when a node may start runs: claim them, by the database's clock (None: without an end), and begin them, in `boot_seconds`."""

    claim_until: datetime | None
    begin_until: float


OPEN = Grant(None, math.inf)
NONE = Grant(None, -math.inf)


class StartPermit:
    """What this node may start. It is open until a PermitKeeper keeps it (app.scheduling.permits); then only what was granted counts."""

    def __init__(self) -> None:
        self._grant = OPEN
        self._claiming = threading.Lock()

    def grant(self, grant: Grant) -> None:
        """Runs may be started as long as the grant says."""
        self._grant = grant

    def revoke(self) -> None:
        """Nothing may be started from now on. A claim that is on its way goes on."""
        self._grant = NONE

    def begin_until(self) -> float:
        """Returns until when a run may begin, in `boot_seconds`."""
        return self._grant.begin_until

    @property
    def holds(self) -> bool:
        """Whether runs may be started now."""
        return boot_seconds() < self._grant.begin_until

    @contextmanager
    def claiming(self) -> Iterator[Grant | None]:
        """Gives the grant for one claim, which ends when the executor has its runs; None if there is no grant."""
        with self._claiming:
            yield self._grant if self.holds else None

    def is_claiming(self) -> bool:
        """Returns whether a claim is on its way."""
        return self._claiming.locked()
