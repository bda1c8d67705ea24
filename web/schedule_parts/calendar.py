"""The calendar part of the schedule form: presets, a builder and the rule, three views of one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any, ClassVar

from app.errors import FieldError
from app.triggers import CalendarTrigger, Trigger
from app.triggers.recurrence import WEEKDAYS, RuleError, read_rule
from app.triggers.simple_calendar import LAST, WORKING, Pick, SimpleCalendar, from_builder, simplified
from templates_lib.messages import say
from web.schedule_parts.builder import BuilderPart

DEFAULT_RULE = SimpleCalendar(pick=Pick.NTH).rule
ON_DAY = "c.on:"  # begins the name of a checkbox per day of the week; its number follows
PRESETS = (
    (say("Every second Friday"), SimpleCalendar(interval=2).rule),
    (say("First Monday of the month"), SimpleCalendar(pick=Pick.NTH, nth=1, kind="MO").rule),
    (say("Last working day of the month"), SimpleCalendar(pick=Pick.NTH).rule),
    (say("Last day of the month"), SimpleCalendar(pick=Pick.DATE, day=LAST).rule),
    (say("Last day of the quarter"), "FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=-1;BYHOUR=9;BYMINUTE=0"),
)
DAYS = tuple(enumerate((say("Mon"), say("Tue"), say("Wed"), say("Thu"), say("Fri"), say("Sat"), say("Sun"))))
NTHS = ((1, say("1st")), (2, say("2nd")), (3, say("3rd")), (4, say("4th")), (5, say("5th")), (LAST, say("last")))
KINDS = (
    (WORKING, say("working day (Monday to Friday)")),
    *zip(
        WEEKDAYS,
        (say("Monday"), say("Tuesday"), say("Wednesday"), say("Thursday"), say("Friday"), say("Saturday"), say("Sunday")),
        strict=True,
    ),
)


class CalendarPart(BuilderPart):
    """`s.rule` is the value. `s.rule_shown` is the rule for which the page was drawn, and `c.…` are the inputs of the builder."""

    partial: ClassVar[str] = "partials/schedule_calendar.html"
    live_partial: ClassVar[str] = "partials/schedule_calendar_live.html"
    preset: ClassVar[str] = "s.rule_preset"
    preset_field: ClassVar[str] = "rule"
    shown: ClassVar[str] = "s.rule_shown"
    prefix: ClassVar[str] = "c."
    choice: ClassVar[str] = "c.pick"

    def posted(self, values: Mapping[str, Any], zone: tzinfo) -> dict[str, str]:
        """A rule that counts begins with today, unless the values say otherwise."""
        counted_from = values.get("counted_from") or datetime.now(zone).date().isoformat()
        return {"s.rule": values.get("rule") or DEFAULT_RULE, "s.counted_from": counted_from}

    def read(self, posted: Mapping[str, str], zone: str) -> tuple[dict[str, Any], list[FieldError]]:
        """The day that a rule counts from means nothing where it does not count, and is left out then."""
        values, errors = super().read(posted, zone)
        try:
            counts = read_rule(values.get("rule", "")).interval > 1
        except RuleError:
            counts = False
        if not counts:
            values.pop("counted_from", None)
        return values, errors

    def simple_text(self, text: str) -> str | None:
        simple = simplified(text)
        return None if simple is None else simple.rule

    def built_text(self, posted: Mapping[str, str]) -> str:
        return _read_builder(posted).rule

    def context(self, posted: Mapping[str, str]) -> dict[str, Any]:
        """What the builder shows of the rule; `known` is False if the builder cannot show it."""
        rule = posted.get("s.rule", "")
        simple = simplified(rule)
        builder = {
            "known": simple is not None,
            "value": simple or SimpleCalendar(),
            "shown": rule.strip(),
            "presets": PRESETS,
            "days": DAYS,
            "nths": NTHS,
            "kinds": KINDS,
            "last": LAST,
        }
        return {"calendar_builder": builder, "rule": rule}

    def preset_at(self, trigger: Trigger, local: datetime, *, same_hour: bool) -> str:
        simple = simplified(trigger.rule or "") if isinstance(trigger, CalendarTrigger) else None
        return "" if simple is None else replace(simple, hour=local.hour, minute=local.minute).rule


def _read_builder(posted: Mapping[str, str]) -> SimpleCalendar:
    names = {"pick": "c.pick", "nth": "c.nth", "kind": "c.kind", "time": "c.time"}
    pick = posted.get("c.pick", "")
    fields = {name: posted.get(posted_as, "") for name, posted_as in names.items()}
    fields["interval"] = posted.get("c.weeks" if pick == Pick.WEEKS else "c.months", "")
    fields["day"] = posted.get("c.near" if pick == Pick.NEAR else "c.day", "")
    return from_builder(fields, [name.removeprefix(ON_DAY) for name in posted if name.startswith(ON_DAY)])
