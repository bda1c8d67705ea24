"""Opens a connection once, within a time limit, and says in a sentence how that went."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any

from templates_lib.connections import ConnectionKind
from templates_lib.connections.failures import sentence, too_slow
from templates_lib.messages import said, say
from templates_lib.own import Own

GRACE_SECONDS = 0.2  # for the answer of a step that ran into the time limit itself
MOST_AT_ONCE = 32  # a server that is silent may keep a thread after the time limit
_FREE = threading.BoundedSemaphore(MOST_AT_ONCE)


def try_to_open(kind: ConnectionKind, settings: Mapping[str, Any], own: Own, *, seconds: float) -> tuple[bool, str]:
    """Returns whether the connection could be opened within `seconds`, and a sentence about the answer or the failure. `settings` are in
    the clear. Never raises."""
    free = _FREE
    if not free.acquire(blocking=False):
        return False, say("Too many connections are being tested at the moment. Try again in a few seconds.")
    answers: queue.SimpleQueue[tuple[bool, str]] = queue.SimpleQueue()

    def probe() -> None:
        try:
            answers.put((True, said(kind.probe(settings, own, seconds))))
        except Exception as error:
            answers.put((False, sentence(error, kind.place(settings), seconds)))
        finally:
            free.release()

    threading.Thread(target=probe, name="try-connection", daemon=True).start()
    try:
        return answers.get(timeout=seconds + GRACE_SECONDS)
    except queue.Empty:
        return False, too_slow(kind.place(settings), seconds)
