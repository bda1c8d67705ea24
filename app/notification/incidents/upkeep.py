"""What becomes of incidents by time alone, and what others have left. Any number of nodes may do it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from app.clock import Clock
from app.execution.end_store import EndStore
from app.notification.incidents.applying import Incidence
from app.notification.incidents.ends import AlertEnds
from app.notification.incidents.leaving import JobsThatLeft
from app.notification.incidents.overdue import OverdueJobs
from app.notification.incidents.store import IncidentStore
from app.notification.incidents.troubles import Troubles
from app.notification.rules.book import RuleBook
from app.notification.rules.rule import AlertRule
from app.queue.execution import Execution
from templates_lib.messages import say

IDLE_SECONDS = 10.0  # for which a process goes by what it has read: that there are no rules
# Ends of this time after a rule was made may owe nothing to it, as a process did not know of it; with some slack between clocks.
UNKNOWN_FOR = timedelta(seconds=2 * IDLE_SECONDS)
LOOKED_AT_FOR = timedelta(minutes=5)  # after a rule was changed
LEFT_AFTER = timedelta(seconds=5)  # after which what is unsaid was left by a node that was killed
MOST_AT_ONCE = 200
MOST_ENDS = 5_000


class AlertUpkeep:
    """Lets waits, reminders and escalations come about, applies rules by time, and announces what a killed node has left. Closes the
    incidents of rules and jobs that are gone, and applies new rules to the ends that were written before all processes knew of them."""

    def __init__(
        self,
        *,
        book: RuleBook,
        incidents: IncidentStore,
        incidence: Incidence,
        ends: EndStore,
        alert_ends: AlertEnds,
        find: Callable[[str], Execution | None],
        overdue: OverdueJobs,
        troubles: Troubles,
        left: JobsThatLeft,
        clock: Clock,
    ) -> None:
        self._book, self._incidents, self._incidence, self._clock = book, incidents, incidence, clock
        self._ends, self._alert_ends, self._find = ends, alert_ends, find
        self._overdue, self._troubles, self._left = overdue, troubles, left
        self._caught_up: dict[str, tuple[int, datetime]] = {}  # by rule: its version, and until when ends were looked at

    def tick(self) -> None:
        """Does what is due now."""
        began = time.monotonic()  # before it is read: a pause after that makes nothing older than it says
        rules = {rule.id: rule for rule in self._book.all()}
        AlertEnds.idle_until = float("-inf") if rules else began + IDLE_SECONDS
        now = self._clock.now()
        self._close_orphans(rules, now)
        if rules:
            self._pass_time(rules, now)
            self._catch_up(list(rules.values()), now)
            self._overdue.tick()
            self._troubles.tick()
            self._left.tick(rules)

    def forget(self, age: timedelta) -> int:
        """Removes some of the incidents that have been over for longer than this."""
        return self._incidents.forget(self._clock.now() - age)

    def _pass_time(self, rules: Mapping[str, AlertRule], now: datetime) -> None:
        for incident in self._incidents.due(now, MOST_AT_ONCE):
            if incident.rule_id in rules:
                self._incidence.pass_time(incident, rules[incident.rule_id], now)
        for incident in self._incidents.unsaid(MOST_AT_ONCE):
            if incident.rule_id in rules and incident.unsaid[0].at <= now - LEFT_AFTER:
                self._incidence.say(incident, rules[incident.rule_id])

    def _close_orphans(self, rules: Mapping[str, AlertRule], now: datetime) -> None:
        for incident in self._incidents.open_of_others(list(rules), MOST_AT_ONCE):
            self._incidence.close(incident, now, say("The rule was disabled or deleted."))

    def _catch_up(self, rules: Sequence[AlertRule], now: datetime) -> None:
        for rule in rules:
            changed_at = rule.updated_at
            if changed_at is None or now - changed_at > LOOKED_AT_FOR:
                self._caught_up.pop(rule.id, None)
                continue
            version, begin = self._caught_up.get(rule.id, (0, changed_at))
            begin = begin if version == rule.version else changed_at
            end = min(now, changed_at + UNKNOWN_FOR)
            if begin < end:
                self._apply(rule, begin - LEFT_AFTER, end)
                self._caught_up[rule.id] = rule.version, end

    def _apply(self, rule: AlertRule, begin: datetime, end: datetime) -> None:
        for execution_id in self._ends.between(max(begin, rule.updated_at or begin), end, MOST_ENDS):
            execution = self._find(execution_id)
            if execution is not None and self._alert_ends.wants_still(execution):
                self._alert_ends.carry_out(execution)
