"""Outcomes as mail, through the SMTP connection that the settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPSenderRefused
from typing import Any

from app.clock import Clock
from app.connections.service import Connections
from app.errors import Conflict
from app.notification.base import Notifier
from app.queue.execution import Execution
from app.validation.storable import whole_text
from app.validation.terminal import one_line, plain
from templates_lib.addresses import distinct_addresses
from templates_lib.connections import KINDS
from templates_lib.connections.failures import sentence
from templates_lib.connections.smtp import TIMEOUT_SECONDS, open_settings
from templates_lib.messages import say

SUBJECTS = {"success": "succeeded", "failed": "failed", "timeout": "timed out", "missed": "was missed"}


class MailNotifier(Notifier):
    """One plain-text mail to all recipients. `connection` is the name of an SMTP connection; `public_url` begins the link, if set."""

    def __init__(self, connections: Connections, clock: Clock, *, connection: str, public_url: str) -> None:
        self._connections, self._clock, self._connection, self._public_url = connections, clock, connection, public_url.rstrip("/")

    def send(self, execution: Execution, recipients: Sequence[str]) -> None:
        grant = self._connections.grant([self._connection]).get(self._connection) if self._connection else None
        if grant is None or grant.kind != "smtp":
            raise Conflict(
                say("There is no SMTP connection {name!r}. Create it, or change JOBWRIGHT_NOTIFY_CONNECTION.", name=self._connection)
                if self._connection
                else say("Jobwright cannot send mail yet. Set JOBWRIGHT_NOTIFY_CONNECTION to the name of an SMTP connection, and restart.")
            )
        message = self._compose(execution, distinct_addresses(recipients), grant.settings)
        try:
            with open_settings(grant.settings) as session:
                session.send_message(message)
        except SMTPRecipientsRefused as error:
            raise Conflict(say("The mail server refused every recipient: {recipients}", recipients=", ".join(error.recipients))) from error
        except (SMTPSenderRefused, SMTPDataError) as error:
            words = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            raise Conflict(say("The mail server refused the mail: {code} {words}", code=error.smtp_code, words=words)) from error
        except (OSError, SMTPException) as error:
            raise Conflict(sentence(error, KINDS["smtp"].place(grant.settings), TIMEOUT_SECONDS)) from error

    def _compose(self, execution: Execution, recipients: Sequence[str], settings: Mapping[str, Any]) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = f"{one_line(execution.job_name)} {SUBJECTS[execution.status]}"
        message["From"] = Address(display_name=settings.get("sender_name", "Jobwright"), addr_spec=settings["sender"])
        message["To"] = tuple(Address(addr_spec=recipient) for recipient in recipients)
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = f"<{execution.id}.outcome@jobwright>"  # the same if it is sent twice
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(whole_text("\n".join(self._lines(execution))))
        return message

    def _lines(self, execution: Execution) -> list[str]:
        error, result, missed = execution.error, execution.result, execution.due_times
        lines = [f"{one_line(execution.job_name)} {SUBJECTS[execution.status]}."]
        if error:
            lines += ["", f"{one_line(error.type)}: {plain(error.message)}"]
        if result and result.get("message"):
            lines += ["", plain(str(result["message"]))]
        if missed:
            lines += ["", "1 run was not started in time." if missed.count == 1 else f"{missed.count:,} runs were not started in time."]
        lines += ["", f"Attempts: {len(execution.attempts)}"]
        if execution.scheduled_for:
            lines.append(f"Scheduled for: {execution.scheduled_for:%Y-%m-%d %H:%M:%S} UTC")
        if self._public_url:
            lines += ["", f"{self._public_url}/executions/{execution.id}"]
        return lines
