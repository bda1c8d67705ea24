"""Keeps a node's permit to start runs, and gives it up while maintenance is on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from app.events import get_logger
from app.mongo import is_away
from app.sandbox.kernel import boot_seconds
from app.scheduling.maintenance_store import MaintenanceStore
from app.scheduling.node_store import NodeStore
from app.scheduling.permit import PERMIT_SECONDS, Grant, StartPermit

log = get_logger(__name__)

RENEW_SECONDS = 0.5


class PermitKeeper:
    """One turn, each RENEW_SECONDS:

    1. The node writes that it is about to ask for a permit, with the database's time.
    2. It reads the switch. Where maintenance is off, it may start runs for PERMIT_SECONDS from before 1.
    3. Where it is on, the permit ends at once. When no claim is on its way and all that the node holds has begun, or is back in the queue,
       it writes that it rests, with the token of the switch.

    Whoever switches maintenance on writes the switch first, and then waits for each node that has written 1 lately until it rests or its
    permit has run out. A node that asks later reads the switch after it was written. One that is stopped at any line, and goes on after its
    permit, is refused by the claim, which asks the database for its time, and by the run's own process, which looks at the clock.
    """

    def __init__(
        self,
        *,
        permit: StartPermit,
        nodes: NodeStore,
        switch: MaintenanceStore,
        name: str,
        put_back: Callable[[], bool],
        on_end: Callable[[], None],
    ) -> None:
        """`put_back` puts back what has not begun, and says whether all that is left has; `on_end` is called when maintenance has ended."""
        self._permit, self._nodes, self._switch, self._name = permit, nodes, switch, name
        self._put_back, self._on_end = put_back, on_end
        self._rests_for: str | None = None  # the token of the switch that keeps this node from starting
        self._confirmed: str | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="permits", daemon=True)

    def start(self) -> None:
        """Nothing starts before the first permit."""
        self._permit.revoke()
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(RENEW_SECONDS * 4)  # one that a hanging database holds ends with the process
        self._permit.revoke()

    def turn(self) -> None:
        """Ask for a permit, or give it up."""
        began = boot_seconds()
        if self._rests_for is not None and (token := self._switch.token()) is not None:
            self._rest(token)
            return
        asked_at = self._nodes.ask(self._name)
        token = self._switch.token()
        if token is not None:
            self._rest(token)
            return
        self._permit.grant(Grant(asked_at + timedelta(seconds=PERMIT_SECONDS), began + PERMIT_SECONDS))
        if self._rests_for is not None:
            self._rests_for = None
            self._on_end()

    def _rest(self, token: str) -> None:
        self._rests_for = token
        self._permit.revoke()
        if token != self._confirmed and not self._permit.is_claiming() and self._put_back():
            self._nodes.rest(self._name, token)
            self._confirmed = token

    def _loop(self) -> None:
        first = True
        while first or not self._closing.wait(RENEW_SECONDS):
            try:
                self.turn()
            except Exception as error:
                log.warning("permit.not_renewed", reason=str(error)[:200]) if is_away(error) else log.exception("permit.not_renewed")
            if first and self._permit.holds:
                self._on_end()
            first = False
