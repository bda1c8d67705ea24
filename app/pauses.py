"""Answers that wait for something without holding a thread of the web server.

An application that waits yields a `Pause` among the parts of its answer (PEP 3333). The web server then gives the thread to other requests
and goes on with the answer later, in any thread. Another server takes a `Pause` for an empty part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# In the environment of a request to the web server: a function that says whether the server is ending. Then nothing may wait any more.
ENDING = "jobwright.ending"


class Pause(bytes):
    """An empty part of an answer. The answer goes on after `seconds`, or earlier if its client has gone or the server ends."""

    seconds: float

    def __new__(cls, seconds: float) -> Pause:
        pause = super().__new__(cls)
        pause.seconds = seconds
        return pause


def is_ending(environ: Mapping[str, Any]) -> bool:
    """Returns whether the server that sent this environment is ending."""
    ending: Callable[[], bool] = environ.get(ENDING, lambda: False)
    return ending()


def pausing(environ: Mapping[str, Any], parts: Generator[bytes, None, T]) -> Generator[bytes, None, T]:
    """Yields the parts of an answer. Under a server that knows no pauses, sleeps through each of them."""
    try:
        while True:
            try:
                part = next(parts)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(part, Pause) and ENDING not in environ:
                time.sleep(part.seconds)
            else:
                yield part
    finally:
        parts.close()


def growing(first: float, most: float) -> Iterator[Pause]:
    """Yields pauses, each half as long again as the one before, up to `most` seconds: 0.1, 0.15, 0.23 …"""
    seconds = first
    while True:
        yield Pause(seconds)
        seconds = min(most, seconds * 1.5)
