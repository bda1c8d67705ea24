"""Sends a command over NATS: publishes it, stores it in JetStream, or sends it as a request whose answer decides the result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from templates_lib import fields
from templates_lib.base import JobResult, JobTemplate, RunContext, TemplateError
from templates_lib.bodies import body_text
from templates_lib.connections import nats as bus
from templates_lib.messages import say
from templates_lib.service_protocol import service_says
from templates_lib.subjects import SUBJECT

if TYPE_CHECKING:
    from templates_lib.connections.nats import Client

KEPT_ANSWER = 4_000  # characters
MOST_BYTES = 1_000_000


class MessageCommand(JobTemplate):
    """Requirement 004.10–12: a dynamic payload, and subjects from the allow-list of the connection."""

    type = "message_command"
    name = "Bus command"
    description = "Send a message over NATS, or send a request and check the answer"
    category = "Integration"
    icon = "send"
    risk_level = "medium"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("nats", "NATS"),
            "subject": {
                "type": "string",
                "title": "NATS subject",
                "minLength": 1,
                "maxLength": 250,
                "pattern": SUBJECT,
                "x-pattern-words": "parts of letters, digits, _ and -, with dots between",
                "x-placeholder": "orders.cleanup.start",
                "x-options": {"from": "subjects", "free": True, "depends": {"connection": "/connection"}},
                "x-judges": "/payload",
            },
            "payload": {
                "title": "Payload",
                "x-dynamic": True,
                "description": "Sent as JSON.",
                "x-widget": "json",
                "x-placeholder": '{"olderThanDays": 30}',
            },
            "how": {
                "title": "Delivery",
                "default": "publish",
                "oneOf": [
                    {"const": "publish", "title": "Publish: every listener receives it"},
                    {"const": "store", "title": "Store: a JetStream stream confirms that it is stored"},
                    {"const": "request", "title": "Request: the answer decides whether the run succeeds"},
                ],
            },
            "timeout": {"type": "number", "title": "Wait for an answer (seconds)", "exclusiveMinimum": 0, "maximum": 3600, "default": 30},
        },
        "required": ["connection", "subject"],
        "examples": [{"connection": "bus", "subject": "orders.cleanup.start", "payload": {"olderThanDays": 30}}],
        "additionalProperties": False,
    }

    def warm(self) -> None:
        bus.warm()

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns the message as it would be sent, and sends nothing."""
        data = self._data(params)
        return JobResult(
            f"Would send {len(data):,} bytes to {params['subject']}",
            {"subject": params["subject"], "headers": self._headers(ctx), "payload": data.decode()},
        )

    async def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        subject, how = params["subject"], params.get("how", "publish")
        if not bus.may_send(ctx.connection(params["connection"], "nats").settings, subject):
            raise TemplateError(
                say("Connection {name!r} does not reach {subject!r}", name=params["connection"], subject=subject),
                permanent=True,
            )
        data = self._data(params)
        async with bus.open_nats(ctx, params["connection"]) as client:
            if how == "publish":
                await client.publish(subject, data, headers=self._headers(ctx))
                return JobResult(f"Published to {subject}", {"records_processed": 1, "errors": 0, "bytes": len(data)})
            if how == "store":
                return await self._store(client, subject, data, ctx)
            return await self._request(client, subject, data, params, ctx)

    async def _store(self, client: Client, subject: str, data: bytes, ctx: RunContext) -> JobResult:
        stored = await bus.store(client, subject, data, self._headers(ctx), message_id=ctx.idempotency_key)
        words = " (it was there already)" if stored.duplicate else ""
        return JobResult(
            f"Stored in {stored.stream} as {stored.seq}{words}",
            {"records_processed": 1, "errors": 0, "stream": stored.stream, "sequence": stored.seq},
        )

    async def _request(self, client: Client, subject: str, data: bytes, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        answer = await bus.request(client, subject, data, self._headers(ctx), timeout_seconds=params.get("timeout", 30))
        text = body_text(answer.data, (answer.headers or {}).get("Content-Type", ""))
        try:
            answered = json.loads(text) if text.strip() else {}
        except ValueError:
            answered = text
        data_out = {"records_processed": 1, "errors": 0, "answer": text[:KEPT_ANSWER]}
        if isinstance(answered, dict) and answered.get("success") is False:
            raise TemplateError(service_says(str(answered.get("error") or "")[:500]), data={**data_out, "errors": 1})
        return JobResult(f"Answered {text[:100]}" if text else "Answered with nothing", data_out)

    @staticmethod
    def _data(params: Mapping[str, Any]) -> bytes:
        data = json.dumps(params["payload"], separators=(",", ":"), ensure_ascii=False).encode() if "payload" in params else b""
        if len(data) > MOST_BYTES:
            raise TemplateError(
                say("The payload has {size:,} bytes, but may have {most:,}", size=len(data), most=MOST_BYTES), permanent=True
            )
        return data

    @staticmethod
    def _headers(ctx: RunContext) -> dict[str, str]:
        return {
            "Jobwright-Execution": ctx.execution_id,
            "Jobwright-Attempt": str(ctx.attempt),
            "Idempotency-Key": ctx.idempotency_key,
            **ctx.trace_headers,
        }
