"""Two years of cron jobs in five time zones, with calendars, pauses, edits and outages: each late and each missed run is found, and no other.

The engine is the real `plan_due` under a clock that jumps; rules look by their pure functions at what it leaves behind. What is expected is
worked out from due times, pauses, blackouts and starts alone."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from app.execution.ends import EndedRun, LiveRun
from app.jobs.model import Misfire, MisfirePolicy
from app.notification.announcing import Subject, SubjectKind
from app.notification.incidents.deciding import AlertEvent, decide_alerts
from app.notification.incidents.incident import Incident, Mark
from app.notification.rules.judging import Judgement, Verdict, judge
from app.notification.rules.rule import AlertRule
from app.notification.rules.timing import overdue_runs, unplanned, was_overdue
from app.queue.model import Status
from app.scheduling.calendars import NO_BLACKOUTS, Blackouts, Calendar
from app.scheduling.plan import plan_due
from app.triggers import CronTrigger
from tests.lengths import one_in

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Auckland")
CRONS = ("0 2 * * *", "30 2 * * *", "15 1 * * 1-5", "0 */6 * * *", "45 23 1,15 * *", "5 0 * * 0", "30 1,13 * * *", "0 3 * * *")
WEEKENDS = Calendar("Weekends", {"timezone": "Europe/Berlin", "weekly": [{"days": ["sat", "sun"], "from": "00:00", "to": "24:00"}]})
NIGHTS = Calendar("Nights", {"timezone": "Asia/Kolkata", "weekly": [{"days": ["mon", "wed"], "from": "00:00", "to": "05:00"}]})
GRACE = 600
LATE = {"type": "late", "grace_seconds": GRACE}
MISSED = AlertRule(id="m", name="Missed", condition={"type": "missed"})
RULE = AlertRule(id="l", name="Late", condition=LATE)


def outages() -> list[tuple[datetime, datetime]]:
    """When no node was there: the same for all jobs."""
    chance, found, at = random.Random(1), [], BEGIN
    while True:
        begin = at + timedelta(days=chance.uniform(2, 20))
        at = begin + timedelta(minutes=chance.choice([3, 9, 30, 240, 1500]) * chance.uniform(0.5, 1.5))
        if at > END:
            return found
        found.append((begin, at))


OUTAGES = outages()
STARTS = [begin for begin, _ in OUTAGES]


def awake(at: datetime) -> datetime:
    """Returns when a node is there, from then on."""
    place = bisect_right(STARTS, at) - 1
    return OUTAGES[place][1] if place >= 0 and at < OUTAGES[place][1] else at


@dataclass
class Life:
    """One job for two years: what the engine does with it, what rules find, and what they should."""

    number: int
    found: set[datetime] = field(default_factory=set)
    expected: set[datetime] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)
    missed_records: int = 0
    unsure: set[datetime] = field(default_factory=set)
    late: Incident | None = None
    runs: list[EndedRun] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.number)
        self.subject = Subject(kind=SubjectKind.JOB, id=f"j{self.number}", name="Job")
        self.zone = ZONES[self.number % len(ZONES)]
        self.blackouts = (NO_BLACKOUTS, Blackouts([WEEKENDS]), Blackouts([NIGHTS]))[self.number % 3]
        self.edits = self.pauses = 0
        self.is_paused = False  # by a calendar, until the end of its blackout: that is no due time, and rules do not look at it
        policy = list(MisfirePolicy)[self.number // 3 % len(MisfirePolicy)]  # with each calendar, each policy
        self.misfire = Misfire(policy=policy, grace_seconds=self.chance.choice([60, 300, 3600]), max_catch_up=5)

    def changes(self) -> Iterator[tuple[datetime, str]]:
        """Pauses, ends of pauses, and edits, while a node is there."""
        at, paused = BEGIN, False
        while at < END:
            at = awake(at + timedelta(days=self.chance.uniform(5, 60)) * (0.1 if paused else 1))
            kind = "resume" if paused else self.chance.choice(["pause", "edit"])
            paused = kind == "pause"
            yield at, kind

    def live(self) -> None:
        """Lives for two years."""
        trigger = self._trigger()
        due: datetime | None = trigger.next_after(BEGIN)
        for change_at, kind in self.changes():
            while due is not None and due < min(change_at, END):
                now = awake(due)
                if now >= change_at:
                    break
                due = self._dispatch(trigger, due, now, change_at)
            self.edits, self.pauses = self.edits + (kind == "edit"), self.pauses + (kind == "pause")
            if kind == "edit":
                trigger = self._trigger()
            self.is_paused = False
            due = None if kind == "pause" else trigger.next_after(change_at)

    def _trigger(self) -> CronTrigger:
        return CronTrigger(expression=self.chance.choice(CRONS), timezone=self.zone)

    def _dispatch(self, trigger: CronTrigger, due: datetime, now: datetime, change_at: datetime) -> datetime | None:
        is_open = not self.is_paused and self.blackouts.at(due) is None
        if is_open:
            self._see(unplanned(LATE, due, now), now)  # rules look before the dispatcher does
        plan = plan_due(trigger, due, now, misfire=self.misfire, blackouts=self.blackouts)
        for at in plan.runs:
            self._run(at, now, change_at)
        if plan.missed is not None:
            self._record(plan.missed.first, Status.MISSED, now)
            self.expected |= {plan.missed.first} if now >= plan.missed.first + timedelta(seconds=GRACE) else set()
        self.is_paused = plan.closed is not None
        if plan.closed is not None:
            self._close(plan.closed.since_due, due if is_open else None, now)
        return plan.next_run_at

    def _close(self, since_due: datetime, due: datetime | None, now: datetime) -> None:
        """A blackout has begun. What was due before it and was late by then has no record of its own: rules have seen `due`."""
        is_late = since_due + timedelta(seconds=GRACE) <= now and self.blackouts.at(since_due) is None
        if is_late and since_due == due:
            self.expected.add(due)
        elif is_late:
            self.unsure.add(since_due)

    def _run(self, due: datetime, now: datetime, change_at: datetime) -> None:
        delay = timedelta(seconds=self.chance.choice([0, 1, 5, 30, 599, 600, 601, 3000]) if self.chance.random() < 0.1 else 2)
        start = awake(now + delay)
        late_at = due + timedelta(seconds=GRACE)
        waits = LiveRun(id=f"e{due}", job_id=self.subject.id, status=Status.QUEUED, queued_at=now, scheduled_for=due)
        settled = min(start, change_at)
        for look in (late_at - timedelta(milliseconds=1), late_at, late_at + timedelta(seconds=5)):
            if now <= look < settled and awake(look) == look:
                for overdue in overdue_runs(LATE, [waits], look):
                    self._see(overdue, look)
        if settled > late_at:
            self.expected.add(due)
        if start > change_at:  # a pause or an edit takes it out of the queue
            if settled > late_at and awake(late_at) != late_at:
                self.unsure.add(due)  # nobody was there to see it wait, and its record does not say it
            self._record(due, Status.SKIPPED, change_at)
            return
        self._record(due, Status.SUCCESS, start + timedelta(seconds=10), started_at=start)

    def _record(self, due: datetime, status: Status, at: datetime, started_at: datetime | None = None) -> None:
        run = EndedRun(id=f"e{due}", job_id="j", status=status, completed_at=at, scheduled_for=due, started_at=started_at, queued_at=due)
        past = was_overdue(LATE, run)
        if past is not None:
            self._see(past[0], at)
            self._decide(Verdict.OVER, past[1], run.id)
        self.missed_records += status is Status.MISSED
        if judge(MISSED.condition, [run]).verdict is Verdict.HOLDS:
            self.missed.add(run.id)

    def _see(self, overdue: object, now: datetime) -> None:
        if overdue is None:
            return
        at = overdue.at  # type: ignore[attr-defined]
        assert at <= now, "nothing is found before it is so"
        self.found.add(at - timedelta(seconds=GRACE))
        self._decide(Verdict.HOLDS, at, overdue.id)  # type: ignore[attr-defined]

    def _decide(self, verdict: Verdict, at: datetime, event_id: str) -> None:
        event = AlertEvent(mark=Mark(at, event_id), judgement=Judgement(verdict=verdict, why="."))
        before = self.late
        self.late = decide_alerts(before, event, RULE, self.subject)
        if self.late is not None and before is not None and self.late.id != before.id:
            assert self.late.opened_at > before.opened_at


@pytest.mark.parametrize("number", one_in(7, range(200)))
def test_each_late_and_each_missed_run_is_found_and_no_other(number: int) -> None:
    life = Life(number)
    life.live()
    assert life.found - life.expected == set(), "false"
    assert life.expected - life.found == set(), "missing"
    assert len(life.missed) == life.missed_records
    assert life.unsure == set(), "each due time is judged"


def test_there_is_something_to_find_in_each_zone_with_each_calendar() -> None:
    lives = [Life(number) for number in range(15)]  # each zone with each calendar, once
    for life in lives:
        life.live()
    assert len({(life.zone, life.blackouts) for life in lives}) == len(lives)
    assert all(len(life.expected) >= 5 for life in lives), [len(life.expected) for life in lives]
    assert all(life.edits >= 5 and life.pauses >= 5 for life in lives)
    assert sum(life.missed_records for life in lives) >= 50
