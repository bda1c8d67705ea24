"""The posted pairs of one form as a tree."""

from __future__ import annotations

from collections.abc import Iterable

from web.forms.limits import DEEPEST


class Post:
    """One posted name with its texts and the names below it: names are split at their dots."""

    __slots__ = ("parts", "texts")

    def __init__(self) -> None:
        self.parts: dict[str, Post] = {}
        self.texts: list[str] = []

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], prefix: str) -> Post:
        """Returns the tree of the names that are `prefix` or below it; names of other forms are ignored."""
        root, begin = cls(), prefix + "."
        for name, text in pairs:
            if name == prefix:
                root.texts.append(text)
            elif name.startswith(begin):
                parts = name[len(begin) :].split(".")
                if len(parts) <= 2 * DEEPEST:
                    node = root
                    for part in parts:
                        node = node.parts.setdefault(part, cls())
                    node.texts.append(text)
        return root

    def last(self, part: str = "", default: str = "") -> str:
        """Returns the last text posted here, or at the name `part` below; `default` if there is none.

        HTML posts line breaks as CRLF; the person meant LF.
        """
        node = self.parts.get(part) if part else self
        return node.texts[-1].replace("\r\n", "\n") if node is not None and node.texts else default
