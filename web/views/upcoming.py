"""The next runs of a schedule, with notes about what is special about them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.instants import in_zone
from app.jobs.model import Schedule
from app.services import Services
from app.triggers.clock_changes import clock_change
from app.triggers.words import duration_words
from app.zones import UnknownZone
from app.zones import zone as zone_of
from templates_lib.messages import Said, joined, say
from web.language import language

PREVIEWED_RUNS = 5


def upcoming(services: Services, schedule: Schedule, typical_seconds: int = 0) -> list[dict[str, Any]]:
    """Returns the next runs {utc, local, note}, in the zone of the schedule.

    A note says what is special about a run: a blackout, a clock change, or that the run before it still goes on, if one takes
    `typical_seconds`. The list is empty if the due times cannot be computed, or if the zone of a calendar is unknown here.
    """
    if schedule.trigger.not_computable() is not None:
        return []
    try:
        return _upcoming(services, schedule, typical_seconds)
    except UnknownZone:
        return []


def _upcoming(services: Services, schedule: Schedule, typical_seconds: int) -> list[dict[str, Any]]:
    trigger = schedule.trigger
    zone = zone_of(trigger.timezone)
    moments = trigger.preview(services.clock.now(), PREVIEWED_RUNS)
    blackouts, runs = services.triggers.blackouts(schedule), []
    for index, moment in enumerate(moments):
        blackout = blackouts.at(moment)
        notes = [say("skipped by the blackout calendar {calendar}", calendar=blackout.calendar)] if blackout else []
        notes += _clock_change_note(clock_change(moment, trigger.timezone))
        if index and typical_seconds > (moment - moments[index - 1]).total_seconds():
            notes.append(
                say("the previous run may still be running: it takes about {time}", time=duration_words(typical_seconds, language()))
            )
        runs.append({"utc": moment, "local": in_zone(moment, zone), "note": joined(notes, "; ")})
    return runs


def _clock_change_note(jump: timedelta) -> list[Said]:
    """ "The clock goes forward by 1 hour that day"; empty if no clock changes."""
    if not jump:
        return []
    time = duration_words(int(abs(jump).total_seconds()), language())
    if jump > timedelta(0):
        return [say("clocks go forward by {time} on this day", time=time)]
    return [say("clocks go back by {time} on this day", time=time)]
