"""Calls an HTTP address with a signature and an idempotency key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import urljoin

import httpx

from templates_lib import calls, headers
from templates_lib.base import Call, JobResult, JobTemplate, Problem, RunContext, TemplateError
from templates_lib.connections.failures import sentence
from templates_lib.connections.http import open_connection
from templates_lib.messages import say

MAX_REDIRECTS = 5
KEPT_ANSWER_BYTES = 4_000
READ_ANSWER_BYTES = 1_000_000


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Returns the `webhook-signature` of the Standard Webhooks specification 1.0: `v1,` and the base64 of HMAC-SHA256 over
    `id.timestamp.body`.

    In a secret that begins with `whsec_`, the rest is base64. Any other secret is used as its UTF-8 bytes.
    """
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class WebhookTrigger(JobTemplate):
    """Requirement 002.95. Private addresses are refused unless the settings allow the host (templates_lib/net.py)."""

    type = "webhook_trigger"
    name = "Webhook"
    description = "Call an HTTP address of another system"
    category = "Integration"
    icon = "webhook"
    risk_level = "medium"
    estimated_duration = "seconds"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "connection": {
                "type": "string",
                "title": "HTTP service",
                "x-options": {"from": "connections", "kind": "http"},
                "minLength": 1,
                "description": "Allowed hosts and credentials. Leave empty to call any public address without credentials.",
            },
            "url": calls.address("https://example.com/hooks/jobs", offers=True),
            "method": {
                "type": "string",
                "title": "Method",
                "x-destination": False,
                "enum": ["POST", "PUT", "PATCH", "GET", "DELETE"],
                "default": "POST",
            },
            "headers": {
                "type": "array",
                "title": "Headers",
                "x-destination": False,
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "title": "Header",
                    "properties": {
                        "name": {"type": "string", "title": "Name", "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"},
                        "value": {"type": "string", "title": "Value", "pattern": r"^[\x20-\x7e]*$", "maxLength": 4000},
                    },
                    "required": ["name", "value"],
                    "additionalProperties": False,
                },
            },
            "body": {
                "x-dynamic": True,
                "x-destination": False,
                "title": "Body",
                "description": "Sent as JSON. Not sent with GET.",
                "x-widget": "json",
                "x-placeholder": '{"event": "nightly"}',
            },
            "secret": {
                "type": "string",
                "title": "Signing secret",
                "description": "Signs the call according to the Standard Webhooks specification. Stored encrypted and never shown again.",
                "minLength": 8,
                "maxLength": 500,
                "writeOnly": True,
            },
            "expected_status": {
                "type": "array",
                "title": "Expected status codes",
                "x-destination": False,
                "description": "Status codes that count as success. Leave empty to accept any 2xx.",
                "items": {"type": "integer", "title": "Status code", "minimum": 100, "maximum": 599},
                "maxItems": 20,
                "uniqueItems": True,
            },
            "timeout": {
                "type": "number",
                "title": "Timeout (seconds)",
                "x-destination": False,
                "exclusiveMinimum": 0,
                "maximum": 600,
                "default": 30,
            },
            "follow_redirects": {"type": "boolean", "title": "Follow redirects", "default": False},
            "verify_certificate": {"type": "boolean", "title": "Check the server's certificate", "default": True},
        },
        "required": ["url"],
        "examples": [{"url": "https://example.com/hooks/jobs", "body": {"event": "nightly"}}],
        "additionalProperties": False,
    }

    def calls(self, params: Mapping[str, Any]) -> Iterable[Call]:
        yield Call("/url", params["url"], params.get("connection"))

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        words = calls.address_problem(params["url"])
        if words is not None:
            yield Problem("/url", words)
        for index, header in enumerate(params.get("headers", ())):
            for member, words in (("name", headers.name_problem(header["name"])), ("value", headers.value_problem(header["value"]))):
                if words is not None:
                    yield Problem(f"/headers/{index}/{member}", words)
        secret = params.get("secret", "")
        if secret.startswith("whsec_"):
            try:
                base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            except binascii.Error:
                yield Problem("/secret", "begins with whsec_, but the rest is not valid base64")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns the request as it would be sent, without the signature, and calls nothing."""
        method, body = params.get("method", "POST"), self._body(params)
        names = [name for name, _ in self._headers(params, ctx, body, trusted=True)]
        return JobResult(
            f"Would send {method} to {params['url']} with {len(body):,} bytes",
            {
                "method": method,
                "url": params["url"],
                "headers": names,
                "body": body.decode(),
                "signed": bool(params.get("secret")),
            },
        )

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        began = time.monotonic()
        with open_connection(
            ctx, params.get("connection"), timeout_seconds=params.get("timeout", 30), verify=params.get("verify_certificate", True)
        ) as client:
            try:
                status, answer = self._call(client, params, ctx)
            except httpx.TimeoutException as error:
                raise TemplateError(say("No answer within {seconds:g} s", seconds=params.get("timeout", 30))) from error
            except httpx.HTTPError as error:
                raise TemplateError(sentence(error, httpx.URL(params["url"]).host)) from error
        seconds = round(time.monotonic() - began, 3)
        data = {"status_code": status, "seconds": seconds, "answer": answer, "errors": 0, "records_processed": 1}
        ctx.log.info("%s answered %s in %s s", httpx.URL(params["url"]).host, status, seconds)
        expected = params.get("expected_status") or []
        if (status in expected) if expected else (200 <= status < 300):
            return JobResult(f"Answered {status} in {seconds:.2f} s", data)
        raise TemplateError(
            say("Answered {status}, which is not expected", status=status),
            permanent=calls.will_stay(status),
            data={**data, "errors": 1},
        )

    def _call(self, client: httpx.Client, params: Mapping[str, Any], ctx: RunContext) -> tuple[int, str]:
        """Returns the status of the final answer and the beginning of its text. The client checks the address of each redirect."""
        method, url = params.get("method", "POST"), httpx.URL(params["url"])
        body = self._body(params)
        origin = (url.scheme, url.host, url.port)
        for _ in range(MAX_REDIRECTS + 1):
            own = (url.scheme, url.host, url.port) == origin
            sent = self._headers(params, ctx, body, trusted=own)
            with client.stream(method, url, content=body or None, headers=sent) as response:
                location = response.headers.get("location")
                if not (params.get("follow_redirects", False) and response.is_redirect and location):
                    read = calls.first_bytes(response, READ_ANSWER_BYTES)
                    return response.status_code, calls.answer_text(response, read, most=KEPT_ANSWER_BYTES, whole_below=READ_ANSWER_BYTES)
                if response.status_code not in {307, 308} and method != "GET":  # RFC 9110, 15.4: the others become GET
                    method, body = "GET", b""
                url = httpx.URL(urljoin(str(url), location))
                if url.scheme not in {"http", "https"}:
                    raise TemplateError(f"Redirected to {url.scheme}:, which is not HTTP", permanent=True)
        raise TemplateError(f"Redirected more than {MAX_REDIRECTS} times", permanent=True)

    @staticmethod
    def _body(params: Mapping[str, Any]) -> bytes:
        if "body" not in params or params.get("method") == "GET":
            return b""
        return json.dumps(params["body"], separators=(",", ":"), ensure_ascii=False).encode()

    def _headers(self, params: Mapping[str, Any], ctx: RunContext, body: bytes, *, trusted: bool) -> list[tuple[str, str]]:
        """Returns the headers of the call. If the origin is not the one in the parameters (`trusted` is False), the headers of the job and
        the signature are left out."""
        timestamp = int(time.time())
        sent = [
            ("User-Agent", "Jobwright"),
            ("Idempotency-Key", ctx.idempotency_key),
            ("Webhook-Id", ctx.idempotency_key),
            ("Webhook-Timestamp", str(timestamp)),
        ]
        names = {header["name"].lower() for header in params.get("headers", ())}
        if body and not (trusted and "content-type" in names):
            sent.append(("Content-Type", "application/json"))
        sent += [(name, value) for name, value in ctx.trace_headers.items() if not (trusted and name.lower() in names)]
        if trusted:
            sent += [(header["name"], header["value"]) for header in params.get("headers", ())]
            if params.get("secret"):
                sent.append(("Webhook-Signature", sign(params["secret"], ctx.idempotency_key, timestamp, body)))
        return sent
