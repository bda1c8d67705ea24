"""The W3C trace context: what is accepted, what is written, and ids that follow from an execution."""

from __future__ import annotations

import pytest

from app import traceparent
from app.traceparent import TraceParent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"),
        (f" 00-{TRACE}-{SPAN}-00 ", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-01"),
        (f"01-{TRACE}-{SPAN}-03-what-is-to-come", f"00-{TRACE}-{SPAN}-01"),
        ("", ""),
        (f"00-{TRACE}-{SPAN}-01-more", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE}-{SPAN}", ""),
        (f"00-{TRACE}-{SPAN}-01\r\nX-Evil: 1", ""),
        (f"01-{TRACE}-{SPAN}-01-{'x' * 500}", ""),
    ],
)
def test_only_valid_headers_are_passed_on(text: str, written: str) -> None:
    assert traceparent.valid(text) == written


def test_ids_follow_from_the_execution() -> None:
    assert traceparent.span_of("e") == traceparent.span_of("e") != traceparent.span_of("e", "1") != traceparent.span_of("e", "2")
    above = TraceParent(traceparent.trace_of("e"), traceparent.span_of("e"))
    assert TraceParent.parse(str(above)) == above
    assert str(above.with_span(SPAN)).split("-")[2] == SPAN
