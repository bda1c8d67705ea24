"""The three steps to the first job, on the dashboard of an installation that has none."""

from __future__ import annotations

from dataclasses import dataclass

from app.accounts.permissions import May, lacks
from app.jobs.filters import JobFilter
from web.current import actor, services


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSteps:
    """What the dashboard shows above everything else.

    `connected`, `created` and `scheduled` say which steps are done. `connects` and `samples` say whether the viewer may create connections,
    and sample data. `sample`: there is sample data, or a part of it. `only`: the installation has no job, so there is nothing else to show.
    """

    connected: bool
    created: bool
    scheduled: bool
    connects: bool
    samples: bool
    sample: bool
    only: bool


def first_steps() -> FirstSteps:
    """Returns how far the viewer is."""
    jobs = services().directory.page(actor(), JobFilter(), sort="next_run_at", limit=1)
    samples = services().samples
    return FirstSteps(
        connected=bool(services().connections.all(actor())),
        created=jobs.total > 0,
        scheduled=any(job.next_run_at is not None for job in jobs.items),
        connects=lacks(actor(), May.MANAGE_CONNECTIONS) is None,
        samples=lacks(actor(), May.MANAGE_SAMPLE) is None and samples.unavailable() is None,
        sample=samples.exists(),
        only=not services().directory.versions_in_use(),
    )
