"""What a notifier promises, and who is to be told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

# Ends that count as a failure for `notifications.on_failure`; a cancelled or skipped run is nobody's alarm.
FAILURES = frozenset({"failed", "timeout", "missed"})


class Notifier(ABC):
    """Delivers the outcome of one execution."""

    @abstractmethod
    def send(self, execution: Mapping[str, Any], recipients: Sequence[str]) -> None:
        """Tell `recipients`. Raises any exception where that did not work; the same call is then made again later."""


def recipients_of(notifications: Mapping[str, Any], status: str) -> list[str]:
    """Whom the job's `notifications` name for an execution that ended as `status`."""
    chosen = "on_success" if status == "success" else "on_failure" if status in FAILURES else ""
    return list(notifications.get(chosen, ()))
