"""Blackout calendars: the times at which jobs that name them do not start. Pure rules over dates, weekly windows and iCalendar events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from app.errors import FieldError, ValidationFailed
from app.instants import dates, day_after, in_zone, midnight, shifted, utc
from app.zones import is_zone, not_a_zone, zone
from templates_lib.messages import say

WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONGEST = timedelta(days=400)  # of one blackout; a longer one is split: it ends there, and another begins at once
MOST_EVENTS = 5000
MOST_INTERVALS = 2000  # in one answer
REMEMBERED_DAYS = 512  # for each calendar, the events of so many days are cached
# Events are looked up on these days only: a few centuries after its beginning, a daily event without end takes a second to look up.
EVENTS_FROM, EVENTS_UNTIL = date(1971, 1, 1), date(2199, 12, 31)
_PARSING = threading.Lock()  # icalendar keeps the time zones that a file defines in one place of the process
FIRST_YEAR = 1900  # no event may begin before it
_DAY = timedelta(days=1)
_TOO_OFTEN = ("SECONDLY", "MINUTELY", "HOURLY")
_PARTS_OF_A_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["timezone"],
    "properties": {
        "description": {
            "type": "string",
            "title": "Description",
            "maxLength": 500,
            "description": 'What the calendar is for, for example "Public holidays of the Berlin office".',
        },
        "timezone": {
            "type": "string",
            "title": "Time zone",
            "maxLength": 64,
            "default": "UTC",
            "examples": ["Europe/Berlin"],
            "description": "The days and times below are in this time zone.",
        },
        "dates": {
            "type": "array",
            "title": "Days",
            "maxItems": 500,
            "description": "Whole days, such as holidays. `To` is the last day; leave it empty for a single day.",
            "items": {
                "type": "object",
                "title": "Days",
                "additionalProperties": False,
                "required": ["from"],
                "properties": {
                    "from": {"type": "string", "format": "date", "title": "From", "x-width": "third"},
                    "to": {
                        "type": "string",
                        "format": "date",
                        "title": "To",
                        "x-width": "third",
                    },
                    "note": {"type": "string", "title": "Note", "maxLength": 200, "x-width": "third"},
                },
            },
        },
        "weekly": {
            "type": "array",
            "title": "Weekly windows",
            "maxItems": 50,
            "description": "Times that repeat every week, such as opening hours or weekends.",
            "items": {
                "type": "object",
                "title": "Weekly window",
                "additionalProperties": False,
                "required": ["days", "from", "to"],
                "properties": {
                    "days": {
                        "type": "array",
                        "title": "On",
                        "minItems": 1,
                        "uniqueItems": True,
                        "items": {"oneOf": [{"const": day, "title": name} for day, name in zip(DAYS, WEEK, strict=True)]},
                    },
                    "from": {"type": "string", "title": "From", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["22:00"]},
                    "to": {
                        "type": "string",
                        "title": "To",
                        "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
                        "examples": ["06:00"],
                        "description": "The blackout ends at this time. A time before the start means the next "
                        "day; 24:00 is the end of the day.",
                    },
                },
            },
        },
        "ical": {
            "type": "string",
            "title": "iCalendar",
            "maxLength": 1_000_000,
            "x-widget": "textarea",
            "description": "The text of an .ics file. Every event that is not cancelled becomes a blackout.",
        },
    },
}


@dataclass(frozen=True, slots=True)
class Blackout:
    """The time from `start` (included) to `end` (not included), UTC. `calendar` is the name of the calendar."""

    start: datetime
    end: datetime
    calendar: str


class Calendar:
    """The rules of one calendar. `body` satisfies SCHEMA and has no `problems`."""

    def __init__(self, name: str, body: Mapping[str, Any]) -> None:
        self.name, self._body = name, body
        self._zone = zone(body["timezone"])
        self._events = _event_query(_parse(body["ical"])) if body.get("ical", "").strip() else None
        self._of_day = lru_cache(REMEMBERED_DAYS)(self._intervals_of_day)

    def intervals(self, after: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """(start, end) of the blackouts that overlap [after, until], UTC, in no order. Some may come twice, and others may come as well."""
        for row in self._body.get("dates", ()):
            first, last = date.fromisoformat(row["from"]), date.fromisoformat(row.get("to") or row["from"])
            yield midnight(first, self._zone), midnight(day_after(last), self._zone)
        if self._body.get("weekly"):
            for day in dates(day_after(in_zone(after, self._zone).date(), -1), in_zone(until, self._zone).date()):
                yield from self._windows(day)
        if self._events is not None:
            for day in dates(max(utc(after).date(), EVENTS_FROM), min(utc(until).date(), EVENTS_UNTIL)):
                yield from self._of_day(day)

    def _windows(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        for row in self._body.get("weekly", ()):
            if DAYS[day.weekday()] in row["days"]:
                begin, end = row["from"], row["to"]
                last = day_after(day) if end == "24:00" or end <= begin else day
                yield self._instant(day, time.fromisoformat(begin)), self._instant(last, time.fromisoformat(end.replace("24:", "00:")))

    def _intervals_of_day(self, day: date) -> list[tuple[datetime, datetime]]:
        begin = datetime.combine(day, time(), UTC)
        events = self._events.between(shifted(begin, -_DAY), shifted(begin, 2 * _DAY)) if self._events is not None else ()
        return [
            (self._moment(event.start), self._moment(event.end)) for event in events if str(event.get("STATUS", "")).upper() != "CANCELLED"
        ]

    def _moment(self, value: date) -> datetime:
        """The instant of an event's date or time. One without a time zone is in that of the calendar."""
        if not isinstance(value, datetime):
            return midnight(value, self._zone)
        return utc(value if value.tzinfo else value.replace(tzinfo=self._zone))

    def _instant(self, day: date, at: time) -> datetime:
        return utc(datetime.combine(day, at, self._zone))


