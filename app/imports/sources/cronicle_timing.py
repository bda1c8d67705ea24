"""When events of Cronicle and xyOps are due: lists of numbers that must all match, by the clock of a time zone."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from app.imports.fires import Times
from app.imports.intervals import interval_seconds, interval_times, single_time
from app.imports.sources.documents import elements, mapping, whole
from app.imports.wall_schedules import HOURS, MONTH_DAYS, MONTHS, SIXTY, WEEK, NoSchedule, WallSets
from app.imports.wall_times import Twice, wall_times

_YEARS = range(1970, 2200)
_LATEST = 221_845_392_000  # the year 9000, in seconds since 1970
_BY_HAND = frozenset({"manual", "magic", "catchup", "keyboard"})  # triggers of xyOps without times


def _is_on(part: Mapping[str, Any]) -> bool:
    """Whether a trigger, a limit or an action of xyOps is enabled, which is the default."""
    return str(part.get("enabled", "true")).lower() not in {"false", "0"}


class TimingRefused(ValueError):
    """Times that the old scheduler does not know, or that Jobwright has no schedule for; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CronicleTiming:
    """When an event is due. `timezone` is "" if the times do not name one."""

    sets: WallSets
    timezone: str = ""

    def matches_day(self, day: date) -> bool:
        """Whether the event is due on a day. Negative days of the month count from the last one."""
        sets, length = self.sets, monthrange(day.year, day.month)[1]
        of_month = day.day in sets.month_days or day.day - length - 1 in sets.month_days
        years = sets.years is None or day.year in sets.years
        return years and day.month in sets.months and of_month and day.isoweekday() % 7 in sets.weekdays

    def times(self, timezone: str, after: datetime, until: datetime) -> Iterator[datetime]:
        """The times in (after, until]. A time that the clock skips does not come, and one that comes twice comes twice."""
        seconds = [hour * 3600 + minute * 60 for hour in sorted(self.sets.hours) for minute in sorted(self.sets.minutes)]
        return wall_times(self.matches_day, seconds, timezone, Twice.BOTH, after, until)


def read_timing(timing: Any) -> CronicleTiming | None:
    """Reads the timing of Cronicle (an object) or the triggers of xyOps (a list); None if the event has no times. Raises TimingRefused."""
    if isinstance(timing, list):
        return _triggers([trigger for trigger in timing if isinstance(trigger, Mapping)])
    if not isinstance(timing, Mapping):
        return None
    return CronicleTiming(sets=_sets(timing))


def _triggers(triggers: list[Mapping[str, Any]]) -> CronicleTiming | None:
    active = [trigger for trigger in triggers if _is_on(trigger)]
    schedules = [trigger for trigger in active if trigger.get("type") == "schedule"]
    others = sorted({str(trigger.get("type")) for trigger in active} - {"schedule", *_BY_HAND})
    if others:
        raise TimingRefused(f"the event has triggers of other types: {', '.join(others)}")
    if not schedules:
        return None
    zones = {str(trigger.get("timezone") or "") for trigger in schedules}
    if len(schedules) > 1:
        merged = _merged([_sets(trigger) for trigger in schedules]) if len(zones) == 1 else None
        if merged is None:
            raise TimingRefused(f"the event has {len(schedules)} schedules that are not one")
        return CronicleTiming(sets=merged, timezone=zones.pop())
    return CronicleTiming(sets=_sets(schedules[0]), timezone=zones.pop())


def _merged(sets: list[WallSets]) -> WallSets | None:
    """Schedules that differ in their hours only are one."""
    first = sets[0]
    hours = frozenset(hour for each in sets for hour in each.hours)
    same = all(replace(each, hours=first.hours) == first for each in sets)
    return replace(first, hours=hours) if same else None


def _sets(timing: Mapping[str, Any]) -> WallSets:
    days = _numbers(timing, "days", range(-31, 32))
    return WallSets(
        hours=_numbers(timing, "hours", HOURS) or HOURS,
        minutes=_numbers(timing, "minutes", SIXTY) or SIXTY,
        months=_numbers(timing, "months", MONTHS) or MONTHS,
        month_days=days - {0} if days else MONTH_DAYS,
        weekdays=_numbers(timing, "weekdays", WEEK) or WEEK,
        years=_numbers(timing, "years", _YEARS) or None,
    )


def _numbers(timing: Mapping[str, Any], name: str, known: range) -> frozenset[int]:
    """The numbers of a list; none if it is missing or empty, which means all."""
    values = timing.get(name)
    if not values:
        return frozenset()
    try:
        found = frozenset(int(str(value)) for value in values)
    except (TypeError, ValueError) as error:
        raise TimingRefused(f"{name} are not numbers") from error
    if not found <= frozenset(known):
        raise TimingRefused(f"{name} are not all between {known[0]} and {known[-1]}")
    return found


def read_instants(timing: Any) -> tuple[dict[str, Any], Times] | None:
    """Returns the schedule and the times of an event of xyOps whose only trigger is an interval or a single time; None for all others.
    Raises NoSchedule."""
    active = [trigger for trigger in map(mapping, elements(timing)) if _is_on(trigger) and trigger.get("type") not in _BY_HAND]
    if len(active) != 1:
        return None
    trigger = active[0]
    begin, length = whole(trigger.get("start", "")), whole(trigger.get("duration", ""))
    if trigger.get("type") == "interval" and length and begin is not None:
        start = _instant(begin)
        schedule = {"type": "interval", "interval_seconds": interval_seconds(length), "start_at": start.isoformat(), "timezone": "UTC"}
        return schedule, partial(interval_times, start, timedelta(seconds=length), None)
    epoch = whole(str(trigger.get("epoch", "")).partition(".")[0]) if trigger.get("type") == "single" else None
    if epoch is None:
        return None
    once = _instant(epoch)
    return {"type": "once", "run_at": once.isoformat(), "timezone": "UTC"}, partial(single_time, once)


def _instant(epoch: int) -> datetime:
    if epoch > _LATEST:
        raise NoSchedule("it begins after the year 9000")
    return datetime.fromtimestamp(epoch, UTC)


def of_xyops(event: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an event of xyOps with its limits and actions as the fields of Cronicle that mean the same. Others stay as they are."""
    found: dict[str, Any] = {**event, "max_children": "0"}
    limits, actions = [], []
    for limit in map(mapping, elements(event.get("limits"))):
        kind, amount = limit.get("type"), str(limit.get("amount", ""))
        if not _is_on(limit) or kind not in {"time", "job", "retry", "queue"}:
            limits.append(limit)
        elif kind == "time":
            found["timeout"] = str(limit.get("duration", ""))
        elif kind == "job":
            found["max_children"] = amount
        elif kind == "queue":
            found["queue"] = "1" if amount not in {"", "0"} else "0"
        else:
            found |= {"retries": amount, "retry_delay": str(limit.get("duration", ""))}
    for action in map(mapping, elements(event.get("actions"))):
        name = {"success": "_success", "error": "_fail"}.get(str(action.get("condition")), "")
        chain = {"success": "chain", "error": "chain_error"}.get(str(action.get("condition")), "")
        off = not _is_on(action)
        if action.get("type") == "email" and name and action.get("email") and not off:
            found[f"notify{name}"] = str(action["email"])
        elif action.get("type") == "run_event" and chain and not off:
            found[chain] = str(action.get("event_id", ""))
        else:
            actions.append(action)
    found |= {"limits": limits, "actions": actions}
    triggers = map(mapping, elements(event.get("triggers")))
    found["catch_up"] = str(any(trigger.get("type") == "catchup" and _is_on(trigger) for trigger in triggers))
    return found
