"""Why the bus does not work, in plain sentences."""

from __future__ import annotations

import socket
import ssl

import pytest
from nats import errors
from nats.js import errors as js_errors

from app.integrations.nats import problems

PLACE = "nats.example.com:4222"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "Nothing listens at nats.example.com:4222 (connection refused)."),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "The host name in nats.example.com:4222 was not found."),
        (errors.AuthorizationError(), "nats.example.com:4222 refused the sign-in:"),
        (
            ssl.SSLError(ssl.SSL_ERROR_SSL, "the server does not offer TLS"),
            "does not speak TLS as expected (the server does not offer TLS).",
        ),
        (TimeoutError(), "nats.example.com:4222 did not answer within 5 s."),
        (errors.UnexpectedEOF(), "closed the connection without an answer."),
    ],
)
def test_of_a_connection(error: Exception, words: str) -> None:
    assert words in problems.of_connection(error, PLACE, 5.0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (js_errors.ServiceUnavailableError(), "has no JetStream that answers, so events wait."),
        (errors.NoRespondersError(), "has no JetStream that answers, so events wait."),
        (
            errors.Error("nats: permissions violation for publish to $js.api.stream.info.jobwright_events"),
            "does not let Jobwright use the stream JOBWRIGHT_EVENTS",
        ),
        (errors.TimeoutError(), "Events cannot be stored in the stream JOBWRIGHT_EVENTS: nats.example.com:4222 did not answer in time."),
    ],
)
def test_of_the_stream(error: Exception, words: str) -> None:
    assert words in problems.of_stream(error, PLACE, "JOBWRIGHT_EVENTS")
    assert not problems.is_refusal(TimeoutError())
