"""What the client makes of answers: one line for each refusal, and none of them shows a token or steers the terminal."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.cli.client import Client, Waits, segment
from app.cli.connect import _explain
from app.cli.failures import ExitCode, Failed
from app.errors import field_name

SERVER = "https://jobs.example.com"


def client(answer: httpx.Response | Exception) -> Client:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    http = httpx.Client(transport=httpx.MockTransport(handle), base_url=SERVER)
    return Client(http, server=SERVER, address=SERVER, explain=lambda error: _explain(SERVER, error))


def problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json", **(headers or {})})


def refusal(answer: httpx.Response | Exception) -> Failed:
    with pytest.raises(Failed) as failed:
        client(answer).get("/scheduler-jobs", "jobs")
    return failed.value


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, ExitCode.REFUSED),
        (403, ExitCode.REFUSED),
        (404, ExitCode.NOT_FOUND),
        (409, ExitCode.REFUSED),
        (412, ExitCode.REFUSED),
        (422, ExitCode.REFUSED),
        (429, ExitCode.REFUSED),
        (500, ExitCode.UNREACHABLE),
        (503, ExitCode.UNREACHABLE),
    ],
)
def test_each_status_has_its_exit_code(status: int, code: ExitCode) -> None:
    failed = refusal(problem(status, "Title", "What is wrong"))
    assert (failed.exit_code, failed.message.splitlines()[0]) == (code, "Title: What is wrong.")


def test_wrong_fields_are_listed_by_their_names() -> None:
    errors = [{"pointer": "/parameters/headers/0/name", "detail": "is required"}, {"parameter": "page", "detail": "must be at least 1"}]
    failed = refusal(problem(422, "Some fields need another value", "not shown twice", errors=errors))
    assert failed.message.splitlines() == [
        "Some fields need another value:",
        "  parameters.headers[0].name: is required",
        "  page: must be at least 1",
    ]


def test_a_limit_says_when_it_ends() -> None:
    assert "Try again in 51 min 8 s, at " in refusal(problem(429, "Limit reached", "Too many runs", {"Retry-After": "3068"})).message
    assert "Try again in 2 s." in refusal(problem(503, "Away", "No database", {"Retry-After": "2"})).message
    assert "Try again" not in refusal(problem(429, "Limit reached", "Too many", {"Retry-After": "soon"})).message


def test_a_refused_token_says_where_another_comes_from() -> None:
    assert "Set JOBWRIGHT_TOKEN" in refusal(problem(401, "Sign-in needed", "The token expired")).message


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<h1>Sign in to the proxy</h1>"),
        httpx.Response(502, html="<h1>Bad gateway</h1>"),
        httpx.Response(200, text="not json", headers={"Content-Type": "application/json"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"other": 1}),
        httpx.Response(404, json={"message": "another program"}),
        httpx.Response(204),
        httpx.Response(200, content=b"[" * 100_000, headers={"Content-Type": "application/json"}),
    ],
)
def test_an_answer_that_is_not_jobwrights_says_so(answer: httpx.Response) -> None:
    failed = refusal(answer)
    assert failed.exit_code == ExitCode.UNREACHABLE
    assert f"{SERVER} answered {answer.status_code}" in failed.message
    assert "\n" not in failed.message


def test_a_redirect_is_told_and_not_followed() -> None:
    """The token would go to whatever the answer names."""
    failed = refusal(httpx.Response(301, headers={"Location": "https://other.example.com/"}))
    assert (failed.exit_code, "https://other.example.com/" in failed.message) == (ExitCode.UNREACHABLE, True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectTimeout("x"), "does not answer"),
        (httpx.ReadTimeout("x"), "has not answered in time"),
        (httpx.RemoteProtocolError("x"), "is not HTTP"),
        (httpx.ProxyError("403 Forbidden"), "The proxy in front of"),
        (httpx.ReadError("x"), "The connection to"),
    ],
)
def test_a_server_that_cannot_be_asked_is_one_line(error: Exception, words: str) -> None:
    failed = refusal(error)
    assert (failed.exit_code, words in failed.message, "\n" in failed.message) == (ExitCode.UNREACHABLE, True, False)


def test_what_waits_for_approval_is_not_taken_for_done() -> None:
    answer = httpx.Response(202, json={"approval": {"id": "a1"}, "message": "Waits"})
    with pytest.raises(Waits) as waits:
        client(answer).post("/scheduler-jobs/x/run", "execution_id")
    assert (waits.value.exit_code, "a1" in waits.value.message) == (ExitCode.APPROVAL, True)


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_an_id_is_never_another_path(text: str) -> None:
    with pytest.raises(Failed):
        segment(text)


def test_names_become_one_part_of_a_path() -> None:
    assert segment("a/b ?c#d") == "a%2Fb%20%3Fc%23d"


@pytest.mark.parametrize(
    ("pointer", "name"),
    [("", ""), ("/name", "name"), ("/tags/0", "tags[0]"), ("/parameters/a~1b/x~0y", "parameters.a/b.x~y"), ("/0/name", "0.name")],
)
def test_pointers_are_written_as_fields(pointer: str, name: str) -> None:
    assert field_name(pointer) == name
