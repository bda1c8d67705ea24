"""What the periodic tasks of a node share: one item that cannot be dealt with holds up no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from app.events import get_logger
from app.mongo import is_permanent

log = get_logger(__name__)

Item = TypeVar("Item")
Made = TypeVar("Made")


def each(
    tick: str, items: Iterable[Item], work: Callable[[Item], Made], *, give_up: Callable[[Item, Exception], object] | None = None
) -> Iterator[Made]:
    """What `work` makes of each of the items. One at which it raises for good is logged, left out and handed to `give_up`, which may set it
    aside so that it does not come again. Raises where the database is away: the others would fail as well."""
    for item in items:
        try:
            made = work(item)
        except Exception as error:
            if not is_permanent(error):
                raise
            log.exception("item.refused", tick=tick)
            if give_up is not None:
                _set_aside(tick, item, error, give_up)
        else:
            yield made


def _set_aside(tick: str, item: Item, error: Exception, give_up: Callable[[Item, Exception], object]) -> None:
    try:
        give_up(item, error)
    except Exception as again:
        if not is_permanent(again):
            raise
        log.exception("item.refused", tick=tick)
