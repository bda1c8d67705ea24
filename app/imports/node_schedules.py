"""Expressions of Node's cron-parser in the terms of Jobwright: a cron expression, or a calendar rule where it has `L` or `#`."""

from __future__ import annotations

from collections.abc import Collection

from app.imports.cron_fields import DAYS
from app.imports.node_times import NodeCron, Refused

MOST_TIMES = 1440  # a day, of a calendar rule
_WEEKDAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")


def node_schedule(cron: NodeCron, skipped: Collection[int] = ()) -> dict[str, str]:
    """Returns the fields of the schedule, without its time zone. `skipped` are days of the week without runs, from 0 for Sunday.

    Only where all 24 hours are due does a field begin with `*`: with that, the job follows the clock through a change as cron-parser does.
    Raises Refused for what neither a cron expression nor a rule says.
    """
    if cron.last_day or cron.last_weekdays or cron.nth:
        return {"type": "calendar", "rule": _rule(cron)}
    star = cron.follows_clock
    weekdays, any_weekday = cron.weekdays, cron.any_weekday
    if skipped and not cron.any_day:
        raise Refused("days of the month together with days that are skipped are neither a cron expression nor a rule")
    if skipped:
        weekdays, any_weekday = weekdays - frozenset(skipped), False
    fields = [
        _numbers(cron.minutes, 0, 59, star=star),
        "*" if star else _numbers(cron.hours, 0, 23, star=False),
        "*" if cron.any_day else _numbers(cron.days, 1, 31, star=False),
        _numbers(cron.months, 1, 12, star=True),
        "*" if any_weekday else _numbers(weekdays, 0, 6, star=False),
    ]
    if cron.seconds != frozenset({0}):
        fields = [_numbers(cron.seconds, 0, 59, star=True), *fields]
    return {"type": "cron", "expression": " ".join(fields)}


def _rule(cron: NodeCron) -> str:
    if not (cron.any_day or cron.any_weekday):
        raise Refused("L or # as one of two alternatives is neither a cron expression nor a rule")
    if len(cron.hours) * len(cron.minutes) * len(cron.seconds) > MOST_TIMES:
        raise Refused(f"a rule has at most {MOST_TIMES:,} times a day")
    parts = ["FREQ=MONTHLY"]
    if len(cron.months) < 12:
        parts.append(f"BYMONTH={_listed(cron.months)}")
    if cron.any_weekday:
        parts.append(f"BYMONTHDAY={','.join(map(str, [*sorted(cron.days), *([-1] if cron.last_day else [])]))}")
    else:
        numbered = [f"{cron.nth or ''}{_WEEKDAYS[number]}" for number in sorted(cron.weekdays)]
        parts.append(f"BYDAY={','.join([*numbered, *(f'-1{_WEEKDAYS[number]}' for number in sorted(cron.last_weekdays))])}")
    parts += [f"BYHOUR={_listed(cron.hours)}", f"BYMINUTE={_listed(cron.minutes)}"]
    if cron.seconds != frozenset({0}):
        parts.append(f"BYSECOND={_listed(cron.seconds)}")
    return ";".join(parts)


def _listed(numbers: Collection[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def _numbers(numbers: Collection[int], low: int, high: int, *, star: bool) -> str:
    """Returns numbers as a field: `*`, a step, ranges, or a list. Without `star` it does not begin with `*`."""
    ordered = sorted(numbers)
    if len(ordered) == high - low + 1:
        return "*" if star else f"{low}-{high}"
    step = ordered[1] - ordered[0] if len(ordered) > 2 else 0
    if step > 1 and ordered == list(range(ordered[0], high + 1, step)):
        return f"*/{step}" if star and ordered[0] == low else f"{ordered[0]}-{high}/{step}"
    terms, begin = [], 0
    for place, number in enumerate(ordered):
        if place + 1 == len(ordered) or ordered[place + 1] != number + 1:
            first = ordered[begin]
            terms.append(str(first) if first == number else f"{first}-{number}" if number > first + 1 else f"{first},{number}")
            begin = place + 1
    return ",".join(terms)


def day_names(numbers: Collection[int]) -> str:
    """Returns days of the week from 0 for Sunday as short names: `sat, sun`."""
    return ", ".join(DAYS[number % 7] for number in sorted(numbers))
