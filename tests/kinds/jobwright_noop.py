"""A kind of job that does nothing, and imports next to nothing: what is measured with it is the engine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from templates_lib.base import JobResult, JobTemplate, Problem, RunContext


class Noop(JobTemplate):
    """Returns at once; with `file`, appends a line to it first, so that a test can count what really ran."""

    type = "noop"
    name = "Nothing"
    description = "Do nothing"
    category = "Tests"
    icon = "circle"
    parameters_schema = {
        "type": "object",
        "properties": {
            "file": {"type": "string", "x-destination": False},
            "seconds": {"type": "number", "minimum": 0, "default": 0, "x-destination": False},
            "secret": {"type": "string", "writeOnly": True},
        },
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> list[Problem]:
        return [Problem("/file", "must not be forbidden")] if params.get("file") == "forbidden" else []

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        if "file" in params:
            with Path(params["file"]).open("a") as stream:
                stream.write(f"start {ctx.execution_id} {ctx.attempt} {os.getpid()} {time.time():.3f}\n")
        deadline = time.monotonic() + params.get("seconds", 0)
        while time.monotonic() < deadline and not ctx.cancelled():
            time.sleep(0.01)
        ctx.check_cancelled()
        ctx.log.info("ran")
        if "file" in params:
            with Path(params["file"]).open("a") as stream:
                stream.write(f"end {ctx.execution_id} {ctx.attempt} {os.getpid()} {time.time():.3f}\n")
        return JobResult("did nothing", {"attempt": ctx.attempt})
