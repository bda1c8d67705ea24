"""The W3C trace context as text (www.w3.org/TR/trace-context, `traceparent`), and the ids of spans. Pure.

The ids of an execution's spans follow from the execution, so that every process knows them before the spans are written.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Self

HEADER = "traceparent"
_FORM = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?")
LONGEST = 200  # characters of a header that is looked at
SAMPLED = 1  # the flag that says that the caller records the trace


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A span that others stand below: the trace, the span, and whether it is recorded."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Returns what a header says; None if it is not valid. A later version of the format is read as far as this one knows it."""
        found = _FORM.fullmatch(text.strip()) if len(text) <= LONGEST else None
        if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
            return None
        if not (found["trace"].strip("0") and found["span"].strip("0")):
            return None
        return cls(found["trace"], found["span"], bool(int(found["flags"], 16) & SAMPLED))

    def with_span(self, span_id: str) -> Self:
        """Returns another span of the same trace."""
        return replace(self, span_id=span_id)

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def valid(text: str) -> str:
    """Returns a header in the form of version 00; an empty text if it is not valid."""
    parsed = TraceParent.parse(text)
    return "" if parsed is None else str(parsed)


def trace_of(execution_id: str) -> str:
    """Returns the id of the trace of an execution that nobody's trace has caused."""
    return hashlib.sha256(f"trace {execution_id}".encode()).hexdigest()[:32]


def span_of(execution_id: str, part: str = "") -> str:
    """Returns the id of the span of an execution, or of a part of it, such as `1` for its first attempt."""
    return hashlib.sha256(f"span {execution_id} {part}".encode()).hexdigest()[:16]
