"""Finds repeated entries in the lists of a job: lists whose order has no meaning hold each entry once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from app.jobs.model import DependsOn
from app.validation.names import normal
from templates_lib.addresses import address_key


def repeated(body: Mapping[str, Any]) -> Iterator[str]:
    """Yields the pointers to entries of a job's body (JSON values) that repeat an earlier entry of their list: tags, labels, calendars,
    addresses, ends of an attempt to retry after, jobs to run after. Entries of a wrong type are skipped; the validation of the body
    reports them."""
    for at, key in _KEYS.items():
        entries = _at(body, at)
        keys = [_key(entry, key) for entry in entries]
        seen: set[Hashable] = set()
        for index, entry_key in enumerate(keys):
            if entry_key is not None and entry_key in seen:
                yield f"{at}/{index}"
            seen.add(entry_key)


def _at(body: Mapping[str, Any], pointer: str) -> Sequence[Any]:
    value: Any = body
    for name in pointer.split("/")[1:]:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, list) else ()


def _key(entry: Any, key: Callable[[str], Hashable]) -> Hashable:
    if isinstance(entry, str):
        return key(entry)
    if isinstance(entry, Mapping) and isinstance(entry.get("job"), str) and isinstance(entry.get("when", ""), str):
        return key(entry["job"]), entry.get("when", DependsOn.SUCCESS.value)
    return None


_KEYS: dict[str, Callable[[str], Hashable]] = {
    "/tags": normal,
    "/needs": str,
    "/schedule/calendars": normal,
    "/retry_policy/retry_on": str,
    "/depends_on": normal,
    "/notifications/on_success": address_key,
    "/notifications/on_failure": address_key,
}
