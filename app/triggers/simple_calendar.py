"""Calendar rules as people think of them: every second Friday, on the last working day of the month. It reads and writes rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from app.triggers.recurrence import MOST_INTERVAL, NEAR, WEEKDAYS, WORKING_DAYS, Recurrence, RuleError, read_rule

LAST = -1
NTHS = (1, 2, 3, 4, 5, LAST)
WORKING = "working"  # any of Monday to Friday


class Pick(StrEnum):
    """Which days."""

    WEEKS = "weeks"  # on `weekdays` of every `interval` weeks
    DATE = "date"  # on `day` of every `interval` months
    NTH = "nth"  # on the `nth` `kind` of every `interval` months
    NEAR = "near"  # on the weekday nearest to `day` of every `interval` months


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleCalendar:
    """A rule that the builder of the form can show. `weekdays` are numbers from 0, which is Monday, to 6; `kind` is one of WEEKDAYS, or
    WORKING; `day` and `nth` may be LAST."""

    pick: Pick = Pick.WEEKS
    interval: int = 1
    weekdays: tuple[int, ...] = (4,)
    day: int = 1
    nth: int = LAST
    kind: str = WORKING
    hour: int = 9
    minute: int = 0

    @property
    def rule(self) -> str:
        """The rule as text."""
        frequency = "WEEKLY" if self.pick is Pick.WEEKS else "MONTHLY"
        parts = [f"FREQ={frequency}", *([f"INTERVAL={self.interval}"] if self.interval > 1 else []), *self._days()]
        return ";".join([*parts, f"BYHOUR={self.hour}", f"BYMINUTE={self.minute}"])

    def _days(self) -> list[str]:
        match self.pick:
            case Pick.WEEKS:
                return [f"BYDAY={','.join(WEEKDAYS[number] for number in self.weekdays)}"]
            case Pick.DATE:
                return [f"BYMONTHDAY={self.day}"]
            case Pick.NEAR:
                return [f"{NEAR}={self.day}"]
        if self.kind == WORKING:
            return [f"BYDAY={','.join(WEEKDAYS[number] for number in WORKING_DAYS)}", f"BYSETPOS={self.nth}"]
        return [f"BYDAY={self.nth}{self.kind}"]


def from_builder(fields: Mapping[str, str], weekdays: Sequence[str]) -> SimpleCalendar:
    """What the posted fields of the builder mean. A field that is missing or makes no sense has its default."""
    default = SimpleCalendar()
    pick = Pick(fields["pick"]) if fields.get("pick") in list(Pick) else default.pick
    day = _whole(fields.get("day", ""), (LAST, *range(1, 32)), default.day)
    clock = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(:[0-9]{2})?", fields.get("time", ""))
    hour, minute = (int(clock[1]), int(clock[2])) if clock and int(clock[1]) < 24 and int(clock[2]) < 60 else (default.hour, default.minute)
    return SimpleCalendar(
        pick=pick,
        interval=_whole(fields.get("interval", ""), range(1, MOST_INTERVAL + 1), default.interval),
        weekdays=tuple(sorted({int(number) for number in weekdays if number in set("0123456")})) or default.weekdays,
        day=default.day if pick is Pick.NEAR and day == LAST else day,
        nth=_whole(fields.get("nth", ""), NTHS, default.nth),
        kind=fields["kind"] if fields.get("kind") in WEEKDAYS else default.kind,
        hour=hour,
        minute=minute,
    )


def simplified(text: str) -> SimpleCalendar | None:
    """The rule as a SimpleCalendar; None if it cannot say the same, or if the rule is wrong."""
    try:
        rule = read_rule(text)
    except RuleError:
        return None
    if len(rule.seconds) != 1 or rule.seconds[0] % 60 or rule.months or rule.week_start:
        return None
    hour, minute = rule.seconds[0] // 3600, rule.seconds[0] // 60 % 60
    simple = _simple_days(rule)
    return None if simple is None else replace(simple, interval=rule.interval, hour=hour, minute=minute)


def _simple_days(rule: Recurrence) -> SimpleCalendar | None:
    """The days of a rule, without its interval and time; None if the builder cannot show them."""
    numbers = tuple(number for _, number in rule.weekdays)
    if rule.frequency == "WEEKLY":
        return None if rule.positions else SimpleCalendar(pick=Pick.WEEKS, weekdays=numbers)
    if rule.frequency != "MONTHLY":
        return None
    match (rule.near, rule.month_days, rule.weekdays, rule.positions):
        case ((-1,), (), (), ()):
            return SimpleCalendar(pick=Pick.NTH)
        case ((day,), (), (), ()) if day > 0:
            return SimpleCalendar(pick=Pick.NEAR, day=day)
        case ((), (day,), (), ()) if day >= LAST:
            return SimpleCalendar(pick=Pick.DATE, day=day)
        case ((), (), ((nth, number),), ()) if nth in NTHS:
            return SimpleCalendar(pick=Pick.NTH, nth=nth, kind=WEEKDAYS[number])
        case ((), (), _, (nth,)) if nth in NTHS and numbers == WORKING_DAYS and not any(n for n, _ in rule.weekdays):
            return SimpleCalendar(pick=Pick.NTH, nth=nth, kind=WORKING)
    return None


def _whole(text: str, known: Sequence[int], default: int) -> int:
    return int(text) if re.fullmatch(r"-?[0-9]{1,4}", text) and int(text) in known else default
