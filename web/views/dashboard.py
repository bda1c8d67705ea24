"""/: the dashboard. It shows problems that need a person, what runs now, what comes next, and the last day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, render_template, request

from app.accounts.permissions import May, require
from app.execution.overview import Day
from app.jobs.directory import summed
from app.queue.model import FAILURES, Status
from app.zones import zone as zone_of
from web.current import actor, services, viewer_zone
from web.filters.results import OUTCOMES
from web.views.common import midnight

blueprint = Blueprint("dashboard_pages", __name__)

TALL = 100  # of the chart, in its own units
MOST_TEMPLATES = 6
TREND_DAYS = 14


@blueprint.get("/")
def show() -> str:
    """Shows the dashboard. With `?live`, shows only the part that htmx refreshes."""
    require(actor(), May.SEE_JOBS)
    overview, now = services().overview, services().clock.now()
    day = overview.day(actor())
    in_use = services().directory.versions_in_use()
    used = list(summed(in_use).items())[:MOST_TEMPLATES]
    nodes, conditions = services().nodes(), services().connections.conditions()
    return render_template(
        "partials/dashboard.html" if "live" in request.args else "dashboard.html",
        day=day,
        bars=_bars(day),
        trend=_trend(),
        late=overview.late(actor()),
        running=overview.running(actor()),
        coming=overview.coming(actor()),
        waiting=services().approvals.waiting(actor()),
        broken=services().directory.broken(in_use) if actor().groups is None else {},
        live=services().history.live_counts(),
        used=[(services().catalogue.find(kind), kind, count) for kind, count in used],
        nodes=[(node, node.lives(now)) for node in nodes],
        silent=[condition for condition in conditions if not condition.works],
        answering=sum(condition.works for condition in conditions),
    )


def _bars(day: Day) -> list[dict[str, Any]]:
    """Returns the bars of the chart: a column for each hour, with one bar on top of another for each outcome. The largest hour has TALL."""
    most = max((hour.total for hour in day.hours.values()), default=0) or 1
    bars = []
    for index, hour in enumerate(day.hours.values()):
        ground = float(TALL)
        for status in OUTCOMES:
            count = hour.counts.get(status, 0)
            if count:
                tall = max(1.5, count * TALL / most)
                ground -= tall
                bars.append({"x": index * 10, "y": round(ground, 2), "height": round(tall, 2), "status": status})
    return bars


@dataclass
class TrendDay:
    """One day of the viewer, and its bars in the chart.

    good and bad: how many runs succeeded and failed. seconds: how long the successful ones took together. x: where the bars begin.
    """

    day: date
    x: int
    good: int = 0
    bad: int = 0
    seconds: float = 0.0
    tall: float = 0.0  # height of the bar of successes
    red: float = 0.0  # height of the bar of failures, which stands on top of it
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
    most, longest = max(day.ran for day in days.values()) or 1, max(day.mean or 0.0 for day in days.values()) or 1.0
    for day in days.values():
        day.tall = round(day.good * TALL / most, 2)
        day.red = round(max(2.0, day.bad * TALL / most), 2) if day.bad else 0.0
        day.long = round(max(2.0, (day.mean or 0.0) * TALL / longest), 2) if day.mean is not None else 0.0
    return list(days.values())
