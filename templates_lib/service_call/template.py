"""Calls a service to do work, in batches, until the service has nothing left to do. The service answers each call with what it did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import httpx

from templates_lib import calls, fields, service_protocol
from templates_lib.base import Call, JobResult, JobTemplate, Problem, RunContext, TemplateError
from templates_lib.connections.failures import sentence
from templates_lib.connections.http import open_connection
from templates_lib.messages import amount, say

READ_BYTES = 1_000_000
MOST_ERRORS = 100


class ServiceCall(JobTemplate):
    """Requirements 000.22, 001.19–21, 003.15: posts a JobContext, and gets a JobResult as the answer."""

    type = "service_call"
    name = "Service call"
    description = "Call one of your services in batches and count the results"
    category = "Integration"
    icon = "server"
    risk_level = "medium"
    estimated_duration = "1–10 minutes"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "connection": fields.connection("http", "HTTP service"),
            "url": calls.address("https://moderation.example.com/api/jobs/crawl_pending/execute", offers=True),
            "job_name": calls.JOB_NAME,
            "config": calls.CONFIG,
            "timeout": {"type": "number", "title": "Timeout per call (seconds)", "exclusiveMinimum": 0, "maximum": 3600, "default": 60},
            "most_batches": {
                "type": "integer",
                "title": "Maximum number of batches",
                "minimum": 1,
                "maximum": 100_000,
                "default": 1000,
                "description": "The run stops after this many batches.",
            },
            "fail_on_items": {
                "type": "boolean",
                "title": "Fail if items failed",
                "default": False,
                "description": "When off, failed items are only counted and the run succeeds.",
            },
        },
        "required": ["connection", "url", "job_name"],
        "examples": [
            {
                "connection": "moderation",
                "url": "https://moderation.example.com/api/jobs/crawl/execute",
                "job_name": "crawl_pending",
                "config": {"batchSize": 100},
            }
        ],
        "additionalProperties": False,
    }

    def calls(self, params: Mapping[str, Any]) -> Iterable[Call]:
        yield Call("/url", params["url"], params["connection"])

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        words = calls.address_problem(params["url"])
        if words is not None:
            yield Problem("/url", words)

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        counts = {"itemsProcessed": 0, "itemsSucceeded": 0, "itemsFailed": 0}
        errors: list[str] = []
        cursor: Any = None
        batches, more = 0, True
        with open_connection(ctx, params["connection"], timeout_seconds=params.get("timeout", 60)) as client:
            while more and batches < params.get("most_batches", 1000):
                ctx.check_cancelled()
                batches += 1
                answer = self._call(client, params, ctx, batches, cursor, {**counts, "batches": batches})
                for name in counts:
                    counts[name] += _whole(answer.get(name))
                errors += (
                    [str(error)[:500] for error in answer.get("errors", ())][: MOST_ERRORS - len(errors)]
                    if isinstance(answer.get("errors"), list)
                    else []
                )
                if answer.get("success") is False:
                    words = service_protocol.service_says(str(answer.get("error") or "")[:500])
                    raise TemplateError(words, data=_result(counts, batches, errors))
                cursor, more = answer.get("cursor"), answer.get("more") is True
                ctx.progress(
                    counts["itemsProcessed"], None, f"{amount(counts['itemsProcessed'], 'item')} in {amount(batches, 'batch', 'batches')}"
                )
        data = _result(counts, batches, errors)
        if more:
            ctx.log.warning("Stopped after %s; the service says that there is more", amount(batches, "batch", "batches"))
        if counts["itemsFailed"] and params.get("fail_on_items"):
            raise TemplateError(service_protocol.items_failed(counts["itemsFailed"], counts["itemsProcessed"]), data=data)
        return JobResult(
            f"{counts['itemsSucceeded']:,} of {amount(counts['itemsProcessed'], 'item')} in {amount(batches, 'batch', 'batches')}", data
        )

    @staticmethod
    def _call(
        client: httpx.Client, params: Mapping[str, Any], ctx: RunContext, batch: int, cursor: Any, so_far: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Calls the service for one batch and returns its answer. The idempotency key belongs to the run and the batch, so that a service
        that stores the keys does a repeated batch only once."""
        body = {
            "jobName": params["job_name"],
            "config": params.get("config", {}),
            "executionId": ctx.execution_id,
            "attempt": ctx.attempt,
            "batch": batch,
            **({} if cursor is None else {"cursor": cursor}),
        }
        headers = {"User-Agent": "Jobwright", "Idempotency-Key": f"{ctx.idempotency_key}.{batch}", **ctx.trace_headers}
        try:
            with client.stream("POST", params["url"], json=body, headers=headers) as answer:
                read = calls.first_bytes(answer, READ_BYTES + 1)
        except httpx.TimeoutException as error:
            seconds = float(params.get("timeout", 60))
            raise TemplateError(say("The service did not answer within {seconds:g} s", seconds=seconds), data=dict(so_far)) from error
        except httpx.HTTPError as error:
            raise TemplateError(sentence(error, httpx.URL(params["url"]).host), data=dict(so_far)) from error
        if len(read) > READ_BYTES:
            words = say("The answer of the service is longer than {most:,} bytes", most=READ_BYTES)
            raise TemplateError(words, permanent=True, data=dict(so_far))
        if answer.status_code // 100 != 2:
            text = calls.answer_text(answer, read, most=300, whole_below=READ_BYTES)
            words = service_protocol.answered(answer.status_code, text)
            raise TemplateError(words, permanent=calls.will_stay(answer.status_code), data=dict(so_far))
        try:
            parsed = json.loads(read) if read.strip() else {}
        except ValueError as error:
            raise TemplateError(say("The answer of the service is not valid JSON"), permanent=True, data=dict(so_far)) from error
        if not isinstance(parsed, dict):
            raise TemplateError(say("The answer of the service must be a JSON object"), permanent=True, data=dict(so_far))
        return parsed


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _result(counts: Mapping[str, int], batches: int, errors: list[str]) -> dict[str, Any]:
    return {
        "records_processed": counts["itemsProcessed"],
        **counts,
        "errors": counts["itemsFailed"],
        "error_messages": errors,
        "batches": batches,
    }
