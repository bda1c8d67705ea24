"""Notes the calls that a run makes over HTTP, for the spans of its trace (W3C Trace Context). Nothing of their content is noted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

MOST_CALLS = 100  # that are noted of one run; more are made and not noted
HEADER = "traceparent"


class CallNotes:
    """The calls of one run so far. Each gets a span of its own, which its header `traceparent` names.

    A run whose only call is one to a service has the span of this call already (`only`): then its header stays as it is.
    """

    def __init__(self, traceparent: str, *, only: bool) -> None:
        self._traceparent, self._only = traceparent, only
        self.made: list[dict[str, Any]] = []

    @contextmanager
    def noting(self, request: httpx.Request) -> Iterator[dict[str, Any]]:
        """Gives a request its span, and notes it with how long it took until its answer or its error. The caller adds `status`."""
        span = "" if self._only else os.urandom(8).hex()
        if span and request.headers.get(HEADER) == self._traceparent:
            version, trace, _, flags = self._traceparent.split("-")
            request.headers[HEADER] = "-".join((version, trace, span, flags))
        note: dict[str, Any] = {"span": span, "method": request.method, "scheme": request.url.scheme, "host": request.url.host}
        note |= {"port": request.url.port, "began": time.time()}
        began = time.monotonic()
        try:
            yield note
        except Exception as error:
            note["error"] = type(error).__name__
            raise
        finally:
            note["seconds"] = time.monotonic() - began
            if len(self.made) < MOST_CALLS:
                self.made.append(note)
