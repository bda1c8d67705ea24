"""The audit trail for those who may read it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor, AuditFilter
from app.audit.service import AuditTrail
from app.mongo import Document, begun
from templates_lib.cells import formula_safe

FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
COLUMNS = (
    "seq",
    "at",
    "outcome",
    "action",
    "actor",
    "role",
    "via",
    "address",
    "target_kind",
    "target_id",
    "target_name",
    "diff",
    "reason",
    "correlation_id",
    "seal",
)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Newest first; `older` is what to ask for as `before` to go on, None at the end."""

    events: list[Document]
    older: int | None


class Auditors:
    """Lists and exports; that someone exported is an event too."""

    def __init__(self, audit: AuditTrail) -> None:
        self._audit = audit

    def page(self, actor: Actor, query: AuditFilter, *, before: int | None = None, limit: int = 50) -> AuditPage:
        """Raises Forbidden."""
        require(actor, May.SEE_AUDIT)
        found = self._audit.history(query, before=before, limit=limit + 1)
        return AuditPage(found[:limit], found[limit - 1]["seq"] if len(found) > limit else None)

    def actions(self, actor: Actor) -> list[str]:
        """Every action that was ever recorded, for a filter."""
        require(actor, May.SEE_AUDIT)
        return self._audit.actions()

    def export(self, actor: Actor, query: AuditFilter, kind: str) -> Iterator[str]:
        """All events that match, oldest first, as text in portions: one JSON object a line (`jsonl`), or RFC 4180 (`csv`), in which
        nothing is run as a formula."""
        require(actor, May.SEE_AUDIT)
        chosen = {name: getattr(query, name) for name in query.__slots__ if getattr(query, name)}
        diff = [{"field": f"/{name}", "after": value} for name, value in {**chosen, "format": kind}.items()]
        with self._audit.action(actor, "audit.export", kind="audit", target_id="audit", diff=diff):
            events = begun(self._audit.walk(query))
            return _lines(events) if kind == "jsonl" else _rows(events)


def event_json(event: Document) -> dict[str, Any]:
    """An event with its times as text (RFC 3339) and its id as `_id`."""
    shown: dict[str, Any] = json.loads(json.dumps(event, default=_text))
    return shown


def _text(value: Any) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _lines(events: Iterator[Document]) -> Iterator[str]:
    for event in events:
        yield json.dumps(event, default=_text, ensure_ascii=False) + "\n"


def _rows(events: Iterator[Document]) -> Iterator[str]:
    yield _row(COLUMNS)
    for event in events:
        actor, target = event["actor"], event["target"]
        yield _row(
            (
                event["seq"],
                _text(event["at"]),
                event["outcome"],
                event["action"],
                actor["email"],
                actor["role"],
                event["via"],
                event["address"],
                target["kind"],
                target["id"],
                target["name"],
                json.dumps(event["diff"], default=_text),
                event.get("reason", ""),
                event["correlation_id"],
                event.get("seal", ""),
            )
        )


def _row(cells: tuple[Any, ...]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([formula_safe(cell) for cell in cells])
    return text.getvalue()
