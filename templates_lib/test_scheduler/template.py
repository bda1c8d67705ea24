"""Waits, logs, fails or uses memory as its parameters say, to try out schedules, logs, progress, retries, limits and notifications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from templates_lib import fields
from templates_lib.base import JobResult, JobTemplate, RunContext, TemplateError

STEP_SECONDS = 0.2  # how often it checks whether it must stop


class TestScheduler(JobTemplate):
    """Requirement 002.96: a heartbeat. It also sleeps, fails, logs and uses memory on demand."""

    __test__ = False  # tells pytest that this is not a class of tests
    type = "test_scheduler"
    name = "Scheduler test"
    description = "Wait, log, fail or use memory on demand. A good template to try first"
    category = "Tests"
    icon = "flask-conical"
    network = False
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "message": {
                "type": "string",
                "title": "Message",
                "maxLength": 500,
                "x-dynamic": True,
                "default": "The scheduler is alive",
                "description": "Written to the log and to the result.",
            },
            "seconds": {
                "type": "number",
                "title": "Run time (seconds)",
                "x-dynamic": True,
                "minimum": 0,
                "maximum": 86_400,
                "default": 0,
                "description": "Shows its progress, and stops at once when it is cancelled.",
            },
            "outcome": {
                "title": "Outcome",
                "default": "success",
                "oneOf": [
                    {"const": "success", "title": "Success"},
                    {"const": "error", "title": "An error that is retried"},
                    {"const": "permanent", "title": "A permanent error that is not retried"},
                    {"const": "flaky", "title": "An error, until an attempt succeeds"},
                    {"const": "crash", "title": "An unexpected exception"},
                ],
            },
            "succeeds_at": {
                "type": "integer",
                "title": "Attempt that succeeds",
                "minimum": 2,
                "maximum": 100,
                "default": 2,
                "x-visible-if": {"outcome": ["flaky"]},
            },
            "log_lines": {"type": "integer", "title": "Log lines", "minimum": 0, "maximum": 1_000_000, "default": 0, "x-section": "Load"},
            "memory_mb": {
                "type": "integer",
                "title": "Memory in MiB",
                "minimum": 0,
                "maximum": 1_048_576,
                "default": 0,
                "description": "Used for as long as the run lasts. A run that uses more than its limit is ended.",
                "x-section": "Load",
            },
        },
        "additionalProperties": False,
        "examples": [{"message": "Good morning"}, {"seconds": 60, "log_lines": 10}, {"outcome": "flaky", "succeeds_at": 2}],
    }

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        message = params.get("message", "The scheduler is alive")
        ctx.log.info("%s (attempt %s)", message, ctx.attempt)
        held = bytearray(params.get("memory_mb", 0) << 20)
        for place in range(0, len(held), 4096):
            held[place] = 1  # the kernel takes a page of memory only when something is written to it
        for number in range(params.get("log_lines", 0)):
            ctx.log.info("line %s", number + 1)
        self._sleep(params.get("seconds", 0), ctx)
        self._end(params, ctx)
        return JobResult(message, {"attempt": ctx.attempt, "seconds": params.get("seconds", 0), "records_processed": 1, "errors": 0})

    @staticmethod
    def _sleep(seconds: float, ctx: RunContext) -> None:
        steps = int(seconds / STEP_SECONDS)
        for step in range(steps):
            ctx.progress(step, steps, f"{step * STEP_SECONDS:.0f} of {seconds:g} s")
            ctx.stop.wait(STEP_SECONDS)
            ctx.check_cancelled()
        ctx.stop.wait(seconds - steps * STEP_SECONDS)
        ctx.check_cancelled()
        if steps:
            ctx.progress(steps, steps)

    @staticmethod
    def _end(params: Mapping[str, Any], ctx: RunContext) -> None:
        match params.get("outcome", "success"):
            case "error":
                raise TemplateError("Failed as it was told to")
            case "permanent":
                raise TemplateError("Failed for good, as it was told to", permanent=True)
            case "flaky" if ctx.attempt < (succeeds_at := params.get("succeeds_at", 2)):
                raise TemplateError(f"Attempt {ctx.attempt} fails; attempt {succeeds_at} succeeds")
            case "crash":
                raise RuntimeError("Broke as it was told to")
