"""Calls the outside monitor, within a limit that no server can extend."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from app.notification.channels.base import Door, NotDelivered, Refused, Unreachable, errors_of_http, host_of
from templates_lib.messages import say

PING_SECONDS = 20.0  # for the whole call


class Bounded:
    """Makes calls one by one, each in a thread of its own, and waits no longer than `seconds` for one."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread: threading.Thread | None = None

    def call(self, work: Callable[[], Any], place: str) -> None:
        """Returns when `work` has. Raises what it raises, and Unreachable if it takes too long or if an earlier call still waits."""
        too_slow = say("{place} did not answer within {seconds:g} s.", place=place, seconds=self._seconds)
        if self._thread is not None and self._thread.is_alive():
            raise Unreachable(too_slow)
        ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

        def run() -> None:
            try:
                work()
            except Exception as error:
                ended.put(error)
            else:
                ended.put(None)

        self._thread = threading.Thread(target=run, name="monitor call", daemon=True)
        self._thread.start()
        try:
            error = ended.get(timeout=self._seconds)
        except queue.Empty:
            raise Unreachable(too_slow) from None
        if error is not None:
            raise error


class Pinger:
    """Calls one address. `method` is GET or POST."""

    def __init__(self, url: str, method: str, door: Door, *, seconds: float = PING_SECONDS) -> None:
        self._url, self._method, self._door, self._bounded = url, method, door, Bounded(seconds)

    def ping(self) -> str:
        """Calls. Returns why that failed; an empty text if the monitor took it."""
        try:
            self._bounded.call(self._call, host_of(self._url))
        except NotDelivered as error:
            return str(error)
        except Exception as error:
            return say("The call failed unexpectedly: {error}", error=type(error).__name__)
        return ""

    def _call(self) -> None:
        place, headers = host_of(self._url), {"user-agent": "Jobwright"}
        with errors_of_http(place), self._door.http() as client, client.stream(self._method, self._url, headers=headers) as answer:
            status = answer.status_code  # the body says nothing, and may never end
        if not 200 <= status < 300:
            raise Refused(say("{place} answered {status}.", place=place, status=status))
