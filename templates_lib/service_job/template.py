"""Runs a job that a service has registered: calls the service, and takes its answer as the result, or lets it go on and report."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from templates_lib import calls, fields, service_protocol
from templates_lib.base import Deferred, JobResult, JobTemplate, RunContext, TemplateError
from templates_lib.connections.failures import sentence
from templates_lib.connections.service import open_service, signing_keys
from templates_lib.messages import joined, say
from templates_lib.service_protocol import HandlerGone, ServiceUnavailable
from templates_lib.signatures import signed_headers

READ_BYTES = 1_000_000
CONNECT_SECONDS = 10.0
MOST_RETRY_AFTER_SECONDS = 86_400.0
BUSY = frozenset({408, 409, 425, 429})  # "not now": the same call may be taken later


class ServiceJob(JobTemplate):
    """Posts a JobContext and gets a JobResult, as docs/reference/service-protocol.md describes."""

    type = "service_job"
    name = "Job of a service"
    description = "Run a job that one of your services has registered"
    category = "Integration"
    icon = "server"
    risk_level = "medium"
    estimated_duration = "seconds"
    calls_service = "service"
    listed = False
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "service": fields.connection("service", "Service"),
            "path": {
                "type": "string",
                "title": "Path",
                "pattern": r"^/[^\s?#]*(\?[^\s#]*)?$",
                "maxLength": 1000,
                "x-pattern-words": "a path that begins with /",
                "x-placeholder": "/api/jobs/weekly-digest/execute",
                "description": "Below the base address of the service. Leave empty to call /api/jobs/<job name>/execute.",
            },
            "job_name": calls.JOB_NAME,
            "config": calls.CONFIG,
            "config_schema": {
                "type": "object",
                "title": "JSON Schema of the settings",
                "description": "The service declares it. Jobwright checks the settings against it when the service registers the job.",
                "x-widget": "json",
                "x-placeholder": '{"type": "object"}',
            },
            "on_failed_items": {
                "title": "If items fail",
                "default": service_protocol.WARN,
                "oneOf": [
                    {"const": service_protocol.FAIL, "title": "Fail the run"},
                    {"const": service_protocol.WARN, "title": "Write a warning to the log"},
                    {"const": service_protocol.SUCCEED, "title": "Succeed, whatever the service says of the whole"},
                ],
            },
            "heartbeat_seconds": {
                "type": "integer",
                "title": "Longest silence (seconds)",
                "minimum": service_protocol.LEAST_HEARTBEAT_SECONDS,
                "maximum": service_protocol.MOST_HEARTBEAT_SECONDS,
                "default": service_protocol.USUAL_HEARTBEAT_SECONDS,
                "description": "A run that the service has accepted is lost after this time without a report.",
            },
            "timeout": {
                "type": "number",
                "title": "Timeout of the call (seconds)",
                "exclusiveMinimum": 0,
                "maximum": 86_400,
                "description": "Leave empty to use the time limit of the job.",
            },
        },
        "required": ["service", "job_name"],
        "examples": [{"service": "email-service", "job_name": "weekly-digest", "config": {"batchSize": 100}}],
        "additionalProperties": False,
    }

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns the call as it would be made, without its signature, and calls nothing."""
        address = ctx.connection(params["service"], "service").settings["address"]
        url, body = _url(str(address), params), _context(params, ctx)
        return JobResult(f"Would send POST to {url} with {len(_encoded(body)):,} bytes", {"url": url, "body": body})

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult | Deferred:
        timeout = float(params.get("timeout") or ctx.timeout_seconds)
        client, settings = open_service(ctx, params["service"], timeout_seconds=timeout)
        client.timeout = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        url = _url(ctx.route.address if ctx.route else str(settings["address"]), params)
        body = _encoded(_context(params, ctx))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Jobwright",
            "Idempotency-Key": ctx.idempotency_key,
            **ctx.trace_headers,
            **signed_headers(signing_keys(settings), f"{ctx.execution_id}:{ctx.attempt}", body, now=datetime.now(UTC)),
        }
        with client:
            answer, read = _call(client, url, body, headers, timeout)
        return _outcome(answer, read, params, ctx)


