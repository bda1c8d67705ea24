"""Sends signed reports, and keeps those that must not get lost until Jobwright has taken them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from jobwright_client.signatures import Keys
from jobwright_client.state import Owed, State
from jobwright_client.transport import Answer, NoAnswer, Transport, encoded, jittered

log = logging.getLogger("jobwright_client")

TIMEOUT_SECONDS = 10.0
# Answers after which a report is not sent again; all others are temporary (docs/reference/service-protocol.md, "Reports").
FINAL = frozenset({200, 201, 204, 400, 403, 404, 405, 409, 410, 413, 422})
MOST_TRIES = 5000  # about three days of one try a minute


class Sender:
    """Sends reports. `keys` returns the active signing keys, which may change while the program runs."""

    def __init__(self, transport: Transport, keys: Callable[[], Keys], state: State, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._keys = keys
        self._state = state
        self._clock = clock
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, url: str, body: bytes, message_id: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Answer:
        """Sends one report now. It is signed at this moment, because a signature is valid for five minutes. Raises NoAnswer."""
        headers = {"Content-Type": "application/json"}
        keys = self._keys()
        if keys:
            headers.update(keys.sign(message_id, int(self._clock()), body))
        return self._transport.send("POST", url, headers, body, timeout_seconds)

    def owe(self, url: str, token: str, body: Mapping[str, Any]) -> None:
        """Keeps a report, and sends it as soon as Jobwright takes it."""
        self._state.owe(url, token, new_message_id(), encoded(body))
        self._wake.set()

    # -- what is owed ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread that sends what is owed."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="jobwright-sender", daemon=True)
        self._thread.start()

    def stop(self, within_seconds: float) -> None:
        """Sends what is owed, for as long as that is, and ends the thread. What remains is kept by the state."""
        end = self._clock() + within_seconds
        self._wake.set()
        while self._state.owed() and self._clock() < end and self._thread is not None and self._thread.is_alive():
            self._stop.wait(0.02)
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                wait = None if self.send_one() else self._state.next_due_seconds()
                if wait is None and self._state.owed():
                    continue
            except Exception:
                log.exception("Reports cannot be read from the state")
                wait = 5.0
            # Another process may have put reports into a shared state, so this looks again now and then.
            self._wake.wait(30.0 if wait is None else min(wait, 30.0))
            self._wake.clear()

    def send_one(self) -> bool:
        """Sends the report that is due, if there is one. Returns whether there was one."""
        owed = self._state.due()
        if owed is None:
            return False
        try:
            answer = self.send(owed.url, owed.body, owed.message_id)
        except NoAnswer as error:
            self._later(owed, str(error), None)
            return True
        if answer.status in FINAL:
            if answer.status not in {200, 201, 204}:
                log.warning("Jobwright does not take a report: %s", answer.problem())
            self._state.delivered(owed.number)
        else:
            self._later(owed, answer.problem(), answer.retry_after_seconds(self._clock()))
        return True

    def _later(self, owed: Owed, reason: str, wait: float | None) -> None:
        if owed.tries >= MOST_TRIES:
            log.error("A report is given up after %s tries: %s", owed.tries, reason)
            self._state.delivered(owed.number)
            return
        log.log(logging.WARNING if owed.tries == 0 else logging.DEBUG, "A report is kept and sent later: %s", reason)
        self._state.later(owed.number, jittered(owed.tries + 1) if wait is None else wait)


def new_message_id() -> str:
    """Returns an id for a report."""
    return f"rep_{os.urandom(16).hex()}"
