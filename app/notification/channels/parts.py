"""What channels to chats share: texts that are cut where a service would refuse them."""

from __future__ import annotations


def cut(text: str, most: int) -> str:
    """Returns a text of at most `most` characters; a longer one ends with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"
