"""The client of the REST interface: the commands about jobs, accounts and files speak with a server through it.

It is the same for a server elsewhere and for the registry of this machine, which answers in this process (app.cli.connect).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.cli.failures import ExitCode, Failed, code_of_status
from app.cli.output import span
from app.errors import field_name

if TYPE_CHECKING:
    import httpx

API = "/api/admin"
MOST_FIELDS = 20  # wrong fields that an error message lists


class Waits(Failed):
    """What was asked for needs the approval of a super-admin; nothing was done yet."""

    def __init__(self, approval: Mapping[str, Any]) -> None:
        self.approval = approval
        super().__init__(
            f"The request {approval.get('id', '')} waits until a super-admin approves it. Nothing was done yet.", ExitCode.APPROVAL
        )


class Client:
    """Calls REST. Each method raises Failed with one line for people: what the server refuses, or why it does not answer.

    `server` says in words which registry this is, and `address` is where its pages are. `explain` turns what the transport raises into
    such an error.
    """

    def __init__(
        self, http: httpx.Client, *, server: str, address: str, explain: Callable[[httpx.HTTPError | httpx.InvalidURL], Failed]
    ) -> None:
        self.server, self.address = server, address
        self._http, self._explain = http, explain

    def get(self, path: str, member: str, **query: Any) -> dict[str, Any]:
        """Returns the answer to GET, an object that has `member`. Query parameters that are None are left out."""
        return self._object(self._send("GET", path, params=_given(query)), member)

    def post(self, path: str, member: str, body: Any = None, *, key: str | None = None, **query: Any) -> dict[str, Any]:
        """Returns the answer to POST, an object that has `member`. `key` is the Idempotency-Key. Raises Waits."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = self._send("POST", path, params=_given(query), headers=headers, **({} if body is None else {"json": body}))
        return self._object(answer, member)

    def patch(self, path: str, member: str, body: Any) -> dict[str, Any]:
        """Returns the answer to PATCH."""
        return self._object(self._send("PATCH", path, json=body), member)

    def delete(self, path: str, member: str) -> dict[str, Any]:
        """Returns the answer to DELETE. Raises Waits."""
        return self._object(self._send("DELETE", path), member)

    def send_file(self, path: str, member: str, text: str, **query: Any) -> dict[str, Any]:
        """Returns the answer to POST of a file in YAML or JSON."""
        headers = {"Content-Type": "application/yaml; charset=utf-8"}
        return self._object(self._send("POST", path, params=_given(query), headers=headers, content=text.encode()), member)

    def text(self, path: str, media: str, **query: Any) -> str:
        """Returns the text of the answer to GET, which must be of the media type `media`."""
        answer = self._send("GET", path, params=_given(query))
        if _media(answer) != media:
            raise self._no_answer_of_jobwright(answer)
        return answer.text

    # -- steps ----------------------------------------------------------------------------------------------------

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx  # noqa: PLC0415 - `--help` does without it

        try:
            answer = self._http.request(method, f"{API}{path}", **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._explain(error) from error
        if answer.is_success:
            return answer
        if answer.is_redirect:
            target = answer.headers.get("Location", "another address")
            text = f"{self.server} redirects to {target}. Set JOBWRIGHT_SERVER to the address of Jobwright itself."
            raise Failed(text, ExitCode.UNREACHABLE)
        raise self._refusal(answer)

    def _object(self, answer: httpx.Response, member: str) -> dict[str, Any]:
        content = _content(answer)
        if not isinstance(content, dict) or (member not in content and "approval" not in content):
            raise self._no_answer_of_jobwright(answer)
        if answer.status_code == 202 and isinstance(content.get("approval"), dict):
            raise Waits(content["approval"])
        return content

    def _refusal(self, answer: httpx.Response) -> Failed:
        problem = _content(answer)
        if not isinstance(problem, dict) or not isinstance(problem.get("detail"), str) or not isinstance(problem.get("title"), str):
            return self._no_answer_of_jobwright(answer)
        lines = [_sentence(problem["title"], problem["detail"], problem.get("errors"))]
        if answer.status_code == 401:
            lines.append("Set JOBWRIGHT_TOKEN to a token that is valid (New token, on the page of your account).")
        if words := _when_again(answer):
            lines.append(words)
        lines += wrong_fields(problem.get("errors"))
        return Failed("\n".join(lines), code_of_status(answer.status_code))

    def _no_answer_of_jobwright(self, answer: httpx.Response) -> Failed:
        kind = f" ({_media(answer)})" if _media(answer) else ""
        what = f"{self.server} answered {answer.status_code}{kind}. This is not an answer of Jobwright."
        text = f"{what} Check the address, and any proxy in front of it."
        return Failed(text, ExitCode.UNREACHABLE)


def segment(text: str) -> str:
    """Returns a name or an id as one part of a path. Raises Failed for a text that would be another path, such as `..`."""
    if not text.strip("."):
        raise Failed(f"{text!r} is not an id.", ExitCode.NOT_FOUND)
    return quote(text, safe="")


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _media(answer: httpx.Response) -> str:
    return str(answer.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _content(answer: httpx.Response) -> Any:
    if _media(answer) not in {"application/json", "application/problem+json"}:
        return None
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        return None


def _sentence(title: str, detail: str, errors: Any) -> str:
    """Returns the problem in one line. Where its fields are listed below, the detail would say them twice."""
    if isinstance(errors, list) and errors:
        return f"{title}:"
    words = detail if detail.startswith(title) else f"{title}: {detail}"
    return words if words.endswith((".", "!", "?", ":")) else f"{words}."


def wrong_fields(errors: Any) -> list[str]:
    """Returns a line for each wrong field of a problem document."""
    rows = [row for row in errors if isinstance(row, dict)] if isinstance(errors, list) else []
    lines = [f"  {field_name(str(row.get('pointer', ''))) or row.get('parameter') or 'the whole'}: {row.get('detail', '')}" for row in rows]
    more = len(lines) - MOST_FIELDS
    return [*lines[:MOST_FIELDS], *([f"  and {more} more"] if more > 0 else [])]


def _when_again(answer: httpx.Response) -> str:
    """Returns when the server will accept the request, if it says so."""
    text = answer.headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        return ""
    at = (datetime.now(UTC) + timedelta(seconds=math.ceil(int(text)))).astimezone()
    return f"Try again in {span(int(text))}, at {at:%H:%M}." if int(text) > 60 else f"Try again in {text} s."
