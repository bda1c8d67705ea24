"""The registry's service on a registry in memory: what is saved, refused and audited."""

from __future__ import annotations

import pytest

from app.audit.model import Actor, AuditFilter
from app.errors import StaleVersion, ValidationFailed
from app.services import Services

NIGHTLY = {"type": "cron", "expression": "0 2 * * *"}


def test_a_job_is_made_and_changed_and_each_step_is_audited(services: Services, super_admin: Actor) -> None:
    job = services.jobs.create(super_admin, {"name": "nightly", "template_type": "noop", "schedule": NIGHTLY})[0]
    changed = services.jobs.update(super_admin, job.id, {"priority": 3})
    assert (changed.version, changed.definition.priority, changed.next_run_at) == (2, 3, job.next_run_at)
    actions = [event["action"] for event in services.audit.history(AuditFilter(target_id=job.id))]
    assert actions == ["job.update", "job.create"]


def test_a_change_of_an_older_version_is_refused(services: Services, super_admin: Actor) -> None:
    job = services.jobs.create(super_admin, {"name": "nightly", "template_type": "noop"})[0]
    services.jobs.update(super_admin, job.id, {"priority": 3}, version=1)
    with pytest.raises(StaleVersion):
        services.jobs.update(super_admin, job.id, {"priority": 4}, version=1)


def test_everything_that_is_wrong_is_told_at_its_place(services: Services, super_admin: Actor) -> None:
    body = {"name": "", "template_type": "noop", "parameters": {"seconds": "x"}, "schedule": {"type": "cron", "expression": "61 * * * *"}}
    with pytest.raises(ValidationFailed) as refused:
        services.jobs.create(super_admin, body)
    assert {"/name", "/parameters/seconds", "/schedule/expression"} <= {error.pointer for error in refused.value.errors}
