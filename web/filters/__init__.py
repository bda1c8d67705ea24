"""The filters and globals of all templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.instants import in_zone
from app.queue.items import COUNTS
from web.filters.advice import advice
from web.filters.alerts import condition_details, condition_title, incident_state, outcome, severity
from web.filters.announcements import entry_state, muted
from web.filters.deliveries import delivery_state
from web.filters.outcomes import result_facts, result_samples
from web.filters.parameters import pointer_words, spread, titled_changes, titled_parameters
from web.filters.results import hour_words, item_words, log_items, strip
from web.filters.states import ENDS, EXCESS, MISSED, OVERLAP, OWED_WORDS, REASONS, STATES, damage, icon, state
from web.filters.texts import (
    browser,
    lead,
    markdown,
    number,
    pairs,
    percent,
    pretty_json,
    readable,
    said_of,
    seen,
    seen_plainly,
    told,
    without_message,
)
from web.filters.times import clock, day_before, exact, in_zones, local, moment, rough_time, schedule_words, seconds, span_words, whole_days
from web.language import dated, decimal, gettext, instant, ngettext, translated
from web.words import word

FILTERS: dict[str, Callable[..., Any]] = {
    "moment": moment,
    "advice": advice,
    "muted": muted,
    "exact": exact,
    "clock": clock,
    "rough_time": rough_time,
    "seconds": seconds,
    "pretty_json": pretty_json,
    "result_facts": result_facts,
    "result_samples": result_samples,
    "markdown": markdown,
    "strip": strip,
    "told": told,
    "lead": lead,
    "readable": readable,
    "seen": seen,
    "plain": seen_plainly,
    "schedule_words": schedule_words,
    "duration_words": span_words,
    "number": number,
    "browser": browser,
    "zip": pairs,
    "without_message": without_message,
    "hour_words": hour_words,
    "item_words": item_words,
    "local": local,
    "in_zone": in_zone,
    "in_zones": in_zones,
    "whole_days": whole_days,
    "day_before": day_before,
    "log_items": log_items,
    "dated": dated,
    "word": word,
    "percent": percent,
    "decimal": decimal,
    "said_of": said_of,
    "instant": instant,
    "t": translated,
    "titled_parameters": titled_parameters,
    "spread": spread,
    "titled_changes": titled_changes,
    "pointer_words": pointer_words,
}


GLOBALS: dict[str, Any] = {
    "state": state,
    "delivery_state": delivery_state,
    "entry_state": entry_state,
    "incident_state": incident_state,
    "severity": severity,
    "alert_outcome": outcome,
    "condition_title": condition_title,
    "condition_details": condition_details,
    "icon": icon,
    "damage": damage,
    "STATES": STATES,
    "ENDS": ENDS,
    "EXCESS": EXCESS,
    "OVERLAP": OVERLAP,
    "MISSED": MISSED,
    "REASONS": REASONS,
    "OWED_WORDS": OWED_WORDS,
    "ITEM_COUNTS": COUNTS,
    "_": gettext,
    "ngettext": ngettext,
}