class Blackouts:
    """The blackouts of several calendars together. It is false if there is no calendar."""

    def __init__(self, calendars: Sequence[Calendar] = ()) -> None:
        self._calendars = tuple(calendars)

    def __bool__(self) -> bool:
        return bool(self._calendars)

    def at(self, moment: datetime) -> Blackout | None:
        """The rest of the blackout in which `moment` lies, and of those that follow without a gap; None if it lies in none."""
        end, name = moment, ""
        while end - moment < LONGEST:
            reached = max(
                (
                    (stop, calendar.name)
                    for calendar in self._calendars
                    for start, stop in calendar.intervals(end, end)
                    if start <= end < stop
                ),
                default=None,
            )
            if reached is None:
                break
            end, name = reached[0], name or reached[1]
        return Blackout(moment, end, name) if end > moment else None

    def between(self, after: datetime, until: datetime) -> list[Blackout]:
        """The blackouts that overlap [after, until], ascending, at most MOST_INTERVALS. Those that touch each other are joined."""
        intervals = sorted(
            (start, end, calendar.name)
            for calendar in self._calendars
            for start, end in calendar.intervals(after, until)
            if end > after and start <= until and end > start
        )
        merged: list[Blackout] = []
        for start, end, name in intervals:
            if merged and start <= merged[-1].end:
                merged[-1] = Blackout(merged[-1].start, max(end, merged[-1].end), merged[-1].calendar)
            else:
                merged.append(Blackout(start, end, name))
        return merged[:MOST_INTERVALS]


NO_BLACKOUTS = Blackouts()


