"""A process that dies at a given write, without a process: what it would have done afterwards never reaches the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.database import Database

WRITES = {
    Collection: (
        "insert_one",
        "insert_many",
        "update_one",
        "update_many",
        "replace_one",
        "delete_one",
        "delete_many",
        "bulk_write",
        "create_index",
        "create_indexes",
        "drop_index",
        "drop",
        "rename",
    ),
    Database: ("create_collection", "drop_collection"),
}


class Killed(BaseException):
    """The process ends here: nothing that it does afterwards reaches the database."""


@contextmanager
def killed_at_write(number: int) -> Iterator[None]:
    """Lets that many writes reach the database, and no more."""
    left = number

    def dying(write: Any) -> Any:
        def wrapped(self: Any, *args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return write(self, *args, **options)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for owner, names in WRITES.items():
            for name in names:
                patch.setattr(owner, name, dying(getattr(owner, name)))
        yield
