"""The schedule form: one part for each type of trigger. A type without a class of its own gets one input per field."""

from __future__ import annotations

from collections.abc import Mapping

from app.triggers import TRIGGERS
from web.schedule_parts.base import SchedulePart, read_local_instant, written_local
from web.schedule_parts.calendar import CalendarPart
from web.schedule_parts.cron import CronPart
from web.schedule_parts.interval import IntervalPart

_OWN_CLASSES: Mapping[str, type[SchedulePart]] = {"cron": CronPart, "calendar": CalendarPart, "interval": IntervalPart}
# The parts by the type of their trigger, in the order in which the form offers them.
PARTS: Mapping[str, SchedulePart] = {name: _OWN_CLASSES.get(name, SchedulePart)(trigger) for name, trigger in TRIGGERS.items()}

__all__ = ["PARTS", "SchedulePart", "read_local_instant", "written_local"]
