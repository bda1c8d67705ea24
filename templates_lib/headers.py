"""Headers of outgoing calls that nobody but Jobwright and the protocol sets."""

from __future__ import annotations

from templates_lib.messages import say

# About the connection and not the message (RFC 9110, 7.6.1; RFC 9112, 9 and 11.3; RFC 9113, 8.2.2): one that a job could set would smuggle
# a request, keep a connection or speak to a proxy.
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
# What the message is and where it goes, as the client says it (RFC 9110, 7.2, 8.6, 10.1.1).
_FRAMING = frozenset({"host", "content-length", "expect", "content-transfer-encoding"})
# By which a receiver knows a call of ours again, and that it is ours.
_OURS = frozenset({"idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature"})
RESERVED = _HOP_BY_HOP | _FRAMING | _OURS


def name_problem(name: str) -> str | None:
    """Why a job or a connection may not set a header; None where it may."""
    bare = name.strip().lower().replace("_", "-")  # many receivers read both as the same
    if bare in RESERVED or bare.startswith(":"):
        return say("{name} is set by Jobwright or by the protocol", name=name)
    return None


def value_problem(value: str) -> str | None:
    """Why a value is none that a header can have; None where it is one."""
    if not value.isascii() or not value.isprintable():
        return say("must be one line of ASCII characters")
    return None
