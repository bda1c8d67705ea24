"""Headers that a job or a connection may not set: refused at their place when it is saved, however they are written."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobtemplates.catalogue import Catalogue
from templates_lib.base import Problem
from templates_lib.connections import KINDS
from templates_lib.own import Own
from templates_lib.webhook_trigger.template import WebhookTrigger
from tests.conftest import Api

RESERVED = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "HTTP2-Settings",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "Host",
    "Content-Length",
    "Expect",
    "Idempotency-Key",
    "Webhook-Id",
    "Webhook-Timestamp",
    "Webhook-Signature",
]


def wrong(name: str, value: str = "x") -> list[str]:
    template = WebhookTrigger()
    headers = [{"name": "X-Fine", "value": "y"}, {"name": name, "value": value}]
    found = Catalogue({template.type: template}).get(template.type).check({"url": "https://example.com/", "headers": headers})
    return [one.pointer for one in found]


@pytest.mark.parametrize("name", RESERVED)
def test_a_header_that_a_job_may_not_set(name: str) -> None:
    for written in (name, name.lower(), name.upper(), name.swapcase(), name.replace("-", "_")):
        assert wrong(written) == ["/headers/1/name"]
        settings = {"hosts": ["example.com"], "proof": "header", "header": written, "secret": "x"}
        assert [one.pointer for one in KINDS["http"].problems(settings, Own())] == ["/header"]
    for written in (f" {name}", f"{name} ", f"{name}\t", f"{name}\n", f"{name}:", f"{name}\0", f"\u200b{name}", ""):
        assert wrong(written) == ["/headers/1/name"]


@pytest.mark.parametrize("value", ["a\r\nHost: b", "a\n", "a\r", "\0", "\x7f", "é", "日本", "a\u2028b", "\ud800", "a\tb"])
def test_a_value_that_no_header_has(value: str) -> None:
    assert wrong("X-Other", value) == ["/headers/1/value"]
    assert Problem("/headers/0/value", "must be one line of ASCII characters") in list(
        WebhookTrigger().check({"url": "https://example.com/", "headers": [{"name": "X", "value": value}]})
    )


@pytest.mark.parametrize(
    "name", ["Authorization", "Cookie", "X-Api-Key", "Accept", "User-Agent", "Content-Type", "Connections", "Hosts", "Tea"]
)
def test_other_headers_are_free(name: str) -> None:
    assert wrong(name) == []
    assert list(KINDS["http"].problems({"hosts": ["a"], "proof": "header", "header": name, "secret": "x"}, Own())) == []
    assert list(KINDS["http"].problems({"hosts": ["a"], "proof": "bearer", "header": "Host", "secret": "x"}, Own())) == []


def test_it_is_refused_at_its_field_when_it_is_saved(api: Api) -> None:
    job: dict[str, Any] = {
        "name": "j",
        "template_type": "webhook_trigger",
        "parameters": {"url": "https://example.com/", "headers": [{"name": "expect", "value": "100-continue"}]},
    }
    answer = api("POST", "/api/admin/scheduler-jobs", job)
    assert (answer.status_code, [one["pointer"] for one in answer.json["errors"]]) == (422, ["/parameters/headers/0/name"])
    settings = {"hosts": ["example.com"], "proof": "header", "header": "keep-alive", "secret": "x"}
    answer = api("POST", "/api/admin/connections", {"name": "c", "kind": "http", "settings": settings})
    assert (answer.status_code, [one["pointer"] for one in answer.json["errors"]]) == (422, ["/settings/header"])
