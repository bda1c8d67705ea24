"""The events of an execution as a stream (server-sent events, HTML Living Standard, 9.2): its log and its state.

The `id` of an event is the place in the log after it. A client that sends it as `Last-Event-ID` gets the lines after that place. The last
event, `end`, has an id of its own: a client that has it and comes again is answered with 204, after which a browser stops.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from functools import wraps
from typing import Any

from flask import Response, request

from app.api.current import actor, services
from app.api.operation import describe
from app.api.present import execution_json, jsonable
from app.api.problems import problem_of
from app.api.waiting import Asked, places
from app.errors import FieldError, JobwrightError, LimitReached, ValidationFailed
from app.pauses import growing, is_ending, pausing
from app.services import Services
from templates_lib.messages import say

View = Callable[..., Any]

MEDIA_TYPE = "text/event-stream"
LINES = 1000  # of the log in one event, about
HEARTBEAT_SECONDS = 15.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 1.0
RECONNECT_MS, RECONNECT_SECONDS = 2000, 5  # after which a client comes again: after a lost connection, after a refusal
ENDED = "end/"
_ID = re.compile(rf"(?:{ENDED})?(?:[0-9]{{5}}\.[0-9]{{8}})?")
LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "schema": {"type": "string", "maxLength": 40},
    "description": "The id of the last event that was received; the stream goes on after it",
}


class EventStreamMixin:
    """The decorator of a blueprint for streams of events."""

    def event_stream(self, view: View) -> View:
        """Decorates a view that gets the id of the last event as the keyword argument `last_event_id`, empty without the header."""

        @wraps(view)
        def with_id(*args: Any, **kwargs: Any) -> Any:
            last = request.headers.get("Last-Event-ID", "")
            if _ID.fullmatch(last) is None:
                raise ValidationFailed([FieldError("", "Last-Event-ID must be the id of an event of this stream")])
            return view(*args, last_event_id=last, **kwargs)

        describe(with_id, header=LAST_EVENT_ID)
        return with_id


def stream(execution_id: str, last_event_id: str) -> Response:
    """Returns the events of an execution after `last_event_id`. Raises NotFound; LimitReached if too many requests wait already."""
    execution = services().history.get(actor(), execution_id)
    if last_event_id.startswith(ENDED) and not execution.is_live:
        return Response(status=204)
    if request.method == "HEAD":
        return Response(content_type=MEDIA_TYPE)
    give_back = places().take(actor().id)
    if give_back is None:
        text = say("Too many requests wait for executions at the same time. Try again in {seconds} s.", seconds=RECONNECT_SECONDS)
        raise LimitReached(text, retry_after_seconds=RECONNECT_SECONDS)
    asked = Asked.now()
    events = _events(asked, services(), execution_id, last_event_id.removeprefix(ENDED))
    answer = Response(pausing(asked.environ, events), content_type=f"{MEDIA_TYPE}; charset=utf-8", headers={"X-Accel-Buffering": "no"})
    answer.call_on_close(give_back)
    return answer


def _events(asked: Asked, current: Services, execution_id: str, cursor: str) -> Generator[bytes, None, None]:
    """Yields events and pauses until the execution has ended and its whole log was sent, the caller may not see it, or the server ends."""
    yield f"retry: {RECONNECT_MS}\n\n".encode()
    shown: dict[str, Any] | None = None
    written, pauses = current.clock.monotonic(), growing(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    while not is_ending(asked.environ):
        try:
            who = asked.caller()
            execution = current.history.get(who, execution_id)  # before the log: the lines of its end are then read, too
            lines, cursor = current.logs.read(who, execution_id, after=cursor, limit=LINES)
        except JobwrightError as error:
            yield _refused(asked, error)
            return
        state = execution_json(execution)
        if lines:
            yield _event("log", cursor, {"logs": jsonable(lines), "next": cursor})
        if state != shown:
            yield _event("state", cursor, {"execution": state})
        elif not lines and current.clock.monotonic() - written >= HEARTBEAT_SECONDS:
            yield b": heartbeat\n\n"
            written = current.clock.monotonic()
        if not execution.is_live and not lines:
            yield _event("end", f"{ENDED}{cursor}", {"execution": state})
            return
        if lines or state != shown:
            shown, written, pauses = state, current.clock.monotonic(), growing(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        if not lines:
            yield next(pauses)


def _event(name: str, event_id: str, data: Any) -> bytes:
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


def _refused(asked: Asked, error: JobwrightError) -> bytes:
    """Returns an event with the problem document of an error."""
    with asked.again():
        return f"event: problem\ndata: {problem_of(error).get_data(as_text=True)}\n\n".encode()
