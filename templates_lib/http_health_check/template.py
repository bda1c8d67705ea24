"""Calls addresses and reports which of them are not well: by status, text, time and certificate."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx

from templates_lib import calls, fields
from templates_lib.base import Call, JobResult, JobTemplate, Problem, RunContext, TemplateError
from templates_lib.connections.failures import sentence
from templates_lib.connections.http import open_connection
from templates_lib.messages import amount

READ_BYTES = 1_000_000


class HttpHealthCheck(JobTemplate):
    """Fails if an address is not well. The result reports each address."""

    type = "http_health_check"
    name = "HTTP health check"
    description = "Check addresses and fail if one is down, slow or wrong, or if its certificate expires soon"
    category = "Monitoring"
    icon = "heart-pulse"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection(
                "http",
                "HTTP service",
                "For private hosts and for authentication. Leave empty to check public addresses without credentials.",
            ),
            "checks": {
                "type": "array",
                "title": "Addresses",
                "minItems": 1,
                "maxItems": 100,
                "items": {
                    "type": "object",
                    "title": "Address",
                    "properties": {
                        "url": calls.address("https://example.com/health"),
                        "method": {"title": "Method", "enum": ["GET", "HEAD"], "default": "GET"},
                        "status": {"type": "integer", "title": "Status", "minimum": 100, "maximum": 599, "default": 200},
                        "contains": {"type": "string", "title": "Response contains", "minLength": 1, "maxLength": 1000},
                        "within_seconds": {
                            "type": "number",
                            "title": "Responds within (seconds)",
                            "exclusiveMinimum": 0,
                            "maximum": 300,
                            "default": 10,
                        },
                        "certificate_days": {
                            "type": "integer",
                            "title": "Certificate valid for at least (days)",
                            "minimum": 1,
                            "maximum": 3650,
                            "description": "The check fails when fewer days are left.",
                        },
                    },
                    "required": ["url"],
                    "additionalProperties": False,
                },
            },
            "tries": {
                "type": "integer",
                "title": "Tries",
                "minimum": 1,
                "maximum": 10,
                "default": 2,
                "description": "An address counts as down after this many failures in a row, two seconds apart.",
            },
        },
        "required": ["checks"],
        "examples": [{"checks": [{"url": "https://example.com/health", "within_seconds": 2, "certificate_days": 14}]}],
        "additionalProperties": False,
    }

    def calls(self, params: Mapping[str, Any]) -> Iterable[Call]:
        for index, check in enumerate(params["checks"]):
            yield Call(f"/checks/{index}/url", check["url"], params.get("connection"))

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        for index, check in enumerate(params["checks"]):
            words = calls.address_problem(check["url"])
            if words is not None:
                yield Problem(f"/checks/{index}/url", words)
            elif check.get("certificate_days") and httpx.URL(check["url"]).scheme != "https":
                yield Problem(f"/checks/{index}/certificate_days", "needs an address that begins with https://")

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        checks, rows = params["checks"], []
        for done, check in enumerate(checks):
            ctx.check_cancelled()
            ctx.progress(done, len(checks), f"{done:,} of {amount(len(checks), 'check')}")
            row = self._try(check, params, ctx)
            ctx.log.log(20 if row["ok"] else 40, "%s: %s", row["url"], row["words"])
            rows.append(row)
        ctx.progress(len(checks), len(checks))
        bad = [row for row in rows if not row["ok"]]
        data = {"checks": rows, "records_processed": len(rows), "errors": len(bad)}
        if bad:
            raise TemplateError(f"{len(bad):,} of {amount(len(rows), 'check')} failed: {bad[0]['url']} {bad[0]['words']}", data=data)
        return JobResult(f"{amount(len(rows), 'check')} passed", data)

    def _try(self, check: Mapping[str, Any], params: Mapping[str, Any], ctx: RunContext) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for number in range(params.get("tries", 2)):
            if number:
                ctx.stop.wait(2)
                ctx.check_cancelled()
            row = {"url": check["url"], "ok": False, **self._try_once(check, params, ctx)}
            if row["ok"]:
                break
        return row

    def _try_once(self, check: Mapping[str, Any], params: Mapping[str, Any], ctx: RunContext) -> dict[str, Any]:
        limit, began = check.get("within_seconds", 10), time.monotonic()
        try:
            with (
                open_connection(ctx, params.get("connection"), timeout_seconds=limit) as client,
                client.stream(check.get("method", "GET"), check["url"], headers={"User-Agent": "Jobwright", **ctx.trace_headers}) as answer,
            ):
                left = _certificate_days(answer, ctx.now) if check.get("certificate_days") else None
                text = calls.first_bytes(answer, READ_BYTES).decode(errors="replace") if check.get("contains") else ""
                seconds = round(time.monotonic() - began, 3)
        except httpx.TimeoutException:
            return {"words": f"did not answer within {limit:g} s"}
        except httpx.HTTPError as error:
            return {"words": f"cannot be reached: {sentence(error, httpx.URL(check['url']).host)}"}
        measured = {"status": answer.status_code, "seconds": seconds, **({"certificate_days": left} if left is not None else {})}
        wrong = [
            words
            for is_wrong, words in (
                (answer.status_code != check.get("status", 200), f"answers {answer.status_code}"),
                (seconds > limit, f"took {seconds:g} s"),
                (bool(check.get("contains")) and check["contains"] not in text, f"does not contain {check.get('contains')!r}"),
                (left is not None and left < check["certificate_days"], f"has a certificate for {left} more days"),
            )
            if is_wrong
        ]
        return {**measured, "ok": not wrong, "words": ", ".join(wrong) or f"answers {answer.status_code} in {seconds:g} s"}


def _certificate_days(answer: httpx.Response, now: datetime) -> int | None:
    """Returns the whole days until the server's certificate ends; None if the server showed none."""
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    certificate = tls.getpeercert() if tls is not None else None
    if not certificate:
        return None
    ends = datetime.strptime(str(certificate["notAfter"]), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
    return (ends - now).days
