"""Secrets that are replaced in texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SHORTEST_SECRET = 3  # characters; a shorter one would mask half of a text
MASKED = "***"


class Mask:
    """Replaces secrets in texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """A secret of several lines is masked line by line, as it is printed."""
        parts = {part for secret in secrets for part in (secret, *secret.splitlines()) if len(part.strip()) >= SHORTEST_SECRET}
        self._parts = sorted(parts, key=len, reverse=True)
        self.longest = len(self._parts[0]) if self._parts else 0

    def text(self, text: str) -> str:
        """Returns a text without secrets."""
        for part in self._parts:
            text = text.replace(part, MASKED)
        return text

    def value(self, value: Any) -> Any:
        """Returns a JSON value without secrets in its texts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(name): self.value(item) for name, item in value.items()}
        return value
