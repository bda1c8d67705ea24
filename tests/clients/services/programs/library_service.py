"""The service of the contract suite, written with the client library: served by its own server, or by uvicorn as `app`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal

from jobwright_client import JobContext, JobFailed, JobResult, Service

service = Service("contract-service", version=os.environ.get("VERSION", "1"))


def effect(context: JobContext[Any]) -> None:
    """Notes that the work of an execution is done here and now, and where it is reported."""
    callback = getattr(context.reports, "_callback", None)
    with Path(os.environ["JOURNAL"]).open("a") as journal:
        journal.write(f"{context.execution_id} {context.attempt} {callback.url if callback else '-'}\n")


@service.job("count", cron="0 9 * * MON", job_type="test", answer_within_seconds=10)
def count(context: JobContext[Any], *, items: int = 10, bad: int = 0) -> None:
    """Count items, of which some are bad."""
    effect(context)
    context.succeeded(items - bad)
    if bad:
        context.failed(f"{bad} of {items} items are bad", bad)


@service.job("watched", answer_within_seconds=0, heartbeat_seconds=5)
@service.job("slow", answer_within_seconds=600)
@service.job("gated", answer_within_seconds=0)
def gated(context: JobContext[Any], *, gate: str = "") -> JobResult:
    """Wait until the file `gate` exists."""
    effect(context)
    context.log.info("waiting at the gate")
    context.progress(1, 2, "at the gate")
    while not Path(gate).exists():
        context.check_cancelled()
        time.sleep(0.01)
    context.log.info("through the gate")
    return JobResult(items_processed=2, items_succeeded=2, metadata={"gate": gate})


@service.job("brief", answer_within_seconds=0, timeout_seconds=5)
def brief(context: JobContext[Any], *, gate: str = "") -> JobResult:
    """Wait as `gated` does, with little time, and without asking whether to stop."""
    effect(context)
    while not Path(gate).exists():
        time.sleep(0.01)
    return JobResult(items_processed=1, items_succeeded=1)


@service.job("fails")
def fails(context: JobContext[Any], *, how: Literal["result", "permanent", "later", "error"] = "error") -> JobResult:
    """Fail, in one of four ways."""
    effect(context)
    if how == "result":
        return JobResult(success=False, items_processed=3, items_failed=3, error="all 3 items failed")
    if how == "error":
        raise RuntimeError("it broke")
    raise JobFailed(f"failed: {how}", permanent=how == "permanent", retry_after_seconds=7 if how == "later" else None)


service.retire("gone")
app = service.asgi()

if __name__ == "__main__":
    service.serve(int(os.environ["PORT"]))
