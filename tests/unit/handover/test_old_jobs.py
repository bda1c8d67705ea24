"""What the three jobs of the old scheduler become."""

from __future__ import annotations

import pytest

from app.handover.old_jobs import OLD_JOBS, Options, body_of, differences
from migrations_scripts.unified_scheduler import old

TICKETS = "auto_delete_resolved_tickets"


def test_every_job_of_the_old_scheduler_is_known() -> None:
    assert OLD_JOBS.keys() == old.JOBS.keys() == old.INTERVALS.keys()


@pytest.mark.parametrize("name", list(OLD_JOBS))
def test_a_job_keeps_its_name_and_its_interval(name: str) -> None:
    body = body_of(name, old.INTERVALS[name], Options(connection="shop", tickets="interval"))
    assert (body["name"], body["schedule"]) == (name, {"type": "interval", "interval_seconds": old.INTERVALS[name]})
    assert differences(name, old.INTERVALS[name], Options(connection="shop", tickets="interval"))


def test_the_clean_up_of_tickets_gets_the_cron_expression_and_the_plan_says_so() -> None:
    options = Options(connection="shop", timezone="Europe/Berlin")
    assert body_of(TICKETS, 86_400, options)["schedule"] == {"type": "cron", "expression": "0 19 * * *", "timezone": "Europe/Berlin"}
    assert "every 1 d, counted from its start. The job runs at 19:00 (Europe/Berlin)" in differences(TICKETS, 86_400, options)[0]


def test_the_new_jobs_delete_what_the_old_ones_did() -> None:
    options = Options(connection="shop")
    cleanup, tickets = body_of("data_cleanup", 3600, options)["parameters"], body_of(TICKETS, 86_400, options)["parameters"]
    assert cleanup["condition"] == {"lastSeen": {"$lt": f"{old.SESSION_DAYS} days ago"}}
    assert (tickets["older_than_days"], tickets["statuses"]) == (old.TICKET_DAYS, old.RESOLVED)
    assert cleanup["dryRun"] is tickets["dryRun"] is False
