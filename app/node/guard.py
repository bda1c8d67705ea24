"""Keeps an error in one tick from ending the thread that all ticks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.events import get_logger
from app.mongo import is_away

log = get_logger(__name__)


def guarded(name: str, work: Callable[[], Any], on_away: Callable[[], None] = lambda: None) -> None:
    """Do `work`. An error is logged, and the next tick tries again; `on_away` is called where the database did not answer. (An exception
    would end APScheduler's own thread.)"""
    try:
        work()
    except Exception as error:
        if is_away(error):
            on_away()
            log.warning("tick.failed", tick=name, reason=str(error)[:200])
        else:
            log.exception("tick.failed", tick=name)
