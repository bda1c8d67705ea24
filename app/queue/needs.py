"""Which executions a node may take: those that need no label that it does not have. All functions are pure.

An execution carries the labels that it needs twice: as a list, which decides, and as one text, by which an index finds those that suit a
node, however many others wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from app.labels import missing, union
from app.mongo import Document


def needs_fields(needs: Iterable[str]) -> Document:
    """Returns the fields of an execution that needs these labels; none if it needs none."""
    labels = union(needs)
    return {"needs": list(labels), "needs_key": ",".join(labels)} if labels else {}


def with_needs(document: Document, more: Iterable[str]) -> Document:
    """Returns the document of an execution that needs `more` labels besides its own."""
    fields = needs_fields([*document.get("needs", ()), *more])
    return {**document, **fields}


def suits(labels: Collection[str]) -> Mapping[str, Any]:
    """Returns the condition for executions that a node with these labels may take."""
    return {"needs": {"$not": {"$elemMatch": {"$nin": list(labels)}}}}


def suitable_keys(keys: Iterable[str], labels: Collection[str]) -> list[str | None]:
    """Returns those of some values of `needs_key` that a node with these labels may take; None stands for executions without needs."""
    return [None, *(key for key in sorted(keys) if not missing(key.split(","), labels))]
