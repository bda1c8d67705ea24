"""/: what needs someone, what runs, what comes, how the last day was."""

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
    """The dashboard; `?live` is the part of it that htmx asks for anew."""
    require(actor(), May.SEE_JOBS)
    overview, now = services().overview, services().clock.now()
    day = overview.day(actor())
    in_use = services().directory.versions_in_use()
    used = list(summed(in_use).items())[:MOST_TEMPLATES]
    nodes, tried = services().nodes(), services().connections.conditions()
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
        nodes=[(one, one.lives(now)) for one in nodes],
        silent=[one for one in tried if not one.works],
        answering=sum(one.works for one in tried),
    )


def _bars(day: Day) -> list[dict[str, Any]]:
    """The chart: a column an hour, its outcomes upon each other, as tall as the largest hour is the whole height."""
    most = max((one.total for one in day.hours.values()), default=0) or 1
    bars = []
    for place, one in enumerate(day.hours.values()):
        ground = float(TALL)
        for status in OUTCOMES:
            count = one.counts.get(status, 0)
            if count:
                tall = max(1.5, count * TALL / most)
                ground -= tall
                bars.append({"x": place * 10, "y": round(ground, 2), "height": round(tall, 2), "status": status})
    return bars


@dataclass
class TrendDay:
    """One day of the viewer: how many runs succeeded and failed, the seconds that those that succeeded took; its bars, from the left."""

    day: date
    x: int
    good: int = 0
    bad: int = 0
    seconds: float = 0.0
    tall: float = 0.0  # of the bar of successes
    red: float = 0.0  # of that of failures, on top of it
    long: float = 0.0  # of the bar of the mean duration

    @property
    def ran(self) -> int:
        return self.good + self.bad

    @property
    def mean(self) -> float | None:
        return self.seconds / self.good if self.good else None


def _trend() -> list[TrendDay]:
    """The last TREND_DAYS days of the viewer, the oldest first."""
    zone, now = zone_of(viewer_zone()), services().clock.now()
    today = now.astimezone(zone).date()
    days = {day: TrendDay(day, 10 * n) for n, day in enumerate(today - timedelta(days=n) for n in reversed(range(TREND_DAYS)))}
    for at, tally in services().overview.hours(actor(), midnight(min(days)), now).items():
        one = days[at.astimezone(zone).date()]
        one.good += tally.counts.get(Status.SUCCESS, 0)
        one.bad += sum(tally.counts.get(status, 0) for status in FAILURES)
        one.seconds += tally.seconds
    most, longest = max(one.ran for one in days.values()) or 1, max(one.mean or 0.0 for one in days.values()) or 1.0
    for one in days.values():
        one.tall = round(one.good * TALL / most, 2)
        one.red = round(max(2.0, one.bad * TALL / most), 2) if one.bad else 0.0
        one.long = round(max(2.0, (one.mean or 0.0) * TALL / longest), 2) if one.mean is not None else 0.0
    return list(days.values())
