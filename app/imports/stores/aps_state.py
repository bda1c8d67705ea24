"""Jobs of APScheduler 3 as data: the pickled state of a job, with its trigger as a plain description (apscheduler.job.Job.__getstate__)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.imports.stores.pickles import Instance, Name, PickleRefused, read_pickle
from app.imports.stores.plain import Plain, read_date, read_moment, read_span, state_of, utc, zone_name

LONGEST_TEXT = 2_000
_TRIGGERS = "apscheduler.triggers."
_TYPES = {
    "apscheduler.triggers.cron.CronTrigger": "cron",
    "apscheduler.triggers.interval.IntervalTrigger": "interval",
    "apscheduler.triggers.date.DateTrigger": "date",
    "apscheduler.triggers.calendarinterval.CalendarIntervalTrigger": "calendarinterval",
    "apscheduler.triggers.combining.AndTrigger": "and",
    "apscheduler.triggers.combining.OrTrigger": "or",
}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_POSITIONS = ("1st", "2nd", "3rd", "4th", "5th", "last")
_DEEPEST = 5  # triggers inside each other
_MOST_TRIGGERS = 50

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as APScheduler stores it. `trigger` describes the trigger in values of JSON. `unknown` names the objects among the arguments
    that have no plain value, and `changed` says which values become another kind."""

    id: str
    name: str
    function: str
    trigger: Spec
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    executor: str = ""
    misfire_grace_seconds: int | None = None
    coalesce: bool = True
    max_instances: int = 1
    unknown: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def read_state(data: bytes) -> JobState:
    """Returns the job in a pickled state. Raises PickleRefused, with words that go on from "The state of the job cannot be read:"."""
    state = read_pickle(data)
    if not isinstance(state, dict):
        raise PickleRefused(f"it is {_what(state)} and not the state of a job")
    if isinstance(state.get("version", 1), int) and state.get("version", 1) > 1:
        raise PickleRefused(f"it has the version {state['version']}, and 1 is known")
    missing = [name for name in ("id", "func", "trigger") if name not in state]
    if missing:
        raise PickleRefused(f"it has no {missing[0]!r}")
    function = state["func"]
    if not isinstance(function, str):
        raise PickleRefused(f"its function is {_what(function)} and not the name of a function")
    plain = Plain()
    arguments, keywords = plain.value(state.get("args", ())), plain.value(state.get("kwargs", {}))
    if not isinstance(arguments, list) or not isinstance(keywords, dict):
        raise PickleRefused("its arguments are not a list and a dict")
    grace, most = state.get("misfire_grace_time"), state.get("max_instances", 1)
    return JobState(
        id=text_of(state["id"]),
        name=text_of(state.get("name") or ""),
        function=text_of(function),
        trigger=_spec(state["trigger"], []),
        arguments=tuple(arguments),
        keywords=keywords,
        executor=text_of(state.get("executor") or ""),
        misfire_grace_seconds=grace if type(grace) is int else None,
        coalesce=bool(state.get("coalesce", True)),
        max_instances=most if type(most) is int and 0 < most < 10**6 else 1,
        unknown=tuple(plain.unknown),
        changed=tuple(dict.fromkeys(plain.changed)),
    )


