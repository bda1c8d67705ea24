"""Payloads: read, mapped into parameters as data, and shortened without their secrets."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import ValidationFailed
from app.integrations.inbound.payload import Mapped, example_payload, excerpt, map_payload, mapping_errors, names_of, read_payload
from app.jobtemplates.entry import TemplateVersion, of_code
from app.validation.dynamic import Known, resolve
from templates_lib.base import JobResult, JobTemplate

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Greet(JobTemplate):
    type, name, description, category, icon = "greet", "Greet", "Say hello", "Tests", "mail"
    parameters_schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "text": {"type": "string", "x-dynamic": True},
            "plain": {"type": "string"},
            "filter": {"type": "object", "x-dynamic": True},
            "count": {"type": "integer"},
            "token": {"type": "string", "writeOnly": True},
        },
    }

    def run(self, params: Any, ctx: Any) -> JobResult:
        return JobResult("")


@pytest.fixture
def entry() -> TemplateVersion:
    return of_code(Greet())


def mapping_of(entry: TemplateVersion, mapping: dict[str, Any], payload: Any, **headers: str) -> Mapped:
    return map_payload(mapping, names_of(payload, headers, "d1"), entry, now=NOW, job_id="j", job_name="Job")


def mapped(entry: TemplateVersion, mapping: dict[str, Any], payload: Any, **headers: str) -> dict[str, Any]:
    result = mapping_of(entry, mapping, payload, **headers)
    assert result.errors == ()
    return dict(result.parameters)


def wrong(entry: TemplateVersion, mapping: dict[str, Any], payload: Any) -> list[tuple[str, str]]:
    return [(error.pointer, str(error.message)) for error in mapping_of(entry, mapping, payload).errors]


def test_a_payload_becomes_parameters_with_their_types(entry: TemplateVersion) -> None:
    payload = {"user": {"name": "Ada"}, "commits": [{"id": "a1"}, {"id": "b2"}], "n": 3}
    mapping = {
        "text": "{{ payload.user.name }} pushed {{ payload.commits | count }} commits ({{ payload.commits.1.id }})",
        "count": "{{ payload.n }}",
        "plain": '{{ headers.x-github-event | default: "none" }} {{ delivery.id }} {{ job.name }} {{ now | date }}',
    }
    assert mapped(entry, mapping, payload, **{"x-github-event": "push"}) == {
        "text": "Ada pushed 2 commits (b2)",
        "count": 3,
        "plain": "push d1 Job 2026-03-02",
    }


def test_what_is_missing_or_unknown_is_told_at_its_parameter(entry: TemplateVersion) -> None:
    assert wrong(entry, {"text": "{{ payload.ref }}"}, {}) == [
        ("/parameters/text", "payload.ref is missing. Give it a default, as in {{ payload.ref | default: 0 }}")
    ]
    (error,) = wrong(entry, {"text": "{{ nothing }}"}, {})
    assert error[0] == "/parameters/text"
    assert error[1].endswith("previous.completed_at, payload, headers, delivery")


@pytest.mark.parametrize(
    "text",
    ["{{ previous.result.password }}", "{{{ now }}", "a {{ now }} b", '{{ "{{" }}', "{{{{ now }}}}", "}} {{", "{{"],
)
def test_an_expression_in_a_payload_is_text_and_stays_text_in_the_run(entry: TemplateVersion, text: str) -> None:
    """The payload must not make the run say what only the job knows."""
    parameters = mapped(entry, {"text": "x{{ payload.t }}", "plain": "{{ payload.t }}"}, {"t": text})
    in_the_run = resolve(Greet.parameters_schema, parameters, Known(now=NOW, previous={"result": {"password": "s3cret"}}))
    assert (in_the_run.errors, in_the_run.value) == ([], {"text": f"x{text}", "plain": text})


def test_an_expression_cannot_be_put_together_from_two_values(entry: TemplateVersion) -> None:
    parameters = mapped(entry, {"text": "{{ payload.a }}{{ payload.b }}"}, {"a": "{", "b": "{ now }}"})
    in_the_run = resolve(Greet.parameters_schema, parameters, Known(now=NOW))
    assert (in_the_run.errors, in_the_run.value) == ([], {"text": "{{ now }}"})


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ({"$ne": None}, "/parameters/filter/user/$ne"),
        ({"$secret": "named", "name": "smtp"}, "/parameters/filter/user/$secret"),
        ([{"deep": [{"$where": "1"}]}], "/parameters/filter/user/0/deep/0/$where"),
        ({"$relative": "-1 day"}, "/parameters/filter/user/$relative"),
    ],
)
def test_operators_and_references_do_not_come_from_a_payload(entry: TemplateVersion, value: Any, at: str) -> None:
    ((pointer, message),) = wrong(entry, {"filter": {"user": "{{ payload.user }}"}}, {"user": value})
    assert pointer == at
    assert message.endswith("because it comes from the payload")


def test_operators_that_the_mapping_itself_holds_are_allowed(entry: TemplateVersion) -> None:
    mapping = {"filter": {"user": {"$in": ["{{ payload.user }}"]}}}
    assert mapped(entry, mapping, {"user": "ada"}) == {"filter": {"user": {"$in": ["ada"]}}}


def test_headers_that_prove_something_are_not_named() -> None:
    headers = {
        "authorization": "Bearer x",
        "cookie": "c",
        "webhook-signature": "v1,x",
        "x-hub-signature-256": "s",
        "x-api-key": "k",
        "x-a": "1",
    }
    assert names_of({}, headers, "")["headers"] == {"x-a": "1"}


def test_a_mapping_is_checked_before_any_payload(entry: TemplateVersion) -> None:
    mapping = {"text": "{{ payload.a | nothing }}", "plain": "{{ payload.a", "other": 1, "count": "{{ payload.n }}"}
    errors = {error.pointer: str(error.message) for error in mapping_errors(mapping, entry, now=NOW)}
    assert set(errors) == {"/parameters/text", "/parameters/plain", "/parameters/other"}
    assert errors["/parameters/other"] == "is not a parameter of the template Greet"


@pytest.mark.parametrize(
    ("body", "content_type", "payload"),
    [
        (b"", "", {}),
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'[1, "x"]', "text/plain", [1, "x"]),
        (b'{"a": 1}', "application/x-www-form-urlencoded", {"a": 1}),  # curl -d without a content type
        (b"a=1&b=x+y", "application/x-www-form-urlencoded", {"a": "1", "b": "x y"}),
        (b"payload=%7B%22ref%22%3A+%22main%22%7D", "application/x-www-form-urlencoded", {"ref": "main"}),
    ],
)
def test_bodies_are_json_or_forms(body: bytes, content_type: str, payload: Any) -> None:
    assert read_payload(body, content_type) == payload


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "is not valid JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b'{"a": 1, "a": 2}', "is not valid JSON: "),
        (b"\xff{}", "must be UTF-8 text"),
        (gzip.compress(b"{}", mtime=0), "is compressed; send it without Content-Encoding"),
        (b"[" * 40 + b"]" * 40, "is not valid JSON: it is nested more than 32 levels deep"),
        (b"[" * 100_000, "is not valid JSON: "),
    ],
)
def test_other_bodies_are_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(ValidationFailed) as failed:
        read_payload(body, "application/json")
    (error,) = failed.value.errors
    assert (error.pointer, str(error.message).startswith(reason)) == ("", True)


def test_an_excerpt_hides_what_sounds_like_a_secret_and_what_is_one() -> None:
    payload = {
        "author": "ada",
        "password": "p",
        "deep": [{"apiKey": "k", "api_key": "k2", "X-Token": "t", "monkey": "m"}],
        "text": 'pw is hun"ter22 indeed',
    }
    text = excerpt(payload, ['hun"ter22'])
    for hidden in ('"p"', '"k"', '"k2"', '"t"', "ter22"):
        assert hidden not in text
    for shown in ("ada", '"m"', "indeed"):
        assert shown in text
    assert len(excerpt({"a": "x" * 5000})) == 1000


@pytest.mark.parametrize(
    ("mapping", "payload", "secrets"),
    [
        ({"token": "{{ payload.t }}", "text": "{{ payload.missing }}"}, {"t": "hunter22"}, {"hunter22"}),
        ({"token": "{{ payload.list.1.a | text }}"}, {"list": [0, {"a": 123456}]}, {"123456"}),
        ({"token": "{{ payload.t }}"}, {"t": {"user": "adam", "pins": [1234, True, None]}}, {"adam", "1234"}),
        ({"text": "{{ payload.t }}"}, {"t": "shown"}, set()),
    ],
)
def test_what_secret_parameters_take_from_a_payload_is_known_even_if_the_mapping_fails(
    entry: TemplateVersion, mapping: dict[str, Any], payload: Any, secrets: set[str]
) -> None:
    found = mapping_of(entry, mapping, payload).secrets
    assert found == secrets
    assert all(secret not in excerpt(payload, found) for secret in found)


def test_an_example_has_what_the_mapping_reads() -> None:
    mapping = {"a": "{{ payload.user.name }} {{ payload.user.id | text }}", "b": ["{{ payload.ref }}"], "c": "{{ headers.x }}"}
    assert example_payload(mapping) == {"user": {"name": "…", "id": "…"}, "ref": "…"}
    assert example_payload({}) == {"hello": "world"}
