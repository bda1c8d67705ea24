"""/: what needs someone, what runs, what comes, how the last day was."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, render_template, request

from app.accounts.permissions import May, require
from app.execution.model import Status
from app.execution.overview import Day
from app.execution.updates import FAILURES
from web.filters import OUTCOMES
from web.views.common import actor, midnight, viewer_zone
from web.views.signin import services

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
    used = sorted(services().jobs.counts_by_template().items(), key=lambda one: -one[1])[:MOST_TEMPLATES]
    nodes = services().nodes()
    return render_template(
        "partials/dashboard.html" if "live" in request.args else "dashboard.html", day=day, bars=_bars(day), trend=_trend(),
        late=overview.late(actor()), running=overview.running(actor()), coming=overview.coming(actor()),
        waiting=services().approvals.waiting(actor()), broken=services().jobs.broken() if actor().groups is None else {},
        live=services().executions.live_counts(), used=[(services().catalogue.find(kind), kind, count) for kind, count in used],
        nodes=[(one, one.lives(now)) for one in nodes],
    )  # fmt: skip


def _bars(day: Day) -> list[dict[str, Any]]:
    """The chart: a column an hour, its outcomes upon each other, as tall as the largest hour is the whole height."""
    most = max((one.total for one in day.hours), default=0) or 1
    bars = []
    for place, one in enumerate(day.hours):
        ground = float(TALL)
        for status in OUTCOMES:
            count = one.counts.get(status, 0)
            if count:
                tall = max(1.5, count * TALL / most)
                ground -= tall
                bars.append({"x": place * 10, "y": round(ground, 2), "height": round(tall, 2), "status": status})
    return bars


def _trend() -> list[dict[str, Any]]:
    """The last TREND_DAYS days of the viewer, the oldest first: how many ran to an end, and the share of those that succeeded."""
    zone, now = ZoneInfo(viewer_zone()), services().clock.now()
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=n) for n in reversed(range(TREND_DAYS))]
    good, bad = Counter[date](), Counter[date]()
    for at, counts in services().overview.hours(actor(), midnight(days[0]), now).items():
        day = at.astimezone(zone).date()
        good[day] += counts.get(Status.SUCCESS, 0)
        bad[day] += sum(counts.get(status, 0) for status in FAILURES)
    most = max((good[day] + bad[day] for day in days), default=0) or 1
    return [
        {
            "day": day, "ran": good[day] + bad[day], "bad": bad[day], "x": place * 10,
            "tall": round(good[day] * TALL / most, 2), "red": round(max(2.0, bad[day] * TALL / most), 2) if bad[day] else 0,
        }
        for place, day in enumerate(days)
    ]  # fmt: skip
