"""Opens a connection once, within a time limit, and says in a sentence how that went."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from templates_lib.connections import ConnectionKind
from templates_lib.connections.failures import sentence, too_slow
from templates_lib.messages import said, say
from templates_lib.own import Own

GRACE_SECONDS = 0.2  # for the answer of a step that ran into the time limit itself
MOST_AT_ONCE = 32  # a server that is silent may keep a thread after the time limit
MOST_AT_ONE_PLACE = 4  # so that a server that never stops answering does not keep all of these threads
_lock, _running = threading.Lock(), Counter[str]()  # the threads of each place


def try_to_open(kind: ConnectionKind, settings: Mapping[str, Any], own: Own, *, seconds: float) -> tuple[bool, str]:
    """Returns whether the connection could be opened within `seconds`, and a sentence about the answer or the failure. `settings` are in
    the clear. Never raises."""
    place = _place(kind, settings)
    running = _running
    with _lock:
        if running[place] >= MOST_AT_ONE_PLACE:
            return False, too_slow(place, seconds)
        if running.total() >= MOST_AT_ONCE:
            return False, say("Too many connections are being tested at the moment. Try again in a few seconds.")
        running[place] += 1
    answers: queue.SimpleQueue[tuple[bool, str]] = queue.SimpleQueue()

    def probe() -> None:
        try:
            answers.put((True, said(kind.probe(settings, own, seconds))))
        except Exception as error:
            answers.put((False, sentence(error, place, seconds)))
        finally:
            with _lock:
                running[place] -= 1
                if not running[place]:
                    del running[place]

    threading.Thread(target=probe, name="try-connection", daemon=True).start()
    try:
        return answers.get(timeout=seconds + GRACE_SECONDS)
    except queue.Empty:
        return False, too_slow(place, seconds)


def _place(kind: ConnectionKind, settings: Mapping[str, Any]) -> str:
    """Returns where a connection leads; what it is called in general if its settings cannot be read."""
    try:
        return kind.place(settings)
    except Exception:
        return said(kind.name)
