"""What the demo is there to find."""

from __future__ import annotations


class Surprise(Exception):
    """Something was not as it must be; the demo exits non-zero."""


def must(holds: object, otherwise: str) -> None:
    """Raises Surprise unless it holds."""
    if not holds:
        raise Surprise(otherwise)
