"""The job types, as data: what each job does, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from templates_lib.messages import say

SERVICE_JOB = "service_job"
TAG = "job-type"  # of every job that is made from a type


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType:
    """A ready-made job. Its name is what clients call it by.

    `service` is the service that a run calls at `path` with `config`; empty for a job that works on the database with the template
    `template_type` and `parameters`, through the default connection. `cron` is the schedule that it is made with, switched off; empty for
    a job that is only run by hand.
    """

    name: str
    description: str
    service: str = ""
    path: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    template_type: str = SERVICE_JOB
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cron: str = ""

    @property
    def variable(self) -> str:
        """The environment variable with the address of its service; empty without one."""
        return f"{self.service.removesuffix('-service').upper().replace('-', '_')}_SERVICE_URL" if self.service else ""

    def definition(self) -> dict[str, Any]:
        """Returns the body that creates the job. A schedule is there, but switched off: people switch it on."""
        called = {"service": self.service, "path": self.path, "job_name": self.name, "config": dict(self.config)}
        schedule = {"type": "cron", "expression": self.cron} if self.cron else {"type": "manual"}
        return {
            "name": self.name,
            "description": str(self.description),
            "template_type": self.template_type,
            "parameters": called if self.service else dict(self.parameters),
            "schedule": schedule,
            "enabled": not self.cron,
            "tags": [TAG],
        }


def _mails(name: str, description: str, *, cron: str = "", **config: Any) -> JobType:
    return JobType(
        name=name, description=description, service="email-service", path="/api/send", config={"type": name, **config}, cron=cron
    )


def _discovery(name: str, description: str) -> JobType:
    return JobType(name=name, description=description, service="discovery-service", path=f"/api/jobs/{name}/execute")


JOB_TYPES: tuple[JobType, ...] = (
    JobType(
        name="crawl_pending",
        description=say("Crawl up to 100 pending pages"),
        service="crawler-service",
        path="/api/crawl/batch",
        config={"batchSize": 100, "crawlStatus": "pending"},
        cron="*/15 * * * *",
    ),
    _mails("weekly_digest", say("Send the weekly digest to its subscribers"), cron="0 9 * * MON"),
    _mails("submission_notifications", say("Notify users about the outcome of their submissions")),
    _mails("moderation_updates", say("Notify users about decisions of moderators, as their preferences allow"), retryFailedDeliveries=True),
    JobType(
        name="cleanup_old_data",
        description=say("Delete user interactions that are older than 2 years"),
        template_type="database_cleanup",
        parameters={
            "collection": "user_interactions",
            "condition": {"created_at": {"$lt": "2 years ago"}},
            "dryRun": False,
        },
        cron="0 2 * * *",
    ),
    JobType(
        name="archive_old_jobs",
        description=say("Move records of completed jobs that are older than 90 days to an archive"),
        template_type="data_archive",
        parameters={
            "collection": "scheduled_jobs",
            "condition": {"status": "completed", "completed_at": {"$lt": "90 days ago"}},
            "to": "collection",
            "target_collection": "scheduled_jobs_archive",
            "dryRun": False,
        },
        cron="30 2 * * *",
    ),
    _discovery("update_metrics", say("Update the view counts of discoveries")),
    _discovery("recalculate_trending", say("Recalculate the trending scores")),
)
