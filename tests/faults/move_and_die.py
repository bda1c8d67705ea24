"""Cuts a job over, or rolls it back, and is killed at a point on the way: `python -m tests.faults.move_and_die ACTION POINT`.

POINT is a method, with `before:` or `after:`, such as `after:ledger.commit`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from app.audit.model import SYSTEM
from app.config import load_settings
from app.factory import build_services, open_store
from app.handover.store import HandOverStore
from app.jobs.shadowing import Shadowing
from migrations_scripts.unified_scheduler.ledger import Ledger

CLASSES = {"ledger": Ledger, "shadowing": Shadowing, "store": HandOverStore}


def die_at(point: str) -> None:
    """Kills this process before or after the first call of a method."""
    when, _, place = point.partition(":")
    owner, _, name = place.partition(".")
    original = getattr(CLASSES[owner], name)

    def deadly(self: Any, *args: Any, **kwargs: Any) -> Any:
        if when == "after":
            original(self, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(CLASSES[owner], name, deadly)


def main() -> None:
    action, point = sys.argv[1:]
    settings = load_settings()
    services = build_services(settings, open_store(settings))
    die_at(point)
    getattr(services.hand_overs, action)(SYSTEM, "test_scheduler")


if __name__ == "__main__":
    main()