def text_of(value: Any) -> str:
    """Returns a text of a store without characters that a terminal would obey."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else type(value).__name__
    return "".join(char if char.isprintable() else " " for char in text[:LONGEST_TEXT])


def _what(value: Any) -> str:
    match value:
        case Instance():
            return f"a call of {value.name}"
        case Name():
            return f"the name {value.text}"
    return f"a value of the type {type(value).__name__}"


# -- triggers -----------------------------------------------------------------------------------------------------------


def _spec(source: Any, path: list[str], known: str = "") -> Spec:
    """Returns the description of a trigger. `known` is its class if its state alone is given, as triggers of and/or have it."""
    name = known or (source.name if isinstance(source, Instance) else "")
    if name not in _TYPES:
        raise PickleRefused(f"its trigger is {_what(source) if not known else text_of(known)}, which Jobwright does not know")
    if len(path) > _DEEPEST:
        raise PickleRefused(f"it has more than {_DEEPEST} triggers inside each other")
    kind, state = _TYPES[name], state_of(source)
    if not state:
        raise PickleRefused("its trigger has no state")
    readers = {"cron": _cron, "interval": _interval, "date": _date, "calendarinterval": _calendar_interval}
    spec = {"type": kind, **(readers[kind](state) if kind in readers else _combined(state, [*path, kind]))}
    return {key: value for key, value in spec.items() if value is not None}


def _combined(state: Mapping[Any, Any], path: list[str]) -> Spec:
    parts = state.get("triggers")
    if not isinstance(parts, list | tuple) or not 0 < len(parts) <= _MOST_TRIGGERS:
        raise PickleRefused(f"its trigger combines no triggers, or more than {_MOST_TRIGGERS}")
    specs = []
    for part in parts:
        pair = isinstance(part, tuple | list) and len(part) == 2 and isinstance(part[0], str)
        specs.append(_spec(part[1], path, part[0].replace(":", ".")) if pair else _spec(part, path))
    return {"triggers": specs, **_jitter(state)}


def _jitter(state: Mapping[Any, Any]) -> Spec:
    jitter = state.get("jitter")
    return {"jitter": float(jitter)} if isinstance(jitter, int | float) and math.isfinite(jitter) and jitter > 0 else {}


def _limits(state: Mapping[Any, Any]) -> Spec:
    return {"timezone": zone_name(state.get("timezone")), "start": _moment(state, "start_date"), "end": _moment(state, "end_date")}


def _moment(state: Mapping[Any, Any], name: str) -> str | None:
    source = state.get(name)
    moment = read_moment(source)
    if source is not None and moment is None:
        raise PickleRefused(f"its {name} is {_what(source)} and not a time")
    return _iso(moment)


def _iso(moment: datetime | None) -> str | None:
    instant = utc(moment)
    return instant.isoformat() if instant else None


def _cron(state: Mapping[Any, Any]) -> Spec:
    fields = state.get("fields")
    if not isinstance(fields, list | tuple):
        raise PickleRefused("its cron trigger has no fields")
    expressions = {}
    for source in fields:
        own = state_of(source)
        name, parts = own.get("name"), own.get("expressions")
        if not isinstance(name, str) or not isinstance(parts, list | tuple) or not parts:
            raise PickleRefused("its cron trigger has a field that cannot be read")
        expressions[name] = ",".join(_expression(part, name) for part in parts)
    return {"fields": expressions, **_limits(state), **_jitter(state)}


def _expression(source: Any, name: str) -> str:
    """Returns the text of an expression of a field, as one writes it: `*/5`, `1-5`, `2nd fri`, `last`."""
    kind = source.name.rpartition(".")[2] if isinstance(source, Instance) and source.name.startswith(_TRIGGERS) else ""
    own = state_of(source)
    first, last, step = (own.get(key) for key in ("first", "last", "step"))
    if not all(value is None or (isinstance(value, int) and 0 <= value < 10**5) for value in (first, last, step)):
        kind = ""
    ending = f"/{step}" if step else ""
    match kind:
        case "AllExpression":
            return f"*{ending}"
        case "LastDayOfMonthExpression":
            return "last"
        case "WeekdayPositionExpression":
            position, weekday = own.get("option_num"), own.get("weekday")
            if isinstance(position, int) and isinstance(weekday, int) and 0 <= position < 6 and 0 <= weekday < 7:
                return f"{_POSITIONS[position]} {_WEEKDAYS[weekday]}"
        case "RangeExpression" | "WeekdayRangeExpression" | "MonthRangeExpression" if first is not None:
            if last == first and not step:
                return str(first)
            return f"{first}-{last}{ending}" if last is not None else f"{first}{ending}"
    raise PickleRefused(f"the field {text_of(name)} of its cron trigger has {_what(source)}")


def _interval(state: Mapping[Any, Any]) -> Spec:
    span = read_span(state.get("interval"))
    if span is None or span.total_seconds() <= 0:
        raise PickleRefused("its interval is not a span of time")
    return {"seconds": span.total_seconds(), **_limits(state), **_jitter(state)}


def _date(state: Mapping[Any, Any]) -> Spec:
    moment = _moment(state, "run_date")
    if moment is None:
        raise PickleRefused("its date trigger has no date")
    return {"at": moment}


def _calendar_interval(state: Mapping[Any, Any]) -> Spec:
    interval, clock = state.get("interval"), state.get("time")
    for values, count in ((interval, 4), (clock, 3)):
        whole = isinstance(values, list | tuple) and all(isinstance(value, int) and 0 <= value < 10_000 for value in values)
        if not whole or len(values or ()) != count:
            raise PickleRefused("its calendar interval cannot be read")
    days = {}
    for key, name in (("start", "start_date"), ("end", "end_date")):
        day = read_date(state.get(name))
        days[key] = day.isoformat() if day else None
    if days["start"] is None:
        raise PickleRefused("its calendar interval has no start")
    names = ("years", "months", "weeks", "days")
    spans = dict(zip(names, interval or (), strict=True))
    return {**spans, "time": list(clock or ()), **days, "timezone": zone_name(state.get("timezone")), **_jitter(state)}
