"""How a run ends: JobResult, which job code returns, and Outcome, which also knows whether another attempt helps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobwright_client.errors import JobFailed

MOST_ERROR_CHARACTERS = 2000
MOST_BYTES = 900_000  # Jobwright reads answers of up to 1,000,000 bytes


@dataclass(frozen=True)
class JobResult:
    """The result of a run. Counts are whole numbers from 0; `metadata` holds JSON values."""

    success: bool = True
    items_processed: int = 0
    items_succeeded: int = 0
    items_failed: int = 0
    error: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        """Returns the result as it is sent to Jobwright."""
        body: dict[str, Any] = {
            "success": self.success,
            "itemsProcessed": self.items_processed,
            "itemsSucceeded": self.items_succeeded,
            "itemsFailed": self.items_failed,
        }
        if self.error is not None:
            body["error"] = self.error[:MOST_ERROR_CHARACTERS]
        if self.metadata:
            body["metadata"] = dict(self.metadata)
        return body


@dataclass(frozen=True)
class Outcome:
    """The end of an attempt: a result as it is sent, whether another attempt cannot help, and when the next one may start."""

    result: dict[str, Any]
    permanent: bool = False
    retry_after_seconds: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the work is done, so that a further attempt of the execution does no new work."""
        return self.result.get("success") is True

    @classmethod
    def of(cls, result: JobResult) -> Outcome:
        """Returns the outcome of a result. One that cannot be sent becomes a permanent failure that says why."""
        body = result.to_wire()
        try:
            size = len(json.dumps(body, allow_nan=False).encode())
        except (TypeError, ValueError) as error:
            return cls({**body, "metadata": {}, "success": False, "error": f"metadata is not JSON: {error}"}, permanent=True)
        if size > MOST_BYTES:
            text = f"metadata is too large: {size:,} bytes, at most {MOST_BYTES:,}"
            return cls({**body, "metadata": {}, "success": False, "error": text}, permanent=True)
        return cls(body)

    @classmethod
    def of_error(cls, error: BaseException, counted: JobResult) -> Outcome:
        """Returns the outcome of an attempt that raised `error`, with what it had counted."""
        text = str(error) if isinstance(error, JobFailed) else f"{type(error).__name__}: {error}"
        body = {**counted.to_wire(), "success": False, "error": text[:MOST_ERROR_CHARACTERS]}
        if isinstance(error, JobFailed):
            return cls(body, error.permanent, error.retry_after_seconds)
        return cls(body)

    def as_answer(self) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Returns status, headers and body of the answer to a call."""
        if self.permanent:
            return 422, {}, self.result
        if self.retry_after_seconds is not None:
            return 503, {"Retry-After": str(max(0, round(self.retry_after_seconds)))}, self.result
        return 200, {}, self.result

    def as_report(self) -> tuple[str, dict[str, Any]]:
        """Returns name and body of the report that ends an attempt."""
        if not self.permanent and self.retry_after_seconds is None:
            return "complete", self.result
        body = {name: value for name, value in self.result.items() if name != "success"}
        body["permanent"] = self.permanent
        if self.retry_after_seconds is not None:
            body["retryAfterSeconds"] = max(0, round(self.retry_after_seconds))
        return "fail", body
