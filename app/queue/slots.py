"""Places: what bounds how many runs go on at once. A run takes one of its job's, and one of each other bound that it falls under.

A place is a number below a bound, written as a key that is unique among all executions (index `slots`): whoever races, no bound is
ever exceeded, and a place is free in the very write that ends its run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.config import Settings
from app.mongo import Document

ENUMERATED = 64  # a larger bound is asked for as a range of keys


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBounds:
    """How many runs may go on at once beside each job's own bound, on all nodes together.

    `groups`: by concurrency group, one where a group is not named; `templates`: by template, any number where one is not named;
    `overall`: of all runs, 0: any number.
    """

    groups: Mapping[str, int] = field(default_factory=dict)
    templates: Mapping[str, int] = field(default_factory=dict)
    overall: int = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> RunBounds:
        return cls(groups=dict(settings.group_limits), templates=dict(settings.template_limits), overall=settings.max_running)

    def of(self, row: Document) -> list[tuple[str, int]]:
        """(prefix of the keys, how many) of each bound that an execution falls under; its job's own first."""
        found = [(f"{row['job_id']}#", int(row["max_instances"]))]
        group, template = row.get("concurrency_group"), row["template_type"]
        if group:
            found.append((f"group:{group}#", self.groups.get(group, 1)))
        if template in self.templates:
            found.append((f"template:{template}#", self.templates[template]))
        if self.overall:
            found.append(("all#", self.overall))
        return found


def places_query(rows: Iterable[Document], bounds: RunBounds) -> Document | None:
    """A filter on `slots` that finds who holds any place that `rows` could want; None where each holds all it needs."""
    keys: list[str] = []
    ranges: list[Document] = []
    for prefix, most in dict.fromkeys(bound for row in rows for bound in _missing(row, bounds)):
        if most <= ENUMERATED:
            keys += [f"{prefix}{n}" for n in range(most)]
        else:
            ranges.append({"slots": {"$elemMatch": {"$gte": prefix, "$lt": prefix[:-1] + "$"}}})  # "$" follows "#"
    alternatives = [*([{"slots": {"$in": keys}}] if keys else []), *ranges]
    if not alternatives:
        return None
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def assign(rows: Sequence[Document], used: set[str], bounds: RunBounds) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Places for each row that can have all it needs, by its id, in the order of the rows; and for each other the prefix of the bound
    that has none left. `used` are the keys that are taken."""
    places: dict[str, list[str]] = {}
    blocked: dict[str, str] = {}
    free: dict[str, Iterator[str]] = {}
    spare: dict[str, str] = {}  # the next free key of a bound, looked at and not taken
    for row in rows:
        held: list[str] = list(row.get("slots", ()))
        keys: list[str] = []
        for prefix, most in _missing(row, bounds):
            if prefix not in free:
                free[prefix] = (key for key in (f"{prefix}{n}" for n in range(most)) if key not in used)
            if prefix not in spare and (key := next(free[prefix], None)) is not None:
                spare[prefix] = key
            if prefix not in spare:
                blocked[row["_id"]] = prefix
                break
            keys.append(prefix)
        else:
            places[row["_id"]] = held + [spare.pop(prefix) for prefix in keys]
    return places, blocked


def prefix_of(key: str) -> str:
    """The bound that a place is under."""
    return key.rpartition("#")[0] + "#"


def _missing(row: Document, bounds: RunBounds) -> list[tuple[str, int]]:
    """The bounds under which the execution has no place yet; one that was put back holds its job's."""
    return bounds.of(row)[1 if row.get("slots") else 0 :]
