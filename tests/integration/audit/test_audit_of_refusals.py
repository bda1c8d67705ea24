"""What was refused is not in the audit trail as done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.audit.model import Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.errors import JobwrightError
from app.factory import Store, build_services
from app.jobtemplates.catalogue import Catalogue
from app.services import Services


def done(services: Services) -> list[str]:
    return [event["action"] for event in services.audit.history(AuditFilter(outcome="done"), limit=200)]


def refused(services: Services, call: Any) -> None:
    before = done(services)
    with pytest.raises(JobwrightError):
        call()
    assert done(services) == before


def test_what_is_refused_is_not_recorded_as_done(
    store: Store, services: Services, settings: Settings, clock: ManualClock, catalogue: Catalogue, super_admin: Actor
) -> None:
    job, _ = services.jobs.create(super_admin, {"name": "one", "template_type": "noop"})
    gone, _ = services.jobs.create(super_admin, {"name": "gone", "template_type": "noop"})
    services.jobs.delete(super_admin, gone.id)
    full = build_services(
        replace(settings, max_jobs=1, max_jobs_per_creator=1, runs_per_hour_super_admin=1), store, clock=clock, catalogue=catalogue
    )
    secret = {"name": "s", "kind": "secret", "settings": {"value": "x"}}
    services.connections.create(super_admin, **secret)
    other = services.connections.create(super_admin, **{**secret, "name": "t"})
    days = {"timezone": "UTC", "weekly": [{"days": ["sat"], "from": "00:00", "to": "12:00"}]}
    services.calendars.create(super_admin, "days", days)
    full.runs.run_now(super_admin, job.id)
    refused(services, lambda: services.pausing.pause(super_admin, job.id, {"reason": "x"}))
    refused(services, lambda: full.jobs.create(super_admin, {"name": "two", "template_type": "noop"}))
    refused(services, lambda: full.jobs.undelete(super_admin, gone.id))
    refused(services, lambda: services.jobs.create(super_admin, {"name": "one", "template_type": "noop"}))
    refused(services, lambda: services.connections.create(super_admin, **secret))
    refused(services, lambda: services.connections.update(super_admin, other["_id"], name="s", settings={"value": "x"}))
    refused(services, lambda: services.calendars.create(super_admin, "days", days))
    refused(services, lambda: services.accounts.add(super_admin, {"email": super_admin.email, "role": "admin"}))
    refused(services, lambda: full.runs.run_now(super_admin, job.id))
    refused(services, lambda: services.templates.derive(super_admin, {"type": "noop", "base": "noop"}))
