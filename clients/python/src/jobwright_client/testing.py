"""A Jobwright in memory, for the tests of a service: it calls jobs as Jobwright does, takes reports, and forges bad requests.

def test_the_digest_is_sent():
    with Jobwright(service) as jobwright:
        run = jobwright.run("weekly-digest", {"batch_size": 5})
    assert run.status == "success" and run.result["itemsProcessed"] == 5
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobwright_client.calls import PREFIX, SUFFIX, Request, Response
from jobwright_client.errors import SignatureRefused
from jobwright_client.service import Service
from jobwright_client.settings import Settings
from jobwright_client.signatures import ID, SIGNATURE, TIMESTAMP, WINDOW_SECONDS, Keys, new_key
from jobwright_client.state import MemoryState, State
from jobwright_client.transport import Answer, NoAnswer, encoded

ADDRESS = "https://jobwright.test"


@dataclass
class FakeRun:
    """One execution as this Jobwright has seen it: its calls, what was reported, and how it ended.

    `status` is `running`, `success` or `failed`; `permanent` says that no further attempt would help.
    """

    job: str
    execution_id: str
    attempt: int = 0
    status: str = "running"
    result: dict[str, Any] = field(default_factory=dict)
    permanent: bool = False
    cancelling: bool = False
    lines: list[str] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)
    heartbeats: int = 0
    extended_seconds: int = 0
    answers: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def end(self, status: str, result: Mapping[str, Any], *, permanent: bool = False) -> None:
        """Records the end of the run."""
        self.status, self.result, self.permanent = status, dict(result), permanent
        self.ended.set()


class Jobwright:
    """A Jobwright in memory, connected to `service` for as long as the `with` statement lasts. It is a transport of the service.

    `away` makes it unreachable. `signing_key` is its first key.
    """

    def __init__(self, service: Service, *, state: State | None = None, heartbeat_seconds: float = 60) -> None:
        self.service = service
        self.signing_key = new_key()
        self.keys = Keys([self.signing_key])
        self.away = False
        self.manifests: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.refused_reports: list[str] = []
        self._state = state
        self._heartbeat_seconds = heartbeat_seconds
        self._lock = threading.Lock()
        self._number = 0
        self._runs: dict[str, FakeRun] = {}
        self._before: Settings | None = None

    def __enter__(self) -> Jobwright:
        self._before = self.service.settings
        settings = Settings(url=ADDRESS, token="jw_test", signing_keys=(self.signing_key,), address="http://service.test")  # noqa: S106 - of no real Jobwright
        self.service.connect(settings, transport=self, state=self._state or MemoryState())
        self.service.start(wait_seconds=5)
        return self

    def __exit__(self, *_: object) -> None:
        self.service.drain(grace_seconds=1)
        if self._before is not None:
            self.service.connect(self._before)

    # -- calls -------------------------------------------------------------------------------------------------------

    def run(self, job: str, config: Mapping[str, Any] | None = None, *, timeout_seconds: float = 30.0, user: str | None = None) -> FakeRun:
        """Calls a job, waits for the end of its run, also where that is reported later, and returns the run.

        Without `config`, the job gets the one that it is registered with. Raises TimeoutError.
        """
        run = self.begin(job)
        response = self.call(run, config, user=user)
        if response.status == 202 and not run.ended.wait(timeout_seconds):
            raise TimeoutError(f"{job} has not reported its end within {timeout_seconds:g} s")
        return run

    def begin(self, job: str) -> FakeRun:
        """Returns a new execution of a job, without calling the service."""
        with self._lock:
            self._number += 1
            run = FakeRun(job, f"execution-{self._number}")
            self._runs[run.execution_id] = run
        return run

    def call(self, run: FakeRun, config: Mapping[str, Any] | None = None, *, attempt: int | None = None, **options: Any) -> Response:
        """Calls the service once for an execution, as a new attempt or, with `attempt`, as one that was called before.

        `user` is the person who asked for the run; `callback=False` calls like a Jobwright without a public address.
        """
        run.attempt = attempt if attempt is not None else run.attempt + 1
        response = self.service.handle(self.request(run, config, **options))
        run.answers.append(response.status)
        self._judge(run, response)
        return response

    def _judge(self, run: FakeRun, response: Response) -> None:
        if response.status == 202:
            return
        if response.status == 200:
            run.lines += [line["message"] for line in response.body.get("logs", [])]
            run.end("success" if response.body.get("success") else "failed", response.body)
        else:
            run.end("failed", response.body, permanent=response.status not in {408, 409, 425, 429} and response.status < 500)

    def request(self, run: FakeRun, config: Mapping[str, Any] | None = None, *, user: str | None = None, callback: bool = True) -> Request:
        """Returns the signed request of a call, for a program that sends it itself."""
        if config is None:
            declared = self.service.jobs.get(run.job)
            config = declared.to_wire()["config"] if declared else {}
        call: dict[str, Any] = {
            "jobName": run.job,
            "config": dict(config),
            "executionId": run.execution_id,
            "triggeredBy": "admin" if user else "scheduler",
            "triggeredByUser": user,
            "attempt": run.attempt or 1,
        }
        if callback:
            token = f"{run.execution_id}-{run.attempt}"
            call["callback"] = {"url": f"{ADDRESS}/api/callbacks/{token}", "token": token, "heartbeatSeconds": self._heartbeat_seconds}
        return self._signed(run, encoded(call))

    def _signed(self, run: FakeRun, body: bytes, *, seconds: int = 0, key: str | None = None) -> Request:
        keys = self.keys if key is None else Keys([key])
        headers = keys.sign(f"{run.execution_id}:{run.attempt}", int(time.time()) + seconds, body)
        headers.update({"content-type": "application/json", "idempotency-key": run.execution_id})
        return Request("POST", f"{PREFIX}{run.job}{SUFFIX}", headers, body)

    # -- forgeries ---------------------------------------------------------------------------------------------------

    def bad_requests(self, job: str) -> dict[str, Request]:
        """Returns requests that a service must refuse with 401, each with what is wrong with it."""
        run = self.begin(job)
        run.attempt = 1
        good = self.request(run)
        changed = good.body.replace(b'"attempt":1', b'"attempt":2')
        return {
            "signed 301 s ago": self._signed(run, good.body, seconds=-WINDOW_SECONDS - 1),
            "signed 301 s ahead": self._signed(run, good.body, seconds=WINDOW_SECONDS + 2),
            "signed with another key": self._signed(run, good.body, key=new_key()),
            "a changed body": Request("POST", good.path, good.headers, changed),
            "another time than signed": Request("POST", good.path, {**good.headers, TIMESTAMP: str(int(time.time()) - 1)}, good.body),
            "another id than signed": Request("POST", good.path, {**good.headers, ID: f"{run.execution_id}:2"}, good.body),
            "no id": Request("POST", good.path, _without(good.headers, ID), good.body),
            "no timestamp": Request("POST", good.path, _without(good.headers, TIMESTAMP), good.body),
            "no signature": Request("POST", good.path, _without(good.headers, SIGNATURE), good.body),
            "an empty signature": Request("POST", good.path, {**good.headers, SIGNATURE: "v1,"}, good.body),
            "a signature of another version": Request(
                "POST", good.path, {**good.headers, SIGNATURE: good.headers[SIGNATURE].replace("v1,", "v9,")}, good.body
            ),
        }

    def check_bad_requests_are_refused(self, job: str) -> None:
        """Sends each forged request to the service. Raises AssertionError that names those that were not refused with 401."""
        taken = {what: self.service.handle(request).status for what, request in self.bad_requests(job).items()}
        wrong = {what: status for what, status in taken.items() if status != 401}
        if wrong:
            raise AssertionError(f"Not refused with 401: {wrong}")

    # -- what the service sends --------------------------------------------------------------------------------------

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> Answer:  # noqa: ARG002 - of a transport
        """Takes a request of the service."""
        if self.away:
            raise NoAnswer(f"{ADDRESS} does not answer")
        path = url[len(ADDRESS) :]
        with self._lock:
            if path.startswith("/api/callbacks/"):
                return self._report(path, headers, body)
            return self._from_service(method, path, json.loads(body))

    def _from_service(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        if method == "PUT" and path.endswith("/manifest"):
            known = [job["name"] for job in self.manifests[-1]["jobs"]] if self.manifests else []
            self.manifests.append(body)
            names = [job["name"] for job in body["jobs"]]
            return _answer(
                200,
                {
                    "service": self.service.name,
                    "created": [name for name in names if name not in known],
                    "updated": [],
                    "unchanged": [name for name in names if name in known],
                    "retired": [name for name in known if name not in names],
                },
            )
        if path.endswith("/heartbeat"):
            self.heartbeats.append(body)
            return _answer(200 if self.manifests else 404, {"ttlSeconds": 90})
        return _answer(404, {"title": f"There is no {method} {path}"})

    def _report(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Takes a report as Jobwright does: signed, of the attempt that is on, and with nothing after the end."""
        try:
            self.keys.verify(headers, body, now=time.time())
        except SignatureRefused as error:
            self.refused_reports.append(str(error))
            return _answer(401, {"title": str(error)})
        token, name = path.split("/")[3:5]
        execution_id, _, attempt = token.rpartition("-")
        run = self._runs.get(execution_id)
        if run is None:
            return _answer(404, {"title": "The token is unknown"})
        if run.ended.is_set() or int(attempt) != run.attempt:
            self.refused_reports.append(f"{name} of attempt {attempt}, which is over")
            return _answer(409, {"title": "The attempt is over"})
        self._take(run, name, json.loads(body))
        return _answer(200, {"status": "cancelling" if run.cancelling and run.status == "running" else run.status})

    @staticmethod
    def _take(run: FakeRun, name: str, body: dict[str, Any]) -> None:
        if name == "progress":
            run.progress.append(body)
        elif name == "logs":
            run.lines += [line["message"] for line in body["lines"][max(0, len(run.lines) + 1 - body["first"]) :]]
        elif name == "extend":
            run.extended_seconds = body["seconds"]
        elif name == "complete":
            run.end("success" if body.get("success") else "failed", body)
        elif name == "fail":
            run.end("failed", body, permanent=body["permanent"])
        else:
            run.heartbeats += 1


def _without(headers: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


def _answer(status: int, body: Mapping[str, Any]) -> Answer:
    return Answer(status, {}, encoded(body))
