"""Pages of lists: how many there are."""

from __future__ import annotations

import pytest

from app.paging import Page, page_count


@pytest.mark.parametrize(
    ("total", "limit", "pages"), [(0, 20, 1), (1, 20, 1), (20, 20, 1), (21, 20, 2), (40, 20, 2), (41, 20, 3), (3, 1, 3)]
)
def test_a_list_has_as_many_pages_as_its_items_take(total: int, limit: int, pages: int) -> None:
    assert page_count(total, limit) == pages


def test_a_page_knows_the_whole_list() -> None:
    page = Page.of(["u", "v"], total=42, page=3, limit=20)
    assert (page.items, page.total, page.page, page.pages) == (["u", "v"], 42, 3, 3)


@pytest.mark.parametrize(("page", "items", "shown"), [(1, [0, 1], 1), (2, [2, 3], 2), (3, [4], 3), (9, [4], 3)])
def test_a_list_in_memory_is_cut_into_pages(page: int, items: list[int], shown: int) -> None:
    cut = Page.cut(range(5), page=page, limit=2)
    assert (list(cut.items), cut.total, cut.page, cut.pages) == (items, 5, shown, 3)
    assert (list(Page.cut([], page=page, limit=2).items), Page.cut([], page=page, limit=2).page) == ([], 1)
