"""The cron part of the schedule form: presets, a builder and the expression, three views of one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any, ClassVar

from app.triggers import CronTrigger, Trigger
from app.triggers.quartz import QuartzError, is_quartz, translate
from app.triggers.simple_cron import HOUR_STEPS, MINUTE_STEPS, Every, SimpleCron, from_builder, simplified
from templates_lib.messages import say
from web.schedule_parts.builder import BuilderPart

DEFAULT_EXPRESSION = "0 2 * * *"
ON_DAY = "b.on:"  # begins the name of a checkbox per day of the week; its number follows
PRESETS = (
    (say("Every 15 minutes"), "*/15 * * * *"),
    (say("Each hour"), "0 * * * *"),
    (say("Each night"), "0 2 * * *"),
    (say("Mornings, Monday to Friday"), "30 6 * * 1-5"),
    (say("Mondays"), "0 8 * * 1"),
    (say("First of the month"), "0 6 1 * *"),
)
WEEKDAYS = ((1, say("Mon")), (2, say("Tue")), (3, say("Wed")), (4, say("Thu")), (5, say("Fri")), (6, say("Sat")), (0, say("Sun")))
_AT_A_TIME_OF_DAY = {Every.DAY, Every.WEEK, Every.MONTH}


class CronPart(BuilderPart):
    """`s.expression` is the value. `s.shown` is the expression for which the page was drawn, and `b.…` are the inputs of the builder."""

    partial: ClassVar[str] = "partials/schedule_cron.html"
    live_partial: ClassVar[str] = "partials/schedule_cron_live.html"
    preset: ClassVar[str] = "s.preset"
    preset_field: ClassVar[str] = "expression"
    shown: ClassVar[str] = "s.shown"
    prefix: ClassVar[str] = "b."
    choice: ClassVar[str] = "b.every"

    def posted(self, values: Mapping[str, Any], zone: tzinfo) -> dict[str, str]:
        return {"s.expression": values.get("expression") or DEFAULT_EXPRESSION}

    def simple_text(self, text: str) -> str | None:
        simple = simplified(text)
        return None if simple is None else simple.expression

    def built_text(self, posted: Mapping[str, str]) -> str:
        return _read_builder(posted).expression

    def context(self, posted: Mapping[str, str]) -> dict[str, Any]:
        """What the builder shows of the expression; `known` is False if the builder cannot show it. `instead` is offered as a preset."""
        expression = posted.get("s.expression", "")
        simple = simplified(expression)
        builder = {
            "known": simple is not None,
            "value": simple or SimpleCron(),
            "shown": expression.strip(),
            "instead": _instead(expression),
            "minute_steps": MINUTE_STEPS,
            "hour_steps": HOUR_STEPS,
            "presets": PRESETS,
            "weekdays": WEEKDAYS,
        }
        return {"builder": builder, "expression": expression}

    def preset_at(self, trigger: Trigger, local: datetime, *, same_hour: bool) -> str:
        simple = simplified(trigger.expression or "") if isinstance(trigger, CronTrigger) else None
        if simple is None or simple.every is Every.MINUTES or not (same_hour or simple.every in _AT_A_TIME_OF_DAY):
            return ""
        return replace(simple, minute=local.minute, hour=local.hour).expression


def _instead(text: str) -> str:
    """The cron expression that says the same as an expression of Quartz; "" for any other text, and where there is none."""
    try:
        found = translate(text) if is_quartz(text) else None
    except QuartzError:
        return ""
    return found.text if found is not None and found.type == "cron" and found.years is None else ""


def _read_builder(posted: Mapping[str, str]) -> SimpleCron:
    every = posted.get("b.every", "")
    step = posted.get("b.minutes", "") if every == Every.MINUTES else posted.get("b.hours", "")
    fields = {
        "every": every,
        "step": step,
        "time": posted.get("b.time", ""),
        "minute": posted.get("b.minute", ""),
        "day": posted.get("b.day", ""),
    }
    return from_builder(fields, [name.removeprefix(ON_DAY) for name in posted if name.startswith(ON_DAY)])
