"""When a job is due. Each type of schedule is one class, and this file is the list of them.

A new type is a class in a file of its own, its entry in TRIGGERS below, its sentences in `locale/`, and, if its form is more than one
input per field, a part in `web/schedule_parts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.triggers.base import COMMON_FIELDS, Trigger
from app.triggers.calendar import CalendarTrigger
from app.triggers.cron import CronTrigger
from app.triggers.fields import Field
from app.triggers.interval import IntervalTrigger
from app.triggers.manual import ManualTrigger
from app.triggers.once import OnceTrigger

# The types of schedule by their word, in the order in which the form offers them.
TRIGGERS: Mapping[str, type[Trigger]] = {
    each.type: each for each in (CronTrigger, CalendarTrigger, IntervalTrigger, OnceTrigger, ManualTrigger)
}
# The own fields of all types by name.
FIELDS: Mapping[str, Field] = {field.name: field for each in TRIGGERS.values() for field in each.fields}


def trigger_from(row: Mapping[str, Any]) -> Trigger:
    """The trigger in a stored schedule or in a loaded request. Fields of other types are ignored. Raises KeyError for an unknown type."""
    chosen = TRIGGERS[row["type"]]
    names = (*(field.name for field in chosen.fields), *COMMON_FIELDS)
    return chosen(**{name: row[name] for name in names if name in row})


__all__ = [
    "COMMON_FIELDS",
    "FIELDS",
    "TRIGGERS",
    "CalendarTrigger",
    "CronTrigger",
    "Field",
    "IntervalTrigger",
    "ManualTrigger",
    "OnceTrigger",
    "Trigger",
    "trigger_from",
]
