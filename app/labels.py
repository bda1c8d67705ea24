"""Labels of nodes: what a node has (`gpu`, `site=berlin`), and what a job or a template needs of the node that runs it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

# A label is a name, or a name and a value. It has no character that a shell, an address or a list with commas takes for its own.
LABEL_PATTERN = r"[a-z0-9][a-z0-9._-]*(=[a-z0-9][a-z0-9._-]*)?"
LONGEST_LABEL = 63  # characters, as in Kubernetes
MOST_LABELS = 32  # of one node
MOST_NEEDS = 16  # of one job or template


def is_label(text: str) -> bool:
    """Returns whether a text is a label."""
    return len(text) <= LONGEST_LABEL and re.fullmatch(LABEL_PATTERN, text) is not None


def union(*needs: Iterable[str]) -> tuple[str, ...]:
    """Returns all labels in these lists, sorted, each once."""
    return tuple(sorted({label for labels in needs for label in labels}))


def missing(needs: Iterable[str], labels: Collection[str]) -> tuple[str, ...]:
    """Returns the labels in `needs` that a node with `labels` does not have."""
    return tuple(label for label in needs if label not in labels)
