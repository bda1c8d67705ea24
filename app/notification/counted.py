"""Counts how notifications go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.notification.base import Notifier
from app.queue.execution import Execution


class CountedNotifier(Notifier):
    """A notifier that says of each call whether it was `sent` or `failed`."""

    def __init__(self, notifier: Notifier, count: Callable[[str], None]) -> None:
        self._notifier, self._count = notifier, count

    def send(self, execution: Execution, recipients: Sequence[str]) -> None:
        try:
            self._notifier.send(execution, recipients)
        except Exception:
            self._count("failed")
            raise
        self._count("sent")