def _url(base: str, params: Mapping[str, Any]) -> str:
    path = params.get("path") or f"/api/jobs/{quote(params['job_name'], safe='')}/execute"
    return base.rstrip("/") + str(path)


def _context(params: Mapping[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Returns the JobContext."""
    context: dict[str, Any] = {
        "jobName": params["job_name"],
        "config": params.get("config", {}),
        "executionId": ctx.execution_id,
        "triggeredBy": service_protocol.triggered_by_word(ctx.triggered_by),
        "triggeredByUser": ctx.triggered_by_user,
        "attempt": ctx.attempt,
    }
    if ctx.callback is not None:
        deadline = datetime.now(UTC) + timedelta(seconds=ctx.timeout_seconds)
        context["callback"] = {
            "url": ctx.callback.url,
            "token": ctx.callback.token,
            "heartbeatSeconds": _heartbeat(params),
            "deadline": deadline.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
    return context


def _heartbeat(params: Mapping[str, Any]) -> int:
    return int(params.get("heartbeat_seconds") or service_protocol.USUAL_HEARTBEAT_SECONDS)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", errors="replace")


def _call(client: httpx.Client, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> tuple[httpx.Response, bytes]:
    """Returns the answer of the service, and the first bytes of its body."""
    try:
        with client.stream("POST", url, content=body, headers=dict(headers)) as answer:
            return answer, calls.first_bytes(answer, READ_BYTES + 1)
    except httpx.TimeoutException as error:
        raise ServiceUnavailable(say("The service did not answer within {seconds:g} s", seconds=timeout)) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceUnavailable(sentence(error, httpx.URL(url).host)) from error


def _outcome(answer: httpx.Response, read: bytes, params: Mapping[str, Any], ctx: RunContext) -> JobResult | Deferred:
    """Returns what becomes of the run. Raises TemplateError if the service refuses or fails it."""
    status = answer.status_code
    if status == 202:
        if ctx.callback is None:
            raise TemplateError(
                say(
                    "The service answered 202, but Jobwright has no address for its reports. Set JOBWRIGHT_PUBLIC_URL, or let the service "
                    "answer when the work is done"
                ),
                permanent=True,
            )
        return Deferred(_heartbeat(params))
    if not 200 <= status < 300:
        raise _refusal(answer, read)
    if len(read) > READ_BYTES:
        raise TemplateError(say("The answer of the service is longer than {most:,} bytes", most=READ_BYTES), permanent=True)
    if not read.strip() and status != 200:
        return JobResult("The service reported success")
    result = _parsed(read)
    for level, text in service_protocol.reported_lines(result):
        ctx.log.log(logging.getLevelNamesMapping()[level], "%s", text)
    problems = service_protocol.result_problems(result)
    if problems:
        told = joined((joined((pointer, message), " ") if pointer else message for pointer, message in problems[:5]), "; ")
        raise TemplateError(say("The answer of the service is not a JobResult: {problems}", problems=told), permanent=True)
    return service_protocol.judge(result, params.get("on_failed_items", service_protocol.WARN), warn=ctx.log.warning)


def _refusal(answer: httpx.Response, read: bytes) -> TemplateError:
    """Returns the error of an answer that is no success."""
    status = answer.status_code
    text = calls.answer_text(answer, read, most=300, whole_below=READ_BYTES)
    reason = service_protocol.failure_reason(_parsed(read), text)
    words = service_protocol.answered(status, reason)
    if status >= 500:
        return ServiceUnavailable(words, retry_after_seconds=_retry_after(answer))
    if status in BUSY:
        return TemplateError(words, retry_after_seconds=_retry_after(answer))
    return (HandlerGone if status == 410 else TemplateError)(words, permanent=True)


def _parsed(read: bytes) -> Any:
    try:
        return json.loads(read)
    except (ValueError, RecursionError):
        return None


def _retry_after(answer: httpx.Response) -> float | None:
    """Returns the seconds of `Retry-After`, which is a number or a date (RFC 9110, 10.2.3), at most MOST_RETRY_AFTER_SECONDS."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MOST_RETRY_AFTER_SECONDS)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - datetime.now(UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(seconds, MOST_RETRY_AFTER_SECONDS) if seconds > 0 else None
