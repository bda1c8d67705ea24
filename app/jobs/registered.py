"""Registered jobs: a definition that the code of a service declares, and the values that admins put in its place. All functions are pure.

Definitions are plain here: the dicts, lists and scalars that `app.jobs.model.to_plain` returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.triggers import FIELDS

Plain = Mapping[str, Any]
_OF_ONE_TYPE = frozenset(f"/schedule/{name}" for name in FIELDS)  # fields of a schedule that only some types have

# The fields of a definition that admins may change. They decide when and whether the job runs, and who is notified. An object is changed
# member by member, every other field as a whole.
OPEN_FIELDS = (
    "schedule",
    "enabled",
    "retry_policy",
    "overlap",
    "misfire",
    "concurrency",
    "run_limit",
    "priority",
    "needs",
    "tags",
    "group",
    "notifications",
    "pause_after_failures",
)
# Open fields that a declaration leaves out if they are empty, as those of earlier releases do.
_IF_ABSENT: Plain = {"needs": []}
# The code of the service decides about all other fields.
LOCKED_FIELDS = ("name", "template_type", "description", "parameters", "timeout_seconds", "depends_on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A value that an admin put in place of the declared one.

    `field` is the JSON Pointer of the field, such as `/schedule/expression`. `declared` is what the code declared when the admin last
    decided about the field.
    """

    field: str
    value: Any
    declared: Any
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a service has registered about a job.

    `display_name` and `job_type` are texts for people. `declared` is the definition as the code declares it, plain. `digest` identifies
    the registration that was written last. `retired_at` is when the service stopped declaring the job; None while it declares it.
    """

    service: str
    display_name: str = ""
    job_type: str = ""
    declared: Plain = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    digest: str = ""
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A field that an admin changed and that the code has changed since: `before` is what the code declared when the admin decided,
    `declared` what it declares now, and `value` what applies."""

    field: str
    value: Any
    before: Any
    declared: Any
    by: str
    at: datetime


def effective(declared: Plain, overrides: Iterable[Override]) -> dict[str, Any]:
    """Returns the definition that applies: the declared one with the overrides in it."""
    plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in declared.items()}
    for override in overrides:
        name, member = _path(override.field)
        if not member:
            plain[name] = override.value
        elif isinstance(plain.get(name), dict):
            plain[name][member] = override.value
    return plain


def drift(declared: Plain, overrides: Iterable[Override]) -> list[Drift]:
    """Returns the fields for which the code and an admin now want different values, and of which the code has changed its own since the
    admin decided."""
    drifted = []
    for override in overrides:
        now = value_at(declared, override.field)
        if now not in (override.declared, override.value):
            drifted.append(
                Drift(field=override.field, value=override.value, before=override.declared, declared=now, by=override.by, at=override.at)
            )
    return drifted


def overridden(declared: Plain, overrides: Iterable[Override], wanted: Plain, *, by: str, at: datetime) -> tuple[Override, ...]:
    """Returns the overrides that make `wanted` of the declared definition, in the order of their fields.

    An override whose value stays is kept as it is. A field that gets its declared value again loses its override. Only OPEN_FIELDS are
    looked at.
    """
    present = {override.field: override for override in overrides}
    now = effective(declared, present.values())
    for pointer in fields_of(declared, wanted):
        value = value_at(wanted, pointer)
        if value is None and pointer in _OF_ONE_TYPE:
            present.pop(pointer, None)  # the wanted type of schedule has no such field: the declared value waits for its own type
            continue
        if value == value_at(now, pointer):
            continue
        standard = value_at(declared, pointer)
        if value == standard:
            present.pop(pointer, None)
        else:
            present[pointer] = Override(field=pointer, value=value, declared=standard, by=by, at=at)
    return tuple(present[pointer] for pointer in sorted(present))


def held_back(before: Plain, declared: Plain, overrides: Iterable[Override], *, by: str, at: datetime) -> tuple[Override, ...]:
    """Returns the overrides under which no open field changes, although the code declared `before` and declares `declared` now.

    A field for which the code wants a new value keeps its value by an override of `by`, and drifts. Such an override is dropped once the
    code declares the value that it keeps.
    """
    present = {override.field: override for override in overrides}
    wanted = effective(before, present.values())
    return tuple(
        override if override.field in present else replace(override, declared=value_at(before, override.field))
        for override in overridden(declared, present.values(), wanted, by=by, at=at)
        if override.by != by or override.value != value_at(declared, override.field)
    )


def settled(declared: Plain, overrides: Iterable[Override], pointer: str, *, keep: bool, by: str, at: datetime) -> tuple[Override, ...]:
    """Returns the overrides after an admin has decided about one that drifted: with `keep` the admin's value stays, without it the declared
    value applies again."""
    after = []
    for override in overrides:
        if override.field != pointer:
            after.append(override)
        elif keep:
            after.append(Override(field=pointer, value=override.value, declared=value_at(declared, pointer), by=by, at=at))
    return tuple(after)


def locked_changes(before: Plain, wanted: Plain) -> list[str]:
    """Returns the JSON Pointers of the locked fields that `wanted` changes."""
    return [f"/{name}" for name in LOCKED_FIELDS if before.get(name) != wanted.get(name)]


def fields_of(*plains: Plain) -> Iterator[str]:
    """Yields the pointers of all open fields of some definitions, each once: of an object those of its members."""
    seen = dict[str, None]()
    for plain in plains:
        for name in OPEN_FIELDS:
            value = plain.get(name)
            if isinstance(value, Mapping):
                seen |= {f"/{name}/{member}": None for member in value}
            else:
                seen[f"/{name}"] = None
    yield from seen


def value_at(plain: Plain, pointer: str) -> Any:
    """Returns the value of a field; None if the definition does not have it."""
    name, member = _path(pointer)
    value = plain.get(name, _IF_ABSENT.get(name))
    if not member:
        return value
    return value.get(member) if isinstance(value, Mapping) else None


def _path(pointer: str) -> tuple[str, str]:
    """Returns the name of the field, and that of the member (empty for a field that is changed as a whole)."""
    name, _, member = pointer.removeprefix("/").partition("/")
    return name, member


def registered_from(row: Mapping[str, Any]) -> Registered:
    """Returns what a stored document says. Missing members get their defaults."""
    return Registered(**{**row, "overrides": tuple(Override(**item) for item in row.get("overrides", ()))})
