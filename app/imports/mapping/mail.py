"""mail and sendmail become mails."""

from __future__ import annotations

import re
from email import message_from_string

from app.imports.entries import Draft
from app.imports.mapping.calls import NotOurs
from app.imports.mapping.lines import Line, read_mail
from app.imports.mapping.needs import connection
from app.imports.secrets import has_secret

ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+\.[^\s@<>,;]+")
NO_SUBJECT = "(no subject)"


def map_mail(line: Line, draft: Draft) -> None:
    """Makes a mail. Raises NotOurs if its text comes from elsewhere, or if a recipient is no address."""
    if line.stdin is None or has_secret(line.stdin):
        raise NotOurs
    body = line.stdin
    if line.program in {"sendmail", "msmtp", "ssmtp"}:
        message = message_from_string(line.stdin)
        subject, body = str(message.get("Subject", "")), str(message.get_payload())
        recipients = [text for text in line.texts[1:] if not text.startswith("-")] or [str(message.get("To", ""))]
    else:
        subject, recipients = read_mail(line.texts)
    if not recipients or not all(ADDRESS.fullmatch(text) for text in recipients):
        raise NotOurs
    server = connection(draft, "smtp", "mail", {})
    draft.mapped("command", line.program, "template_type", "the mail is sent through a connection of Jobwright")
    if line.stdin is not None:
        draft.mapped("%", line.stdin, "parameters.body")
    parameters = {
        "connection": server,
        "recipients": recipients,
        "subject": subject.strip() or NO_SUBJECT,
        "body": body.strip() or NO_SUBJECT,
    }
    draft.body |= {"template_type": "email_notification", "parameters": parameters}
