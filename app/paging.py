"""Pages of lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list with `total` items. Pages count from 1; there is at least one, which may be empty.

    `counted` is False where the list has more than `total` items, which nobody counted.
    """

    items: Sequence[T]
    total: int
    page: int
    pages: int
    counted: bool = True

    @classmethod
    def of(cls, items: Sequence[T], *, total: int, page: int, limit: int) -> Page[T]:
        """Returns a page of a list that has `limit` items on each: 41 items at 20 a page are 3 pages."""
        return cls(items, total, page, page_count(total, limit))

    @classmethod
    def cut(cls, items: Sequence[T], *, page: int, limit: int) -> Page[T]:
        """Returns one page of a list that is in memory, or else its last one: of 41 items at 20 a page, page 2 has the items 21 to 40, and
        page 4 is page 3."""
        page = min(page, page_count(len(items), limit))
        return cls.of(items[(page - 1) * limit : page * limit], total=len(items), page=page, limit=limit)


def page_count(total: int, limit: int) -> int:
    """Returns how many pages `total` items take at `limit` a page, at least 1: 0 → 1, 20 → 1 and 21 → 2 with a limit of 20."""
    return max(1, -(-total // limit))
