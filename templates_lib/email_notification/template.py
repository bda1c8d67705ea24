"""Sends mail through an SMTP connection and reports the result for each recipient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from html import escape
from typing import Any, ClassVar

from markdown_it import MarkdownIt

from templates_lib import mailing
from templates_lib.addresses import distinct_addresses
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext
from templates_lib.connections.file_store import open_file_store
from templates_lib.connections.smtp import open_smtp
from templates_lib.messages import amount

MAX_ATTACHMENT_BYTES = 10_000_000  # most servers refuse a message over 25 MB, and base64 adds a third
MAX_ATTACHMENTS_BYTES = 18_000_000

# Escaped text is filled into `{title}` and `{body}`. The colours are those of the product, as hex numbers because mail programs do not know
# oklch.
_LAYOUTS = {
    "simple": '<div style="font:15px/1.6 system-ui,sans-serif;color:#222">{body}</div>',
    "notice": '<div style="max-width:600px;margin:auto;font:15px/1.6 system-ui,sans-serif;color:#222">'
    '<h1 style="font-size:20px;border-bottom:2px solid #1f7a74;padding-bottom:8px">{title}</h1>{body}</div>',
}


class EmailNotification(JobTemplate):
    """Requirement 002.69. The other recipients get their mail even if the server refuses one of them."""

    type = "email_notification"
    name = "Email"
    description = "Send a mail to a list of people"
    category = "Communication"
    icon = "mail"
    risk_level = "medium"
    estimated_duration = "seconds"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "connection": {
                "type": "string",
                "title": "Mail server",
                "x-options": {"from": "connections", "kind": "smtp"},
            },
            "recipients": {
                "type": "array",
                "title": "Recipients",
                "items": {"type": "string", "format": "email", "maxLength": 320, "title": "Address"},
                "minItems": 1,
                "maxItems": 500,
                "uniqueItems": True,
            },
            "subject": {
                "x-dynamic": True,
                "type": "string",
                "title": "Subject",
                "minLength": 1,
                "maxLength": 250,
                "pattern": r"^[^\r\n\x00]*$",
            },
            "body": {
                "x-dynamic": True,
                "type": "string",
                "title": "Body",
                "description": "Plain text or Markdown. The HTML layouts show Markdown formatted.",
                "minLength": 1,
                "maxLength": 100_000,
                "x-widget": "textarea",
            },
            "template": {
                "title": "Layout",
                "oneOf": [
                    {"const": "plain", "title": "Plain text"},
                    {"const": "simple", "title": "Text and simple HTML"},
                    {"const": "notice", "title": "Text and HTML with the subject as heading"},
                ],
                "default": "plain",
            },
            "individually": {
                "type": "boolean",
                "title": "Send one mail to each recipient",
                "description": "Recipients then do not see each other's addresses.",
                "default": True,
            },
            "reply_to": {"type": "string", "title": "Reply to", "format": "email", "maxLength": 320},
            "attachments": {
                "type": "array",
                "title": "Attachments",
                "maxItems": 10,
                "items": {
                    "type": "object",
                    "title": "Attachment",
                    "properties": {
                        "connection": {
                            "type": "string",
                            "title": "File store",
                            "x-options": {"from": "connections", "kind": "file_store"},
                        },
                        "path": {"type": "string", "title": "Path", "minLength": 1, "maxLength": 1000},
                        "filename": {
                            "type": "string",
                            "title": "Name in the mail",
                            "maxLength": 200,
                            "pattern": r"^[^\r\n\x00/\\]*$",
                        },
                    },
                    "required": ["connection", "path"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["connection", "recipients", "subject", "body"],
        "examples": [
            {"connection": "mail", "recipients": ["team@example.com"], "subject": "The night's work", "body": "The cleanup **ran**."}
        ],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        seen: set[str] = set()
        for index, recipient in enumerate(params["recipients"]):
            if recipient.lower() in seen:
                yield Problem(f"/recipients/{index}", "is already in the list")
            seen.add(recipient.lower())
            if not mailing.is_mailbox(recipient):
                yield Problem(f"/recipients/{index}", "is not a valid mail address")
        if params.get("reply_to") and not mailing.is_mailbox(params["reply_to"]):
            yield Problem("/reply_to", "is not a valid mail address")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Composes the message and reads its attachments, but sends nothing."""
        message = self._compose(params, ctx, to=params["recipients"], number=0)
        count = len(params["recipients"])
        return JobResult(
            f"Would send to {amount(count, 'recipient')}, {len(message.as_bytes()):,} bytes each",
            {"recipients": params["recipients"], "subject": params["subject"], "bytes": len(message.as_bytes())},
        )

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        recipients = distinct_addresses(params["recipients"])
        groups = [[recipient] for recipient in recipients] if params.get("individually", True) else [recipients]
        deliveries: list[mailing.Delivery] = []
        with open_smtp(ctx, params["connection"]) as session:
            for number, group in enumerate(groups):
                ctx.check_cancelled()
                deliveries += mailing.send(session, self._compose(params, ctx, to=group, number=number), group)
                ctx.progress(len(deliveries), len(recipients), f"{len(deliveries):,} of {amount(len(recipients), 'recipient')}")
                for delivery in deliveries[-len(group) :]:
                    ctx.log.info("%s: %s %s", delivery.recipient, delivery.status, delivery.detail)
        return mailing.conclude(deliveries)

    def _compose(self, params: Mapping[str, Any], ctx: RunContext, *, to: list[str], number: int) -> EmailMessage:
        """Returns the message, with its layout and attachments."""
        settings = ctx.connection(params["connection"], "smtp").settings
        message = mailing.envelope(ctx, settings, subject=params["subject"], to=to, number=number)
        if params.get("reply_to"):
            message["Reply-To"] = Address(addr_spec=params["reply_to"])
        message.set_content(params["body"])
        layout = _LAYOUTS.get(params.get("template", "plain"))
        if layout:
            html = MarkdownIt("commonmark", {"html": False}).render(params["body"])
            message.add_alternative(layout.format(title=escape(params["subject"]), body=html), subtype="html")
        self._attach(message, params.get("attachments", ()), ctx)
        return message

    def _attach(self, message: EmailMessage, attachments: Iterable[Mapping[str, str]], ctx: RunContext) -> None:
        left = MAX_ATTACHMENTS_BYTES
        for item in attachments:
            content = open_file_store(ctx, item["connection"]).read(item["path"], limit_bytes=min(left, MAX_ATTACHMENT_BYTES))
            left -= len(content)
            name = item.get("filename") or item["path"].rpartition("/")[2]
            message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
