"""Attempts on the local executor, without a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.executors.base import LogLine, Run, without_end
from app.executors.local.executor import LocalExecutor
from app.jobs.model import RetryPolicy
from app.queue.model import Attempt, Outcome
from tests.support import eventually


class RecordingSink:
    """Keeps what an executor reports."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.logs: dict[str, list[LogLine]] = {}
        self.steps: dict[str, list[Mapping[str, Any]]] = {}

    def lines(self, attempt: Attempt, lines: Sequence[LogLine]) -> None:
        self.logs.setdefault(attempt.execution_id, []).extend(lines)

    def progress(self, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self.steps.setdefault(attempt.execution_id, []).append(progress)

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        assert attempt.execution_id not in self.outcomes, "an end was reported twice"
        self.outcomes[attempt.execution_id] = outcome

    def unwritten(self) -> dict[str, Attempt]:
        return {}


LOADS = {"noop": "jobwright_noop:Noop", "misbehave": "jobwright_test_kinds:Misbehave"}


class Bench:
    """Starts attempts on an executor and waits for their outcomes; `reused` attempts share a process."""

    def __init__(self, executor: LocalExecutor, sink: RecordingSink, *, reused: bool = False) -> None:
        self.executor, self.sink, self.reused, self._count = executor, sink, reused, 0
        self.begin_until = without_end
        executor.start(sink, on_free=lambda: None, begin_until=lambda: self.begin_until())

    def start(self, template: str, parameters: dict[str, Any], *, timeout: float = 30.0) -> str:
        self._count += 1
        now = datetime.now(UTC)
        attempt = Attempt(
            execution_id=f"e{self._count}",
            number=1,
            token=1,
            job_id="j",
            job_name="j",
            template_version=1,
            code_version=1,
            template_type=template,
            parameters=parameters,
            timeout_seconds=timeout,
            started_at=now,
            began_at=now,
            retry_policy=RetryPolicy(),
            failed_attempts=1,
        )
        self.executor.submit([Run(attempt, parameters, {}, LOADS.get(template, template), reused=self.reused)])
        return attempt.execution_id

    def outcome(self, execution_id: str, seconds: float = 20.0) -> Outcome:
        return eventually(lambda: self.sink.outcomes.get(execution_id), seconds=seconds)

    def text(self, execution_id: str) -> list[str]:
        return [line.message for line in self.sink.logs.get(execution_id, [])]
