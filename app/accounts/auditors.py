"""Shows and exports the audit trail to people who may read it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor, AuditFilter
from app.audit.service import AuditTrail
from app.instants import as_text
from app.mongo import Document, read_first
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
    """One page of events, the newest first. `older` is the value of `before` for the next page, None on the last page."""

    events: list[Document]
    older: int | None


class Auditors:
    """Lists and exports events. An export is recorded as an event too."""

    def __init__(self, audit: AuditTrail) -> None:
        self._audit = audit

    def page(self, actor: Actor, query: AuditFilter, *, before: int | None = None, limit: int = 50) -> AuditPage:
        """Returns one page of matching events. Raises Forbidden."""
        require(actor, May.SEE_AUDIT)
        events = self._audit.history(query, before=before, limit=limit + 1)
        return AuditPage(events[:limit], events[limit - 1]["seq"] if len(events) > limit else None)

    def actions(self, actor: Actor) -> list[str]:
        """Returns every action that was ever recorded, sorted. Raises Forbidden."""
        require(actor, May.SEE_AUDIT)
        return self._audit.actions()

    def export(self, actor: Actor, query: AuditFilter, kind: str) -> Iterator[str]:
        """Yields all matching events as text, the oldest first.

        `kind` is `jsonl` (one JSON object on each line) or `csv` (RFC 4180; no cell is run as a formula). Raises Forbidden.
        """
        require(actor, May.SEE_AUDIT)
        conditions = {name: getattr(query, name) for name in query.__slots__ if getattr(query, name)}
        diff = [{"field": f"/{name}", "after": value} for name, value in {**conditions, "format": kind}.items()]
        with self._audit.action(actor, "audit.export", kind="audit", target_id="audit", diff=diff):
            events = read_first(self._audit.walk(query))
            return _lines(events) if kind == "jsonl" else _rows(events)


def event_json(event: Document) -> dict[str, Any]:
    """Returns an event as JSON, with its times as text (RFC 3339)."""
    plain: dict[str, Any] = json.loads(json.dumps(event, default=_text))
    return plain


def _text(value: Any) -> str:
    return as_text(value) if isinstance(value, datetime) else str(value)


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
