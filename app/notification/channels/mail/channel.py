"""Messages as mail: plain text and HTML, one thread for each matter."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import Any

from app.notification.channels.base import SEND_SECONDS, Channel, Door, Receipt, RecipientsRefused, Refused, Unknown, Unreachable
from app.notification.message import Message, Part, PartLine, Severity
from app.validation.storable import whole_text
from app.validation.terminal import one_line
from templates_lib.addresses import distinct_addresses
from templates_lib.connections import KINDS
from templates_lib.connections.failures import sentence
from templates_lib.connections.smtp import open_settings
from templates_lib.messages import say, say_many

PLACE = "jobwright"  # the right part of identifiers of mails
_COLOURS = {Severity.GOOD: "#1a7f37", Severity.INFO: "#57606a", Severity.BAD: "#cf222e"}
# White on this colour can be read on a light and on a dark background, which the colour alone cannot.
_BUTTON = "display:inline-block;padding:8px 16px;border-radius:6px;background:#0e7c7b;color:#fff;text-decoration:none"
_PERMANENT = 500  # and above: the server would refuse the same mail again (RFC 5321, 4.2.1)


class Mail(Channel):
    """Mail through an SMTP connection. All recipients get one mail. The messages about one matter form a thread (RFC 5322, 3.6.4)."""

    type = "mail"
    title = say("E-mail")
    description = say("Mail to one or more addresses, through a connection to a mail server")
    icon = "mail"

    def place(self, settings: Mapping[str, Any]) -> str:
        return ", ".join(settings.get("recipients", ()))

    def send(self, message: Message, settings: Mapping[str, Any], door: Door) -> Receipt:
        grant = door.connection(settings["connection"], "smtp")
        recipients = distinct_addresses(settings["recipients"])
        mail = compose(message, recipients, grant.settings)
        left: dict[str, Any] = {}
        with (
            _errors_of_smtp(KINDS["smtp"].place(grant.settings)) as sent,
            open_settings(grant.settings, timeout_seconds=SEND_SECONDS) as session,
        ):
            left = session.send_message(mail)
            sent.append(True)
        taken = len(recipients) - len(left)
        words = say_many(
            "The mail server took the mail for {count} recipient.", "The mail server took the mail for {count} recipients.", taken
        )
        if left:
            refused = ", ".join(left)
            words = say("The mail server took the mail, but refused these recipients: {recipients}", recipients=refused)
        return Receipt(words=words)


@contextmanager
def _errors_of_smtp(place: str) -> Iterator[list[bool]]:
    """Turns errors of smtplib into those of channels. The caller appends to the list once the server has taken the mail: what goes wrong
    after that is no failure."""
    sent: list[bool] = []
    try:
        yield sent
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        refused = say("The mail server refused every recipient: {recipients}", recipients=", ".join(error.recipients))
        raise (RecipientsRefused if min(codes, default=_PERMANENT) >= _PERMANENT else Unreachable)(refused) from error
    except smtplib.SMTPAuthenticationError as error:
        raise (Refused if error.smtp_code >= _PERMANENT else Unreachable)(sentence(error, place, SEND_SECONDS)) from error
    except smtplib.SMTPResponseException as error:
        words = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        answer = say("The mail server refused the mail: {code} {words}", code=error.smtp_code, words=words)
        raise (Refused if error.smtp_code >= _PERMANENT else Unreachable)(answer) from error
    except (OSError, smtplib.SMTPException) as error:
        if sent:
            return
        permanent = isinstance(error, smtplib.SMTPNotSupportedError)
        raise (Refused if permanent else Unknown if _was_sending(error) else Unreachable)(sentence(error, place, SEND_SECONDS)) from error


def _was_sending(error: BaseException) -> bool:
    """Returns whether the content of the mail was on its way when the error came: the server may have it."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is smtplib.SMTP.data.__code__:
            return True
        trace = trace.tb_next
    return False


def compose(message: Message, recipients: Sequence[str], settings: Mapping[str, Any]) -> EmailMessage:
    """Returns the mail with a message; `settings` are those of the SMTP connection."""
    mail, thread = EmailMessage(), f"<{_token(message.thread)}.thread@{PLACE}>"
    mail["Subject"] = one_line(message.title)
    mail["From"] = Address(display_name=settings.get("sender_name", "Jobwright"), addr_spec=settings["sender"])
    mail["To"] = tuple(Address(addr_spec=recipient) for recipient in recipients)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{_token(message.key)}@{PLACE}>"  # the same if it is sent twice
    mail["In-Reply-To"] = mail["References"] = thread
    mail["List-Id"] = f"Jobwright <notifications.{PLACE}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(whole_text(message.title + "\n\n" + message.as_text() + "\n"))
    mail.add_alternative(whole_text(as_html(message)), subtype="html")
    return mail


def _token(text: str) -> str:
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_.") else "-" for sign in text) or "none"


def as_html(message: Message) -> str:
    """Returns a message as HTML that mail programs show alike: no scripts, no pictures, nothing from another server."""
    paragraphs = "".join(_part_as_html(part) for part in message.parts) or "".join(
        f'<p style="margin:0 0 12px;white-space:pre-wrap">{escape(part)}</p>' for part in message.text.split("\n\n") if part
    )
    rows = "".join(
        f'<tr><td style="padding:2px 16px 2px 0;opacity:.7;vertical-align:top">{escape(fact.label)}</td>'
        f'<td style="padding:2px 0">{escape(fact.value)}</td></tr>'
        for fact in message.facts
    )
    links = "".join(
        f'<p style="margin:16px 0 0"><a href="{escape(link.url)}" style="{_BUTTON}">{escape(link.words)}</a></p>' for link in message.links
    )
    logs = "".join(
        f'<p style="margin:16px 0 4px;opacity:.7;font-size:14px">{escape(excerpt.words)}</p>'
        '<pre style="margin:0;padding:8px 12px;border:1px solid #8886;border-radius:4px;white-space:pre-wrap;overflow-wrap:anywhere;'
        f'font:13px/1.45 ui-monospace,Consolas,monospace">{escape(chr(10).join(excerpt.lines))}</pre>'
        for excerpt in message.excerpts
    )
    table = f'<table role="presentation" style="border-collapse:collapse;font-size:14px">{rows}</table>' if rows else ""
    return (
        f'<!doctype html><html lang="{escape(message.language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(message.title)}</title></head>"
        '<body style="margin:0;padding:16px;font:15px/1.5 system-ui,-apple-system,Segoe UI,sans-serif">'
        f'<div style="max-width:560px;border-left:4px solid {_COLOURS[message.severity]};padding:4px 0 4px 16px;overflow-wrap:anywhere">'
        f'<h1 style="font-size:18px;line-height:1.3;margin:0 0 12px">{escape(message.title)}</h1>{paragraphs}{table}{links}{logs}</div>'
        "</body></html>"
    )


def _part_as_html(part: Part) -> str:
    lines = "".join(f'<li style="margin:0 0 4px">{_line_as_html(line)}</li>' for line in part.lines)
    heading = f'<h2 style="font-size:15px;line-height:1.3;margin:20px 0 6px">{escape(part.title)}</h2>'
    return f'{heading}<ul style="margin:0 0 12px;padding:0 0 0 20px">{lines}</ul>'


def _line_as_html(line: PartLine) -> str:
    words = f'<a href="{escape(line.url)}">{escape(line.words)}</a>' if line.url else escape(line.words)
    detail = f'<br><span style="font-size:13px;opacity:.7">{escape(line.detail)}</span>' if line.detail else ""
    return words + detail