def problems(body: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with a calendar that satisfies SCHEMA. Pointers begin at the body."""
    errors: list[FieldError] = []
    if "timezone" in body and not is_zone(body["timezone"]):
        errors.append(FieldError("/timezone", not_a_zone(body["timezone"])))
    for index, row in enumerate(body.get("dates", ())):
        if row.get("to") and row["to"] < row["from"]:
            errors.append(FieldError(f"/dates/{index}/to", "must not be before the first day"))
        if not "1971" <= row["from"][:4] <= "9000" or not "1971" <= (row.get("to") or row["from"])[:4] <= "9000":
            errors.append(FieldError(f"/dates/{index}/from", "must be between the years 1971 and 9000"))
    if body.get("ical", "").strip():
        try:
            _check_events(_parse(body["ical"]))
        except ValidationFailed as failed:
            errors += failed.errors
    if not errors and not (body.get("dates") or body.get("weekly") or body.get("ical", "").strip()):
        errors.append(FieldError("", "must have at least one day, weekly window or event"))
    return errors


def _event_query(calendar: Any) -> Any:
    """Finds the events of a span of time, recurring ones included."""
    import recurring_ical_events  # noqa: PLC0415 - the import takes a tenth of a second, and most processes never need it

    return recurring_ical_events.of(calendar, skip_bad_series=True)


def _parse(text: str) -> Any:
    """The calendar in the text of an .ics file. Raises ValidationFailed."""
    import icalendar  # noqa: PLC0415 - as above

    try:
        with _PARSING:
            icalendar.use_zoneinfo()  # type: ignore[no-untyped-call]  # it has no types; the call forgets the zones of other files
            calendar = icalendar.Calendar.from_ical(text)
            if any(_unknown_zone(event) for event in calendar.walk("VEVENT")):  # the file may define the zone below the event
                calendar = icalendar.Calendar.from_ical(text)
            return calendar
    except Exception as error:  # a parser of other people's files may raise anything
        raise ValidationFailed(
            [FieldError("/ical", say("is not a valid iCalendar file: {error}", error=str(error)[:200] or type(error).__name__))]
        ) from error


def _check_events(calendar: Any) -> None:
    """Raises ValidationFailed if an event cannot be used."""
    try:
        problem = _problem_of(calendar)
        if not problem:
            _event_query(calendar).between(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC))
    except Exception as error:  # as above
        problem = say("has an event that cannot be computed: {error}", error=str(error)[:200])
    if problem:
        raise ValidationFailed([FieldError("/ical", problem)])


def _title(event: Any) -> str:
    return str(event.get("SUMMARY", "an event"))[:80]


def _unknown_zone(event: Any) -> str | None:
    """The TZID of an event that not every node knows; None if all know it. A zone that the file defines itself is known."""
    for name in ("DTSTART", "DTEND", "RECURRENCE-ID", "EXDATE", "RDATE"):
        values = event.get(name, [])
        for value in values if isinstance(values, list) else [values]:
            tzid = value.params.get("TZID")
            moments = [each.dt for each in getattr(value, "dts", [value])]
            if tzid and not all(_has_known_zone(moment[0] if isinstance(moment, tuple) else moment) for moment in moments):
                return str(tzid)
    return None


def _has_known_zone(moment: date) -> bool:
    if not isinstance(moment, datetime):
        return True
    key = getattr(moment.tzinfo, "key", None)
    return moment.tzinfo is not None and (key is None or is_zone(key))


def _problem_of(calendar: Any) -> str:
    """What is wrong with the events of a calendar; "" if nothing is."""
    events = calendar.walk("VEVENT")
    if not events:
        return say("has no event")
    if len(events) > MOST_EVENTS:
        return say("has {found:,} events; at most {most:,} are allowed", found=len(events), most=MOST_EVENTS)
    for event in events:
        if event.errors or "DTSTART" not in event:
            name, wrong = event.errors[0] if event.errors else ("DTSTART", "is missing")
            return say("event {event!r} cannot be read: {name}: {wrong}", event=_title(event), name=name, wrong=str(wrong)[:120])
        if event["DTSTART"].dt.year < FIRST_YEAR:
            return say("event {event!r} starts before the year {year}", event=_title(event), year=FIRST_YEAR)
        unknown = _unknown_zone(event)
        if unknown is not None:
            return say(
                "event {event!r} has the time zone {zone!r}, which is neither an IANA time zone nor defined in the file",
                event=_title(event),
                zone=unknown,
            )
        rules = event.get("RRULE") or []
        for rule in rules if isinstance(rules, list) else [rules]:
            if any(str(often).upper() in _TOO_OFTEN for often in rule.get("FREQ", ())) or any(part in rule for part in _PARTS_OF_A_DAY):
                return say("event {event!r} repeats more often than daily", event=_title(event))
    return ""
