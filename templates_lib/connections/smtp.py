"""A mail server that jobs send through."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from templates_lib.base import RunContext, TemplateError
from templates_lib.connections import failures
from templates_lib.connections.kind import PROBE_SECONDS, TEMPLATES, ConnectionKind
from templates_lib.messages import say
from templates_lib.own import Own

TIMEOUT_SECONDS = 30.0

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "host": {"type": "string", "title": "Host", "minLength": 1, "maxLength": 253, "pattern": r"^[^\s/]+$"},
        "port": {"type": "integer", "title": "Port", "minimum": 1, "maximum": 65535, "default": 587},
        "security": {
            "title": "Security",
            "description": "STARTTLS is usual on port 587, TLS from the start on port 465.",
            "oneOf": [
                {"const": "starttls", "title": "STARTTLS"},
                {"const": "tls", "title": "TLS from the start"},
                {"const": "none", "title": "None (a mail server on this machine)"},
            ],
            "default": "starttls",
        },
        "username": {"x-destination": False, "type": "string", "title": "User name", "maxLength": 320},
        "password": {"type": "string", "title": "Password", "maxLength": 1000, "writeOnly": True},
        "sender": {"x-destination": False, "type": "string", "title": "Sender address", "format": "email", "maxLength": 320},
        "sender_name": {"x-destination": False, "type": "string", "title": "Sender name", "maxLength": 200, "pattern": r"^[^\r\n]*$"},
        "verify_certificate": {"type": "boolean", "title": "Check the server's certificate", "default": True},
        "templates": TEMPLATES,
    },
    "required": ["host", "port", "security", "sender"],
    "dependentRequired": {"password": ["username"]},
    "additionalProperties": False,
}


@contextmanager
def open_settings(settings: Mapping[str, Any], *, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[smtplib.SMTP]:
    """Yields an SMTP session with the server in `settings`, after the sign-in (RFC 5321; TLS as in RFC 3207 and RFC 8314)."""
    context = ssl.create_default_context()
    if not settings.get("verify_certificate", True):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = settings["host"], settings["port"]
    if settings["security"] == "tls":
        session: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=timeout_seconds, context=context)
    else:
        session = smtplib.SMTP(host, port, timeout=timeout_seconds)
    with session:
        if settings["security"] == "starttls":
            session.starttls(context=context)
        if settings.get("username"):
            session.login(settings["username"], settings.get("password", ""))
        yield session


@contextmanager
def open_smtp(ctx: RunContext, name: str) -> Iterator[smtplib.SMTP]:
    """Yields the session of the connection `name` of this run.

    Raises TemplateError. It is permanent for a refused sign-in or certificate, and not permanent if the server does not answer.
    """
    settings = ctx.connection(name, "smtp").settings
    try:
        with open_settings(settings) as session:
            yield session
    except (OSError, smtplib.SMTPException) as error:
        will_stay = isinstance(error, smtplib.SMTPAuthenticationError | smtplib.SMTPNotSupportedError | ssl.SSLCertVerificationError)
        words = failures.sentence(error, _place(settings), TIMEOUT_SECONDS)
        raise TemplateError(say("Connection {name!r}: {words}", name=name, words=words), permanent=will_stay) from error


def _place(settings: Mapping[str, Any]) -> str:
    return f"{settings['host']}:{settings['port']}"


def _probe(settings: Mapping[str, Any], own: Own, seconds: float = PROBE_SECONDS) -> str:  # noqa: ARG001 - the kind's signature
    with open_settings(settings, timeout_seconds=seconds) as session:
        code, text = session.noop()
        return say("The mail server answers: {code} {text}", code=code, text=text.decode(errors="replace"))


KIND = ConnectionKind(
    type="smtp",
    name="Mail server (SMTP)",
    icon="mail",
    description="A server that jobs send mail through",
    settings_schema=SCHEMA,
    place=_place,
    probe=_probe,
)
