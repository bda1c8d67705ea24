"""/: the dashboard. It shows problems that need a person, what runs now, what comes next, and the last day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from flask import Blueprint, render_template, request

from app.accounts.permissions import May, require
from app.jobs.directory import summed
from app.notification.incidents.incident import IncidentFilter, IncidentState
from app.queue.model import FAILURES, Status
from app.zones import zone as zone_of
from web.charts import TALL, Stacked, stacked
from web.current import actor, services, viewer_zone
from web.filters.results import OUTCOMES
from web.views.common import midnight

blueprint = Blueprint("dashboard_pages", __name__)

MOST_TEMPLATES = 6
MOST_NAMED = 5  # broken jobs, and follow-ups that were given up
TREND_DAYS = 14
FEWEST_DURATIONS = 2  # days with a duration, for a chart of them
WENT_WRONG = ("timeout", "failed")  # from the ground of their chart up
WENT_WELL = tuple(status for status in OUTCOMES if status not in WENT_WRONG)


@blueprint.get("/")
def show() -> str:
    """Shows the dashboard. With `?live`, shows only the part that htmx refreshes."""
    require(actor(), May.SEE_JOBS)
    overview, now = services().overview, services().clock.now()
    day = overview.day(actor())
    in_use = services().directory.versions_in_use()
    used = list(summed(in_use).items())[:MOST_TEMPLATES]
    nodes, conditions = services().nodes(), services().connections.conditions()
    firing, _ = services().incidents.page(actor(), IncidentFilter(state=IncidentState.FIRING.value), limit=MOST_NAMED)
    by_hour = [tally.counts for tally in day.hours.values()]
    trend = _trend()
    by_day = [{Status.SUCCESS.value: one_day.good, Status.FAILED.value: one_day.bad} for one_day in trend]
    return render_template(
        "partials/dashboard.html" if "live" in request.args else "dashboard.html",
        day=day,
        hours=_charts(by_hour),
        trend=trend,
        days=_charts(by_day),
        longs=[one_day for one_day in trend if one_day.mean is not None],
        fewest_longs=FEWEST_DURATIONS,
        failing=services().attention.failing(actor()),
        unplaced=services().unplaced.seen_by(actor()),
        late=overview.late(actor()),
        running=overview.running(actor()),
        coming=overview.coming(actor()),
        waiting=services().approvals.waiting(actor()),
        broken=services().directory.broken(in_use) if actor().groups is None else {},
        firing=firing,
        firing_more=services().incidents.firing_count(actor()) - len(firing) if firing else 0,
        given_up=services().given_up.items(actor()),
        undelivered=services().deliveries.undelivered_lately() if actor().groups is None else 0,
        broken_channels=services().channels.broken() if actor().groups is None else {},
        most_named=MOST_NAMED,
        live=services().history.live_counts(),
        used=[(services().catalogue.find(kind), kind, count) for kind, count in used],
        nodes=[(node, node.lives(now)) for node in nodes],
        silent=[condition for condition in conditions if not condition.works],
        answering=sum(condition.works for condition in conditions),
        back="/",
    )


def _charts(columns: Sequence[Mapping[str, int]]) -> tuple[Stacked, Stacked]:
    """Returns two charts of the same columns, each on a scale of its own: what went well or did not run, and what failed."""
    return stacked(columns, WENT_WELL), stacked(columns, WENT_WRONG)


@dataclass
class TrendDay:
    """One day of the viewer, and its bar in the chart of durations.

    good and bad: how many runs succeeded and failed. seconds: how long the successful ones took together. x: where the bar begins.
    """

    day: date
    x: int
    good: int = 0
    bad: int = 0
    seconds: float = 0.0
    long: float = 0.0  # height of the bar of the mean duration

    @property
    def ran(self) -> int:
        return self.good + self.bad

    @property
    def mean(self) -> float | None:
        return self.seconds / self.good if self.good else None


def _trend() -> list[TrendDay]:
    """Returns the last TREND_DAYS days of the viewer, oldest first."""
    zone, now = zone_of(viewer_zone()), services().clock.now()
    today = now.astimezone(zone).date()
    days = {on: TrendDay(on, 10 * n) for n, on in enumerate(today - timedelta(days=n) for n in reversed(range(TREND_DAYS)))}
    for at, tally in services().overview.hours(actor(), midnight(min(days)), now).items():
        day = days[at.astimezone(zone).date()]
        day.good += tally.counts.get(Status.SUCCESS, 0)
        day.bad += sum(tally.counts.get(status, 0) for status in FAILURES)
        day.seconds += tally.seconds
    longest = max(day.mean or 0.0 for day in days.values()) or 1.0
    for day in days.values():
        day.long = round(max(2.0, (day.mean or 0.0) * TALL / longest), 2) if day.mean is not None else 0.0
    return list(days.values())
