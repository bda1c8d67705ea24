"""Mail of jobs: makes the envelope of a message, sends it, and reports the result for each recipient."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

from templates_lib.base import JobResult, RunContext, TemplateError
from templates_lib.messages import amount


@dataclass(frozen=True, slots=True)
class Delivery:
    """The result for one recipient: `sent`, or `refused` with the answer of the server; `permanent` is true for a 5xx answer."""

    recipient: str
    status: str
    detail: str = ""
    permanent: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"recipient": self.recipient, "status": self.status, "detail": self.detail}


def envelope(ctx: RunContext, settings: Mapping[str, Any], *, subject: str, to: Sequence[str], number: int = 0) -> EmailMessage:
    """Returns a message without content (RFC 5322). The sender comes from the `settings` of the SMTP connection; `number` distinguishes the
    messages of a run. EmailMessage refuses line breaks in a header, so that none can be injected."""
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = Address(display_name=settings.get("sender_name", ""), addr_spec=settings["sender"])
    message["To"] = tuple(Address(addr_spec=recipient) for recipient in to)
    message["Date"] = format_datetime(ctx.now)
    # The id is the same in each attempt of one execution, so that a server or a mail program may drop a second copy.
    message["Message-ID"] = f"<{ctx.idempotency_key}.{number}@jobwright>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
    return message


def is_mailbox(text: str) -> bool:
    """Returns whether a text is an address that a header takes, without a name."""
    try:
        Address(addr_spec=text)
    except Exception:
        return False
    return text.count("@") >= 1 and text.isprintable() and " " not in text


def send(session: smtplib.SMTP, message: EmailMessage, recipients: Sequence[str]) -> list[Delivery]:
    """Sends a message and returns the result for each recipient."""
    try:
        refused: Mapping[str, tuple[int, bytes]] = session.send_message(message, to_addrs=recipients)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        text = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
        refused = dict.fromkeys(recipients, (error.smtp_code, text))
    return [
        Delivery(
            recipient,
            "refused",
            f"{refused[recipient][0]} {refused[recipient][1].decode(errors='replace')}",
            permanent=refused[recipient][0] >= 500,
        )
        if recipient in refused
        else Delivery(recipient, "sent")
        for recipient in recipients
    ]


def conclude(deliveries: list[Delivery]) -> JobResult:
    """Returns the result if all were sent; else raises TemplateError. If only some were refused, the error is permanent, because a retry
    would mail the others twice. If none was sent, it is permanent only if all answers were 5xx."""
    sent = sum(item.status == "sent" for item in deliveries)
    data = {
        "records_processed": len(deliveries),
        "sent": sent,
        "errors": len(deliveries) - sent,
        "recipients": [item.as_json() for item in deliveries],
    }
    text = f"Sent {sent} of {amount(len(deliveries), 'mail')}"
    if sent == len(deliveries):
        return JobResult(text, data)
    raise TemplateError(
        f"{text}; refused: {', '.join(item.recipient for item in deliveries if item.status != 'sent')}"[:1000],
        permanent=sent > 0 or all(item.permanent for item in deliveries),
        data=data,
    )
