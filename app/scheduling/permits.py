"""Keeps the permit of a node to start runs, and gives it up while maintenance is on."""

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
    """Takes one turn every RENEW_SECONDS:

    1. The node writes that it asks for a permit; the database adds its own time.
    2. It reads the maintenance switch. If maintenance is off, the node may start runs until PERMIT_SECONDS after the time of step 1.
    3. If it is on, the permit ends at once. As soon as no claim is under way, and every execution that the node holds has begun or is back
       in the queue, the node writes that it rests, with the token of the switch.

    Maintenance is switched on by writing the switch. Then each node that took step 1 lately is waited for until it rests or its permit has
    run out. A node that asks later reads the switch after it was written. A node may be stopped at any line and go on after its permit:
    then the claim refuses it, which asks the database for the time, and so does the process of the run, which looks at the clock.
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
        """`put_back` returns executions that have not begun to the queue; it returns True if all that are left have begun. `on_end` is
        called when maintenance has ended."""
        self._permit, self._nodes, self._switch, self._name = permit, nodes, switch, name
        self._put_back, self._on_end = put_back, on_end
        self._rests_for: str | None = None  # the token of the switch that keeps this node from starting
        self._confirmed: str | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="permits", daemon=True)

    @property
    def rests(self) -> bool:
        """Whether maintenance keeps the node from starting runs."""
        return self._rests_for is not None

    def start(self) -> None:
        """Starts the turns. No run starts before the first permit."""
        self._permit.revoke()
        self._thread.start()

    def close(self) -> None:
        """Ends the turns and gives the permit up."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(RENEW_SECONDS * 4)  # a thread that waits for a database without an answer ends with the process
        self._permit.revoke()

    def turn(self) -> None:
        """Asks for a permit, or gives it up."""
        began = boot_seconds()
        if self._rests_for is not None and (token := self._switch.token()) is not None:
            self._rest(token)
            return
        asked_at = self._nodes.write_permit_request(self._name)
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
            self._nodes.write_rest(self._name, token)
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
