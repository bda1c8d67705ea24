"""Events as CloudEvents 1.0.2 in JSON (github.com/cloudevents/spec, JSON event format)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.instants import as_text
from app.integrations.nats.messages import Message, events_subject

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
TYPE_PREFIX = "jobwright."


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """One event. `id` is unique for its source, and the same however often the event is sent. `kind` is its type without the prefix, such
    as `execution.failed`; `about` is the id of the execution or job; `traceparent` is the span that caused it, in a trace."""

    id: str
    kind: str
    about: str
    at: datetime
    data: Mapping[str, Any]
    traceparent: str = ""

    def envelope(self, source: str) -> dict[str, Any]:
        """The event in the JSON format."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": source,
            "type": f"{TYPE_PREFIX}{self.kind}",
            "subject": self.about,
            "time": as_text(self.at),
            "datacontenttype": "application/json",
            "data": dict(self.data),
            **self._trace,
        }

    def message(self, *, source: str, prefix: str) -> Message:
        """The event as a message to the stream."""
        data = json.dumps(self.envelope(source), separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")
        return Message(
            id=self.id, subject=events_subject(prefix, self.kind), data=data, headers={"Content-Type": CONTENT_TYPE, **self._trace}
        )

    @property
    def _trace(self) -> dict[str, str]:
        """The attribute of the extension for distributed tracing, which is a header of messages, too."""
        return {"traceparent": self.traceparent} if self.traceparent else {}


def plain(value: Any) -> Any:
    """Returns a value with every instant in it as text."""
    if isinstance(value, datetime):
        return as_text(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
