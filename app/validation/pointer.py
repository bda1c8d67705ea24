"""JSON Pointers (RFC 6901): reference tokens, escaped and plain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def escape(key: object) -> str:
    """Returns a key as a reference token of a pointer (RFC 6901, 3)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def keys_of(pointer: str) -> list[str]:
    """Returns the keys of a pointer, the outermost first; none for the pointer of the whole value."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def pointer(path: Iterable[Any], prefix: str = "") -> str:
    """Returns the JSON Pointer (RFC 6901) of a path."""
    return prefix + "".join(f"/{escape(part)}" for part in path)
