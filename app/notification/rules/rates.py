"""How many of the last runs of several jobs failed, or were missed. Pure: it goes by stored ends alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.execution.ends import EndCount
from app.notification.rules.conditions import Condition
from app.notification.rules.timing import Overdue
from app.queue.model import FAILURES, RAN, Status
from templates_lib.messages import say


@dataclass(frozen=True, slots=True)
class Rate:
    """`bad` of `all` runs; `at` and `id` are those of the last bad one."""

    bad: int
    all: int
    at: datetime | None
    id: str


def rate_of(condition: Mapping[str, Any], counts: Iterable[EndCount]) -> Rate:
    """Returns how many of some ends are of the kind that a condition counts. Failures are a part of the runs that ran, and missed runs a
    part of those that ran or were missed: skipped and cancelled runs do not count."""
    misses = condition["type"] == Condition.MISFIRE_RATE
    bad_ones, counted = (frozenset({Status.MISSED}), RAN | {Status.MISSED}) if misses else (FAILURES, RAN)
    ends = [count for count in counts if count.status in counted]
    bad = [count for count in ends if count.status in bad_ones]
    last = max(bad, key=lambda count: (count.at, count.id), default=None)
    numbers = sum(count.count for count in bad), sum(count.count for count in ends)
    return Rate(*numbers, None, "") if last is None else Rate(*numbers, last.at, last.id)


def exceeded(condition: Mapping[str, Any], rate: Rate) -> Overdue | None:
    """Returns that a rate is over the limit of a condition, since the last bad run; None if it is not, or with too few runs.

    With 10 % and at least 10 runs: 1 of 9 says nothing, 1 of 10 is not over the limit, 2 of 10 is.
    """
    if rate.at is None or rate.all < condition["least"] or 100 * rate.bad <= condition["over_percent"] * rate.all:
        return None
    numbers = {"bad": rate.bad, "all": rate.all, "percent": round(100 * rate.bad / rate.all, 1), "seconds": condition["within_seconds"]}
    if condition["type"] == Condition.MISFIRE_RATE:
        words = say("Missed runs: {bad} of {all} within {seconds} s ({percent}%).", **numbers)
    else:
        words = say("Failed runs: {bad} of {all} within {seconds} s ({percent}%).", **numbers)
    return Overdue(rate.at, f"rate:{rate.id}", words, rate.id)
