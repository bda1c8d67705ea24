"""Headers of outgoing calls that only Jobwright or the protocol may set."""

from __future__ import annotations

from templates_lib.messages import say

# Headers about the connection and not the message (RFC 9110, 7.6.1; RFC 9112, 9 and 11.3; RFC 9113, 8.2.2). If a job could set one, it
# could smuggle a request, keep a connection open or talk to a proxy.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-authentication-info",
        "alt-svc",
        "alt-used",
    }
)
# Headers about the form and the target of the message, which the HTTP client sets (RFC 9110, 7.2, 8.6, 10.1.1).
_FRAMING = frozenset({"host", "content-length", "expect", "content-transfer-encoding"})
# Headers by which a receiver recognises a repeated call of ours, and knows that it is ours.
_OURS = frozenset({"idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature"})
RESERVED = _HOP_BY_HOP | _FRAMING | _OURS


def name_problem(name: str) -> str | None:
    """Returns why a job or a connection may not set a header; None if it may."""
    bare = name.strip().lower().replace("_", "-")  # many receivers treat both characters as the same
    if bare in RESERVED or bare.startswith(":"):
        return say("{name} is set by Jobwright or by the protocol", name=name)
    return None


def value_problem(value: str) -> str | None:
    """Returns why a header cannot have a value; None if it can."""
    if not value.isascii() or not value.isprintable():
        return say("must be one line of ASCII characters")
    return None
