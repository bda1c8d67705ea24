"""Parameters and changes in the words of forms: titles instead of JSON Pointers, choices in their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.mongo import Document
from app.triggers import FIELDS
from templates_lib.messages import say
from web.filters.times import exact, span_words
from web.forms import Form, SchemaRefused
from web.forms.reading import Reading, Titled
from web.forms.values import from_name
from web.language import in_language, language, translated
from web.words import WORDS

PARAMETERS = "/parameters"
# Titles of what a job is made of, by the JSON Pointer of the field. The parameters have those of their template.
DEFINITION_TITLES = {
    "/name": say("Name"),
    "/description": say("Description"),
    "/template_type": say("Template"),
    "/template_version": say("Version of the template"),
    "/parameters": say("Parameters"),
    "/enabled": say("Enabled"),
    "/schedule": say("Schedule"),
    "/schedule/type": say("Type of schedule"),
    "/schedule/timezone": say("Time zone"),
    "/schedule/start_at": say("Start on"),
    "/schedule/end_at": say("End on"),
    "/schedule/jitter_seconds": say("Spread of starts"),
    "/schedule/calendars": say("Blackout calendars"),
    "/timeout_seconds": say("Timeout"),
    "/retry_policy": say("Retries"),
    "/retry_policy/max_retries": say("Retries"),
    "/retry_policy/retry_delay_seconds": say("Delay before a retry"),
    "/retry_policy/backoff": say("Back-off"),
    "/retry_policy/max_delay_seconds": say("Longest delay before a retry"),
    "/retry_policy/retry_on": say("Retry after"),
    "/overlap": say("Overlap"),
    "/misfire": say("Missed runs"),
    "/misfire/policy": say("Missed runs"),
    "/misfire/grace_seconds": say("Grace"),
    "/misfire/max_catch_up": say("Maximum number of runs to catch up"),
    "/concurrency": say("Simultaneous runs"),
    "/concurrency/max_instances": say("Simultaneous runs"),
    "/concurrency/group": say("Concurrency group"),
    "/priority": say("Priority"),
    "/tags": say("Tags"),
    "/group": say("Group"),
    "/notifications/on_success": say("E-mail after success"),
    "/notifications/on_failure": say("E-mail after failure"),
    "/pause_after_failures": say("Pause after failures"),
    "/depends_on": say("Runs after"),
}
# Fields whose texts are codes that have words (web.words).
CODED = {"/overlap", "/misfire/policy", "/retry_policy/backoff", "/retry_policy/retry_on", "/schedule/type"}


def reading_of(schema: Any, value: Any) -> Reading | None:
    """Returns the titles and texts of a value of one of our templates, in the viewer's language; None if the schema cannot be drawn."""
    try:
        return Form(in_language(schema), locale=language()).reading(value)
    except SchemaRefused:
        return None


def titled_parameters(parameters: Mapping[str, Any], schema: Any = None) -> tuple[Titled, ...]:
    """Returns parameters with the titles of their form; with their own names if the template is gone (`schema` is None)."""
    reading = reading_of({} if schema is None else schema, dict(parameters))
    return reading.rows if reading is not None else ()


def titled_changes(rows: Iterable[Document], schema: Any = None) -> list[Document]:
    """Returns the rows of a diff {field, before, after} with titles for pointers, and words for the values that have some.

    A pointer below `/parameters` is one of the template whose schema is given.
    """
    rows = list(rows)
    inner = [row for row in rows if row["field"].startswith(f"{PARAMETERS}/")]
    readings = {side: reading_of({} if schema is None else schema, _built(inner, side)) for side in ("before", "after")} if inner else {}
    return [_titled(row, readings) for row in rows]


def _titled(row: Document, readings: Mapping[str, Reading | None]) -> Document:
    pointer: str = row["field"]
    below = pointer.startswith(f"{PARAMETERS}/")
    shown: Document = {"field": definition_title(pointer)}
    for side in ("before", "after"):
        if side not in row:
            continue
        reading = readings.get(side) if below else None
        shown[side] = reading.text(pointer.removeprefix(PARAMETERS), row[side]) if reading else definition_text(pointer, row[side])
        if reading is not None:
            shown["field"] = reading.title(pointer.removeprefix(PARAMETERS))
    return shown


def _built(rows: Iterable[Document], side: str) -> dict[str, Any]:
    """Returns the parameters that one side of a diff names, put together again: a form needs them to know which branches were chosen."""
    built: dict[str, Any] = {}
    for row in rows:
        if side not in row:
            continue
        place = built
        *groups, last = (part.replace("~1", "/").replace("~0", "~") for part in row["field"].removeprefix(f"{PARAMETERS}/").split("/"))
        for part in groups:
            inner = place.setdefault(part, {})
            place = inner if isinstance(inner, dict) else {}
        place[last] = row[side]
    return built


def definition_title(pointer: str) -> str:
    """Returns the title of a field of a job's definition: "Retries" for `/retry_policy/max_retries`."""
    if pointer in DEFINITION_TITLES:
        return translated(DEFINITION_TITLES[pointer])
    name = pointer.rpartition("/")[2]
    if pointer.startswith("/schedule/") and name in FIELDS:
        return translated(FIELDS[name].title)
    return from_name(name) if name else pointer


def pointer_words(text: str) -> str:
    """Returns the field of a diff in words: a JSON Pointer such as `/deleted_count` as "Deleted count", a title as it is."""
    return " › ".join(from_name(part) for part in text[1:].split("/")) if text.startswith("/") else text


def definition_text(pointer: str, value: Any) -> Any:
    """Returns a value of a job's definition in words; a value without any is returned as it is."""
    if pointer.endswith("_seconds") and isinstance(value, int) and not isinstance(value, bool):
        return span_words(value)
    if hasattr(value, "astimezone"):
        return exact(value)
    if pointer in CODED:
        texts = value if isinstance(value, list) else [value]
        return ", ".join(translated(WORDS[text]) if text in WORDS else str(text) for text in texts)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or None
    return value
