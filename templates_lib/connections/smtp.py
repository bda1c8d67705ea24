"""A mail server that jobs send through."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from templates_lib.base import RunContext, TemplateError
from templates_lib.connections.kind import TEMPLATES, ConnectionKind
from templates_lib.own import Own

TIMEOUT_SECONDS = 30.0

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "host": {"type": "string", "title": "Host", "minLength": 1, "maxLength": 253, "pattern": r"^[^\s/]+$"},
        "port": {"type": "integer", "title": "Port", "minimum": 1, "maximum": 65535, "default": 587},
        "security": {
            "title": "Security",
            "description": "STARTTLS is usual on 587, TLS from the start on 465.",
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
def open_settings(settings: Mapping[str, Any]) -> Iterator[smtplib.SMTP]:
    """Yields an SMTP session with the server in `settings`, after the sign-in (RFC 5321; TLS as in RFC 3207 and RFC 8314)."""
    context = ssl.create_default_context()
    if not settings.get("verify_certificate", True):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = settings["host"], settings["port"]
    if settings["security"] == "tls":
        session: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        session = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
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
    try:
        with open_settings(ctx.connection(name, "smtp").settings) as session:
            yield session
    except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError) as error:
        raise TemplateError(f"Connection {name!r}: sign-in refused: {_text(error)}", permanent=True) from error
    except ssl.SSLCertVerificationError as error:
        raise TemplateError(f"Connection {name!r}: certificate refused: {error.verify_message}", permanent=True) from error
    except (OSError, smtplib.SMTPException) as error:
        raise TemplateError(f"Connection {name!r} failed: {_text(error)}") from error


def _text(error: Exception) -> str:
    raw = getattr(error, "smtp_error", None)
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(error)


def _probe(settings: Mapping[str, Any], own: Own) -> str:  # noqa: ARG001 - the kind's signature
    with open_settings(settings) as session:
        code, text = session.noop()
        return f"The server answers {code} {text.decode(errors='replace')}"


KIND = ConnectionKind(
    type="smtp",
    name="Mail server (SMTP)",
    icon="mail",
    description="A server that jobs send mail through",
    settings_schema=SCHEMA,
    probe=_probe,
)
