"""Slots bound how many runs go on at once. A run takes one slot of its job, and one of each other bound that it falls under.

A slot is a number below a bound, written as a key that is unique among all executions (index `slots`). So no bound is ever exceeded,
whoever races for it, and a slot becomes free in the same write that ends its run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.config import Settings
from app.mongo import Document

ENUMERATED = 64  # a larger bound is asked for as a range of keys


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBounds:
    """How many runs may go on at once on all nodes together, beside each job's own bound.

    `groups` is by concurrency group; a group that is not named has one slot. `templates` is by template; one that is not named has no
    bound. `overall` is of all runs; 0 means no bound.
    """

    groups: Mapping[str, int] = field(default_factory=dict)
    templates: Mapping[str, int] = field(default_factory=dict)
    overall: int = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> RunBounds:
        return cls(groups=dict(settings.group_limits), templates=dict(settings.template_limits), overall=settings.max_running)

    def of(self, row: Document) -> list[tuple[str, int]]:
        """(prefix of the keys, how many) of each bound that an execution falls under; its job's own first."""
        bounds = [(f"{row['job_id']}#", int(row["max_instances"]))]
        group, template = row.get("concurrency_group"), row["template_type"]
        if group:
            bounds.append((f"group:{group}#", self.groups.get(group, 1)))
        if template in self.templates:
            bounds.append((f"template:{template}#", self.templates[template]))
        if self.overall:
            bounds.append(("all#", self.overall))
        return bounds


def slots_query(rows: Iterable[Document], bounds: RunBounds) -> Document | None:
    """A filter that finds the executions which hold any slot that `rows` could want; None where each row holds all that it needs."""
    keys: list[str] = []
    ranges: list[Document] = []
    for prefix, most in dict.fromkeys(bound for row in rows for bound in _missing(row, bounds)):
        if most <= ENUMERATED:
            keys += [f"{prefix}{number}" for number in range(most)]
        else:
            ranges.append({"slots": {"$elemMatch": {"$gte": prefix, "$lt": prefix[:-1] + "$"}}})  # "$" follows "#"
    alternatives = [*([{"slots": {"$in": keys}}] if keys else []), *ranges]
    if not alternatives:
        return None
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def assign(rows: Sequence[Document], used: set[str], bounds: RunBounds) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Slots for the rows, which are served in their order; `used` are the keys that are taken.

    Returns the slots of each row that can have all it needs, by its id, and for each other row the prefix of the bound that has none left.
    """
    assigned: dict[str, list[str]] = {}
    blocked: dict[str, str] = {}
    free: dict[str, Iterator[str]] = {}
    spare: dict[str, str] = {}  # the next free key of a bound, looked up and not given away yet
    for row in rows:
        held: list[str] = list(row.get("slots", ()))
        keys: list[str] = []
        for prefix, most in _missing(row, bounds):
            if prefix not in free:
                free[prefix] = (key for key in (f"{prefix}{number}" for number in range(most)) if key not in used)
            if prefix not in spare and (key := next(free[prefix], None)) is not None:
                spare[prefix] = key
            if prefix not in spare:
                blocked[row["_id"]] = prefix
                break
            keys.append(prefix)
        else:
            assigned[row["_id"]] = held + [spare.pop(prefix) for prefix in keys]
    return assigned, blocked


def prefix_of(key: str) -> str:
    """The bound that a slot is under."""
    return key.rpartition("#")[0] + "#"


def _missing(row: Document, bounds: RunBounds) -> list[tuple[str, int]]:
    """The bounds under which the execution has no slot yet; one that was put back holds its job's."""
    return bounds.of(row)[1 if row.get("slots") else 0 :]
