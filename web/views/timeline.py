"""The timeline of a day: a row for each job, drawn in minutes of the viewer's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.audit.model import Actor
from app.execution.overview import Overview
from app.execution.tallies import Begun
from app.instants import in_zone
from app.queue.execution import Outline
from app.queue.model import FAILURES
from app.scheduling.day_table import RARE, DueInHour, DueTimes
from app.scheduling.forecast import Forecast

MOST_ROWS = 60
MOST_SINGLE = 400  # runs that each have a bar of their own: of the long ones, of the failed, of the newest
MOST_WHOLE = 5_000  # executions of a day of which every job is a candidate for a row
MOST_MERGED = 50_000  # executions of a day of which the rows show all
MINUTES = 1440
NARROWEST = 3.0  # minutes, of a bar that one can see
NARROWEST_FAILURE = 9.0  # minutes, of the bar of a failed run, which stands out


@dataclass(frozen=True, slots=True)
class Bar:
    """A run, or a due time (without an id), that is drawn as one bar. `x` and `width` are minutes."""

    x: float
    width: float
    at: datetime
    id: str = ""
    status: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """Many runs of one status, or many due times, drawn together as one SVG path of the height of the row."""

    count: int
    path: str


@dataclass(kw_only=True)
class Row:
    """A job: its runs by status, the runs that have bars of their own by id, and its due times."""

    id: str
    name: str
    ran: dict[str, Band] = field(default_factory=dict)
    bars: dict[str, Bar] = field(default_factory=dict)
    due: Band | None = None
    marks: list[Bar] = field(default_factory=list)
    failed: bool = False
    seconds: float = 0.0
    first: float = MINUTES

    @property
    def count(self) -> int:
        """How many runs are drawn."""
        return sum(band.count for band in self.ran.values()) or len(self.bars)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The rows: jobs that failed first, each in the order of their first runs.

    more: True if there are jobs without a row. all: True if each row shows all of its runs. now: the present time in minutes, or None if
    it is not in this day.
    """

    rows: list[Row]
    more: bool
    all: bool
    now: float | None


@dataclass(frozen=True, slots=True)
class _Clock:
    """Turns instants into minutes of a day on the viewer's clock. A clock change leaves a gap, or draws one hour over another."""

    begin: datetime
    end: datetime
    zone: ZoneInfo

    def place(self, at: datetime) -> float:
        """Returns whole minutes from the beginning of the day; an instant outside the day is at its edge."""
        if at < self.begin:
            return 0.0
        if at >= self.end:
            return float(MINUTES)
        local = in_zone(at, self.zone)
        return float(local.hour * 60 + local.minute)

    def bar(self, begin: datetime, end: datetime) -> tuple[float, float]:
        """Returns where a bar begins and its width: at least NARROWEST, so that it is visible, and within the day."""
        x = min(self.place(begin), MINUTES - NARROWEST)
        return x, NARROWEST if end == begin else max(NARROWEST, self.place(end) - x)


def timeline(
    actor: Actor,
    overview: Overview,
    forecast: Forecast,
    *,
    begin: datetime,
    end: datetime,
    zone: ZoneInfo,
    now: datetime,
    total: int,
    due: Mapping[datetime, DueInHour],
) -> Timeline:
    """Returns the timeline of the day [begin, end) of a zone; `total` is its number of executions, `due` its due times by hour.

    At most MOST_ROWS jobs get a row. Up to MOST_WHOLE executions, every job that ran or is due may get one. Above that, only jobs that
    failed, took long or are due seldom. Above MOST_MERGED, the rows show only these runs and the newest ones.
    """
    clock, few, merged = _Clock(begin, end, zone), total <= MOST_WHOLE, total <= MOST_MERGED
    single = overview.drawn(actor, begin, end, MOST_SINGLE, newest=few or not merged)
    begun = overview.minutes(actor, begin, end) if few else []
    rows: dict[str, Row] = {}
    for run in single:
        row = rows.setdefault(run.job_id, Row(id=run.job_id, name=run.job_name))
        row.failed = row.failed or run.status in FAILURES
        row.seconds += 0.0 if few else run.duration_seconds or 0.0
    for starts in begun:
        rows.setdefault(starts.job_id, Row(id=starts.job_id, name=starts.job_name)).seconds += starts.seconds
    still = max(now, begin)
    others = {coming.job_id: coming.name for hour in due.values() for coming in hour.named}
    if len(rows) + len(others) <= MOST_ROWS:
        others |= forecast.due_jobs(actor, still if few else begin, end, MOST_ROWS + 1)
    for job_id, name in others.items():
        rows.setdefault(job_id, Row(id=job_id, name=name))
    chosen = {row.id: row for row in sorted(rows.values(), key=lambda row: (not row.failed, -row.seconds, row.name))[:MOST_ROWS]}
    if merged and not few:
        begun = overview.minutes(actor, begin, end, list(chosen))
    for starts in begun:
        if starts.job_id in chosen:
            _add_band(chosen[starts.job_id], starts, clock)
    for run in single:
        if run.job_id in chosen:
            _add_run(chosen[run.job_id], run, clock, now)
    for job_id, times in forecast.due_times(actor, still, end, list(chosen)).items() if still < end else ():
        _add_due(chosen[job_id], times, clock)
    shown = (row for row in chosen.values() if row.count or row.due or row.marks)
    drawn = sorted(shown, key=lambda row: (not row.failed, row.first, row.name))
    return Timeline(rows=drawn, more=len(rows) > MOST_ROWS, all=merged, now=clock.place(now) if begin <= now < end else None)


def _add_run(row: Row, run: Outline, clock: _Clock, now: datetime) -> None:
    began = run.started_at or now
    x, width = clock.bar(began, run.completed_at or now)
    if run.status in FAILURES:
        width = min(max(width, NARROWEST_FAILURE), MINUTES - x)
    row.bars[run.id] = Bar(x, width, began, run.id, run.status, run.duration_seconds)
    row.first = min(row.first, x)


def _add_band(row: Row, begun: Begun, clock: _Clock) -> None:
    starts = (clock.begin + timedelta(minutes=minute) for minute in begun.minutes)
    bars = [clock.bar(at, at) for at in starts]
    row.ran[begun.status] = Band(begun.count, outline(bars))
    row.first = min(row.first, *(x for x, _ in bars))


def _add_due(row: Row, times: DueTimes, clock: _Clock) -> None:
    bars = [clock.bar(at, at + length) for at, length in times.spans]
    if times.count <= RARE:
        row.marks = [Bar(x, width, at) for (x, width), (at, _) in zip(bars, times.spans, strict=True)]
    else:
        row.due = Band(times.count, outline(bars))
    row.first = min(row.first, *(x for x, _ in bars))


def outline(bars: Iterable[tuple[float, float]]) -> str:
    """Returns the SVG path of bars (x, width); bars that touch become one."""
    merged: list[list[float]] = []
    for x, width in sorted(bars):
        if merged and x <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], x + width)
        else:
            merged.append([x, x + width])
    return "".join(f"M{x:g} 4H{end:g}v12H{x:g}z" for x, end in merged)
