"""An example service with the standard library alone: `python examples/email_service.py` serves it at http://127.0.0.1:7006."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from jobwright_client import About, JobContext, JobFailed, JobOptions, JobResult, ScheduledJob, Service

service = Service("email-service", version="1.0.0")


@dataclass
class Digest:
    """The config of the weekly digest. Jobwright shows it as a form, and checks it."""

    readers: Annotated[int, About("How many readers get the digest.", minimum=0)] = 20
    batch_size: Annotated[int, About("Readers per batch.", minimum=1, maximum=1000)] = 5
    tone: Literal["plain", "festive"] = "plain"
    pause_ms: Annotated[int, "Milliseconds that a batch takes."] = 10


@service.job("weekly-digest", cron="0 9 * * MON", job_type="email", on_failed_items="warn", tags=("email",))
def weekly_digest(context: JobContext[Digest]) -> Mapping[str, Any]:
    """Send the weekly digest to all readers."""
    config = context.config
    context.log.info("Sending %s digests, %s", config.readers, config.tone)
    for first in context.track(range(0, config.readers, config.batch_size), total=None):
        time.sleep(config.pause_ms / 1000)
        context.succeeded(min(config.batch_size, config.readers - first))
    return {"tone": config.tone}


@service.job("bounce-check", job_type="email", max_retries=0)
def bounce_check(context: JobContext[Any], *, share: Annotated[float, "Share of addresses that bounce."] = 0.5) -> None:
    """Check the addresses that bounced. Some of them fail, which is counted."""
    for number in context.track(range(10)):
        if number < share * 10:
            context.failed(f"address {number} bounces")
        else:
            context.succeeded()


class ReEngagement(ScheduledJob):
    """Write to readers who have been away for long."""

    name = "re-engagement-email"
    options = JobOptions(cron="0 10 1 * *", time_zone="Europe/Berlin", job_type="email")

    async def execute(self, context: JobContext[Any]) -> JobResult:
        readers = context.config.get("readers", 3)
        if readers < 0:
            raise JobFailed("readers must not be negative", permanent=True)
        return JobResult(items_processed=readers, items_succeeded=readers)


service.add(ReEngagement())

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    service.serve(int(os.environ.get("PORT", "7006")))
