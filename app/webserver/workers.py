"""The threads that run the application."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Workers:
    """A fixed number of threads. They are daemons: a request that never ends does not keep the process from ending."""

    def __init__(self, count: int) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"web-{number}", daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], None]) -> None:
        """Runs `call` as soon as a thread is free, in the order of submission. It must not raise an error."""
        self._calls.put(call)

    def stop(self) -> None:
        """Ends each thread after the calls that were submitted."""
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
