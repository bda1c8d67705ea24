"""Says in plain sentences why the bus is not connected, or why events wait. Pure."""

from __future__ import annotations

from templates_lib.connections import failures
from templates_lib.messages import say

# Classes by name, because the NATS client takes long to import. `code` 503 of JetStream: it is off, or lacks a leader.
_NO_JETSTREAM = frozenset({"ServiceUnavailableError", "NoRespondersError", "NoStreamResponseError"})


def of_connection(error: BaseException, place: str, seconds: float) -> str:
    """Why there is no connection to the server at `place`. `seconds` is the time limit."""
    return failures.sentence(error, place, seconds)


def of_stream(error: BaseException, place: str, stream: str) -> str:
    """Why events cannot be stored, although the server answers."""
    if type(error).__name__ in _NO_JETSTREAM:
        return say("{place} has no JetStream that answers, so events wait. Start the NATS server with JetStream.", place=place)
    if is_refusal(error):
        return say(
            "{place} does not let Jobwright use the stream {stream}, so events wait. Give its user the rights that the page The bus lists.",
            place=place,
            stream=stream,
        )
    return say("Events cannot be stored in the stream {stream}: {words}", stream=stream, words=failures.sentence(error, place))


def of_commands(place: str, subject: str) -> str:
    """That the server does not let Jobwright hear commands."""
    return say("{place} does not let Jobwright subscribe to {subject}, so it hears no commands.", place=place, subject=subject)


def is_refusal(error: BaseException) -> bool:
    """Whether the server refused the sign-in or a subject: trying again soon does not help."""
    return any(word in str(error).lower() for word in ("authorization", "permissions", "authentication"))
