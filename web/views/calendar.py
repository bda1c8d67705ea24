"""/calendar: past executions and future due times of a month, a week or a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo  # the type; app.zones makes them

from flask import Blueprint, render_template, request

from app.accounts.permissions import May, require
from app.execution.tallies import Tallies, Tally
from app.instants import in_zone
from app.queue.model import FAILURES
from app.scheduling.day_table import DueInHour, NamedDueTime
from app.zones import zone as zone_of
from web.current import actor, services, viewer_zone
from web.views.common import midnight
from web.views.timeline import timeline

blueprint = Blueprint("calendar_pages", __name__)

VIEWS = ("month", "week", "day")
DAY = timedelta(days=1)
NAMED = 4  # due times of a day of the month
LEVELS = 5  # of the colours of a heat map
EARLIEST, LATEST = date(1971, 1, 1), date(9998, 12, 31)


@dataclass
class Cell:
    """A day or an hour: how many executions ran and failed, how many are due, and the first jobs that are due.

    more: how many due times are left out after the named ones. level: the colour in a heat map, from 0 to LEVELS.
    """

    begin: datetime
    ran: int = 0
    failed: int = 0
    due: int = 0
    named: list[NamedDueTime] = field(default_factory=list)
    more: int = 0
    level: int = 0

    @property
    def failed_share(self) -> float:
        """How much of a bar of 100 units is red; a failure is always visible."""
        return max(6.0, round(100 * self.failed / self.ran, 1)) if self.failed else 0.0


@blueprint.get("/calendar")
def show() -> str:
    """Shows the calendar. `?view=` is month (the default), week or day; `?on=` is a date in it."""
    require(actor(), May.SEE_EXECUTIONS)
    zone, now = zone_of(viewer_zone()), services().clock.now()
    view = request.args.get("view", "month") if request.args.get("view") in VIEWS else "month"
    today = now.astimezone(zone).date()
    on = _date(request.args.get("on", ""), today)
    first, days = _span(view, on)
    begin, end = midnight(first), midnight(first + days * DAY)
    ran = services().overview.hours(actor(), begin, end)
    due = services().forecast.hours(actor(), max(now, begin), end, zone.key) if end > now else {}
    shown: dict[str, Any] = {"view": view, "on": on, "today": today, "first": first, "days": days, "zone": zone.key}
    earlier, later = (on - (days * DAY), on + (days * DAY)) if view != "month" else _months(on)
    shown |= {"earlier": max(earlier, EARLIEST), "later": min(later, LATEST), "views": VIEWS}
    match view:
        case "month":
            cells = _by_day(ran, due, first, days, zone)
            return render_template("calendar.html", **shown, weeks=[cells[n : n + 7] for n in range(0, days, 7)])
        case "week":
            by_day = _by_day(ran, due, first, days, zone)
            return render_template("calendar.html", **shown, hours=_by_hour(ran, due, first, zone), totals=by_day)
    total = sum(tally.total for tally in ran.values())
    drawn = timeline(actor(), services().overview, services().forecast, begin=begin, end=end, zone=zone, now=now, total=total, due=due)
    return render_template("calendar.html", **shown, timeline=drawn, total=total)


def _date(text: str, today: date) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return today
    return min(max(day, EARLIEST), LATEST)


def _span(view: str, on: date) -> tuple[date, int]:
    """Returns the first day that a view shows, and the number of days. A month is shown in whole weeks from Monday."""
    if view == "day":
        return on, 1
    monday = on - timedelta(days=on.weekday())
    if view == "week":
        return monday, 7
    first = on.replace(day=1)
    last = _months(on)[1].replace(day=1) - DAY
    monday = first - timedelta(days=first.weekday())
    return monday, ((last - monday).days // 7 + 1) * 7


def _months(on: date) -> tuple[date, date]:
    """Returns the first day of the month before, and of the month after."""
    first = on.replace(day=1)
    return (first - DAY).replace(day=1), (first + 31 * DAY).replace(day=1)


def _failed(tally: Tally) -> int:
    return sum(tally.counts.get(status, 0) for status in FAILURES)


def _by_day(ran: Tallies, due: Mapping[datetime, DueInHour], first: date, days: int, zone: ZoneInfo) -> list[Cell]:
    cells = [Cell(in_zone(midnight(first + n * DAY), zone)) for n in range(days)]
    by_date = {cell.begin.date(): cell for cell in cells}
    for at, tally in ran.items():
        cell = by_date.get(in_zone(at, zone).date())
        if cell is not None:
            cell.ran += tally.total
            cell.failed += _failed(tally)
    for at, due_times in due.items():
        cell = by_date.get(at.date())
        if cell is not None:
            cell.due += due_times.count
            cell.named += due_times.named
    for cell in cells:
        named = sorted(set(cell.named), key=lambda coming: (coming.at, coming.name))
        cell.named = named[:NAMED]
        cell.more = max(0, cell.due - len(cell.named)) if cell.named else 0
    return cells


def _by_hour(ran: Tallies, due: Mapping[datetime, DueInHour], first: date, zone: ZoneInfo) -> list[list[Cell]]:
    """Returns a row for each hour of the clock, with a cell for each day. An hour that happens twice (clock change) is one cell."""
    cells = [[Cell(datetime.combine(first + n * DAY, time(hour), zone)) for n in range(7)] for hour in range(24)]
    for at, tally in ran.items():
        local = in_zone(at, zone)
        cell = cells[local.hour][(local.date() - first).days]
        cell.ran += tally.total
        cell.failed += _failed(tally)
    for at, due_times in due.items():
        cell = cells[at.hour][(at.date() - first).days]
        cell.due += due_times.count
        cell.named += due_times.named
    most = max((cell.ran + cell.due for row in cells for cell in row), default=0)
    for row in cells:
        for cell in row:
            cell.level = -(-(cell.ran + cell.due) * LEVELS // most) if most else 0
    return cells
