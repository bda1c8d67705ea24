"""Removes indexes in a way that can be done again: a migration that was killed half-way is run once more from its beginning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymongo.collection import Collection


def drop_indexes(collection: Collection[dict[str, Any]], names: Iterable[str]) -> None:
    """Removes the indexes of these names. An index that is not there, or a collection that is not there, is no error."""
    existing = collection.index_information()
    for name in names:
        if name in existing:
            collection.drop_index(name)
