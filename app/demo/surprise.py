"""The error of the demo."""

from __future__ import annotations


class Surprise(Exception):
    """Something did not work as expected. The demo ends with exit code 1."""


def must(holds: object, otherwise: str) -> None:
    """Raises Surprise with the text `otherwise` if `holds` is false."""
    if not holds:
        raise Surprise(otherwise)
