"""Waiting for executions, over the real web server: `?wait=`, and the stream of events."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pymongo import MongoClient

from tests.commands import jobwright
from tests.support import ADMIN, KEY, PASSWORD, PATIENCE_SECONDS, Service, eventually

JOBS, RUNS = "/api/admin/scheduler-jobs", "/api/admin/job-executions"
MOST_OF_ACCOUNT = 8
PATIENT = 5  # seconds: a busy machine needs less for an answer that does not wait


@pytest.fixture(scope="module")
def engine(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The process that runs jobs."""
    folder = tmp_path_factory.mktemp("waiting")
    with MongoClient(mongod) as client:
        client.drop_database("waiting")
    started = Service("scheduler", uri=mongod, database="waiting", data_dir=folder / "engine", warm=True, JOBWRIGHT_SECRET_KEY=KEY)
    started.wait_ready()
    yield started
    assert started.stop() == 0
    with MongoClient(mongod) as client:
        client.drop_database("waiting")


def start_web(mongod: str, folder: Path, **settings: str) -> Service:
    """A process that serves requests with two threads."""
    more = {
        "JOBWRIGHT_SECRET_KEY": KEY,
        "JOBWRIGHT_WEB_THREADS": "2",
        "JOBWRIGHT_WEB_WAITS_PER_ACCOUNT": str(MOST_OF_ACCOUNT),
        **settings,
    }
    return Service("web", uri=mongod, database="waiting", data_dir=folder, warm=True, **more).wait_ready()


@pytest.fixture(scope="module")
def web(engine: Service, mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = start_web(mongod, tmp_path_factory.mktemp("web"))
    yield started
    assert started.stop() == 0


@pytest.fixture
def api(web: Service) -> Iterator[httpx.Client]:
    with web.api() as client:
        yield client


def new_job(api: httpx.Client, **parameters: Any) -> str:
    template = "misbehave" if "how" in parameters else "noop"
    body = {"name": f"job {time.monotonic_ns()}", "template_type": template, "parameters": parameters, "overlap": "allow"}
    answer = api.post(JOBS, json={**body, "concurrency": {"max_instances": 3}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job"]["id"])


def started_run(api: httpx.Client, **parameters: Any) -> str:
    """The id of an execution that is running."""
    run: str = api.post(f"{JOBS}/{new_job(api, **parameters)}/run").json()["execution"]["id"]
    eventually(lambda: api.get(f"{RUNS}/{run}").json()["execution"]["status"] == "running")
    return run


@pytest.fixture
def running(api: httpx.Client) -> Iterator[str]:
    """An execution that runs until it is cancelled."""
    run = started_run(api, seconds=600)
    yield run
    api.post(f"{RUNS}/{run}/cancel")
    assert api.get(f"{RUNS}/{run}?wait=60").json()["execution"]["ended"]


# -- wait ---------------------------------------------------------------------------------------------------------


def test_a_run_is_answered_with_its_result(api: httpx.Client) -> None:
    answer = api.post(f"{JOBS}/{new_job(api)}/run?wait=60")
    execution = answer.json()["execution"]
    assert (answer.status_code, execution["ended"], execution["status"]) == (200, True, "success")
    assert execution["result"] == {"message": "did nothing", "attempt": 1}
    assert execution["attempts"][0]["status"] == "success"
    assert answer.json()["execution_id"] == execution["id"] == execution["_id"]
    assert answer.headers["Location"] == f"{RUNS}/{execution['id']}"
    assert answer.headers["X-Request-Id"]
    again = api.post(f"{RUNS}/{execution['id']}/retry?wait=60")
    assert (again.status_code, again.json()["execution"]["retry_of"]) == (200, execution["id"])


def test_a_run_that_takes_longer_is_answered_as_it_is(api: httpx.Client) -> None:
    began = time.monotonic()
    answer = api.post(f"{JOBS}/{new_job(api, seconds=600)}/run?wait=1")
    assert time.monotonic() - began >= 1
    execution = answer.json()["execution"]
    assert (answer.status_code, execution["ended"]) == (202, False)
    assert execution["status"] in {"queued", "running"}
    assert (answer.json()["message"] == "Job started") == (execution["status"] == "running")
    api.post(f"{RUNS}/{execution['id']}/cancel")
    ended = api.get(f"{RUNS}/{execution['id']}?wait=60")
    assert ended.status_code == 200, ended.text
    assert ended.json()["execution"]["status"] == "cancelled"


def test_without_a_wait_a_run_is_answered_at_once(api: httpx.Client) -> None:
    answer = api.post(f"{JOBS}/{new_job(api)}/run")
    assert answer.status_code == 202
    assert answer.json()["message"].startswith(("Run queued", "Job started", "The run has ended"))


@pytest.mark.parametrize("wait", ["-1", "61", "x", "1.5", ""])
def test_a_wait_has_bounds(api: httpx.Client, wait: str) -> None:
    for answer in (api.post(f"{JOBS}/none/run?wait={wait}"), api.get(f"{RUNS}/none?wait={wait}")):
        assert (answer.status_code, answer.json()["type"]) == (422, "/api/problems/invalid-parameters")
        assert answer.json()["errors"][0]["parameter"] == "wait"


def test_many_that_wait_take_no_thread_and_no_more_than_their_places(web: Service, api: httpx.Client, running: str) -> None:
    """The server has two threads. Each request that finds no place is answered at once."""

    def wait(_: int) -> dict[str, Any]:
        with web.api() as client:
            shown: dict[str, Any] = client.get(f"{RUNS}/{running}?wait=60").json()["execution"]
        return shown

    with ThreadPoolExecutor(MOST_OF_ACCOUNT + 4) as pool:
        waits = [pool.submit(wait, n) for n in range(MOST_OF_ACCOUNT + 4)]
        eventually(lambda: sum(one.done() for one in waits) >= 4)
        assert [one.result()["status"] for one in waits if one.done()] == ["running"] * 4
        for _ in range(5):
            assert api.get("/live").status_code == 200
        assert sum(one.done() for one in waits) == 4
        api.post(f"{RUNS}/{running}/cancel")
        assert {one.result()["status"] for one in waits} == {"running", "cancelled"}


def test_a_client_that_leaves_gives_its_place_back(web: Service, api: httpx.Client, running: str) -> None:
    place, token = urlsplit(web.address), api.headers["Authorization"]
    request = f"GET {RUNS}/{running}?wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()

    def waits() -> bool:
        began = time.monotonic()
        assert api.get(f"{RUNS}/{running}?wait={PATIENT}").status_code == 200
        return time.monotonic() - began >= PATIENT

    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection((place.hostname or "", place.port or 0))) for _ in range(MOST_OF_ACCOUNT + 2)
        ]
        for client in clients:
            client.sendall(request)
        # Two are answered at once: the others have taken all places.
        eventually(lambda: len(select.select(clients, [], [], 0)[0]) == 2)
        assert not waits()
    eventually(waits)


def test_two_requests_on_one_connection(web: Service, api: httpx.Client) -> None:
    """The second is sent while the first one waits."""
    run = started_run(api, seconds=1)
    place, token = urlsplit(web.address), api.headers["Authorization"]
    with socket.create_connection((place.hostname or "", place.port or 0)) as client:
        head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
        client.sendall(f"GET {RUNS}/{run}?wait=60 {head}\r\n".encode())
        time.sleep(0.2)
        client.sendall(f"GET {RUNS}/{run} {head}Connection: close\r\n\r\n".encode())
        received = b""
        while data := client.recv(65536):
            received += data
    assert received.count(b"HTTP/1.1 200") == 2
    assert received.count(b'"status":"success"') + received.count(b'"status": "success"') >= 2


def test_a_server_that_ends_answers_those_that_wait(mongod: str, api: httpx.Client, running: str, tmp_path: Path) -> None:
    other = start_web(mongod, tmp_path)
    with ThreadPoolExecutor(2) as pool, other.client(other.token()) as client, other.client(other.token()) as watcher:
        waiting: Future[httpx.Response] = pool.submit(client.get, f"{RUNS}/{running}?wait=60")
        with watcher.stream("GET", f"{RUNS}/{running}/events") as stream:
            events = Events(stream)
            assert events.next()["event"] == "state"
            assert other.stop() == 0
            assert waiting.result().json()["execution"]["status"] == "running"
            assert events.next_or_none() is None, "the stream ends"


# -- events -------------------------------------------------------------------------------------------------------


class Events:
    """Reads a stream of events."""

    def __init__(self, stream: httpx.Response) -> None:
        assert stream.status_code == 200, stream.read()
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        self._lines = stream.iter_lines()
        self.comments = 0

    def next_or_none(self) -> dict[str, Any] | None:
        fields: dict[str, str] = {}
        for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return {**fields, "data": json.loads(fields["data"])}
            else:
                fields = {}
        return None

    def next(self) -> dict[str, Any]:
        event = self.next_or_none()
        assert event is not None
        return event

    def rest(self) -> list[dict[str, Any]]:
        return list(iter(self.next_or_none, None))


def read(api: httpx.Client, run: str, **headers: str) -> list[dict[str, Any]]:
    with api.stream("GET", f"{RUNS}/{run}/events", headers=headers) as stream:
        return Events(stream).rest()


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [line["message"] for event in events if event["event"] == "log" for line in event["data"]["logs"]]


def test_a_stream_has_the_log_the_states_and_the_end(api: httpx.Client) -> None:
    run = api.post(f"{JOBS}/{new_job(api, how='count')}/run").json()["execution"]["id"]
    events = read(api, run)
    assert messages(events) == [f"line {n}" for n in range(60)]
    states = [event["data"]["execution"]["status"] for event in events if event["event"] == "state"]
    assert states[-1] == "success"
    assert [event["event"] for event in events].count("end") == 1
    assert events[-1]["event"] == "end"
    assert events[-1]["data"]["execution"]["ended"] is True
    # Again from any place, and from the end.
    places = {event["id"]: events.index(event) + 1 for event in events if event["event"] == "log"}
    for last, place in [*places.items()][:: max(1, len(places) // 5)]:
        later = read(api, run, **{"Last-Event-ID": last})
        assert messages(events[:place]) + messages(later) == messages(events)
    assert api.get(f"{RUNS}/{run}/events", headers={"Last-Event-ID": events[-1]["id"]}).status_code == 204


def test_nothing_is_lost_or_told_twice_when_the_server_is_killed(api: httpx.Client, mongod: str, tmp_path: Path) -> None:
    run = started_run(api, how="count")
    first = start_web(mongod, tmp_path / "first")
    token, events = first.token(), []
    with first.client(token) as client, client.stream("GET", f"{RUNS}/{run}/events") as stream:
        reader = Events(stream)
        while len(messages(events)) < 5:
            events.append(reader.next())
        first.stop(kill=True)
        with suppress(httpx.RemoteProtocolError):  # how the stream breaks off
            events += iter(reader.next, None)
    second = start_web(mongod, tmp_path / "second")
    with second.client(token) as client:
        events += read(client, run, **{"Last-Event-ID": events[-1]["id"]})
    assert second.stop() == 0
    assert messages(events) == [f"line {n}" for n in range(60)]
    assert events[-1]["event"] == "end"


def test_a_stream_ends_when_its_token_is_revoked(web: Service, api: httpx.Client, running: str) -> None:
    user = next(row for row in api.get("/api/admin/users").json()["users"] if row["email"] == ADMIN)
    made = api.post(f"/api/admin/users/{user['id']}/tokens", json={"name": "short", "scopes": ["read"]}).json()
    with web.client(made["text"]) as client, client.stream("GET", f"{RUNS}/{running}/events") as stream:
        events = Events(stream)
        assert events.next()["event"] == "state"
        assert api.delete(f"/api/admin/tokens/{made['token']['id']}").status_code == 200
        event = events.next()
        assert (event["event"], event["data"]["type"]) == ("problem", "/api/problems/not-signed-in")
        assert event["data"]["instance"] == f"{RUNS}/{running}/events"
        assert event["data"]["correlation_id"] == stream.headers["X-Request-Id"]
        assert events.next_or_none() is None
    with web.client(made["text"]) as client:
        assert client.get(f"{RUNS}/{running}/events").status_code == 401


def test_a_stream_ends_when_its_job_moves_to_a_group_that_the_reader_does_not_see(web: Service, api: httpx.Client, running: str) -> None:
    environment = {**web.environment, "JOBWRIGHT_NEW_PASSWORD": PASSWORD}
    jobwright(environment, "user", "create", "--email", "gina@example.com", "--role", "admin", check=True)
    gina = next(row for row in api.get("/api/admin/users").json()["users"] if row["email"] == "gina@example.com")
    with web.client(web.token("gina@example.com")) as client, client.stream("GET", f"{RUNS}/{running}/events") as stream:
        events = Events(stream)
        assert events.next()["event"] == "state"
        answer = api.patch(f"/api/admin/users/{gina['id']}", json={"groups": ["others"]})
        assert answer.status_code == 200, answer.text
        event = events.next()
        assert (event["event"], event["data"]["type"]) == ("problem", "/api/problems/not-found")


def test_a_stream_wants_a_reader_who_may(web: Service, api: httpx.Client, running: str) -> None:
    path = f"{RUNS}/{running}/events"
    assert httpx.get(f"{web.address}{path}", timeout=PATIENCE_SECONDS).json()["type"] == "/api/problems/not-signed-in"
    assert api.get(f"{RUNS}/none/events").json()["type"] == "/api/problems/not-found"
    assert api.head(path).headers["Content-Type"].startswith("text/event-stream")
    wrong = api.get(path, headers={"Last-Event-ID": "../x"})
    assert (wrong.status_code, wrong.json()["type"]) == (422, "/api/problems/validation-failed")
    with httpx.Client(base_url=web.address, timeout=PATIENCE_SECONDS) as browser:
        page = browser.get("/sign-in").text
        csrf = page.partition('name="csrf_token" value="')[2].partition('"')[0]
        browser.post("/sign-in", data={"csrf_token": csrf, "email": ADMIN, "password": PASSWORD})
        with browser.stream("GET", path) as stream:
            assert Events(stream).next()["event"] == "state"
        assert browser.get(f"{RUNS}/{running}").status_code == 401, "a session is for streams alone"
        assert browser.post(f"{RUNS}/{running}/cancel").status_code == 401


def test_an_account_has_so_many_streams(api: httpx.Client, running: str) -> None:
    path = f"{RUNS}/{running}/events"

    def opened() -> int:
        """How many streams are opened until one is refused."""
        with ExitStack() as stack:
            for number in range(MOST_OF_ACCOUNT + 1):
                stream = stack.enter_context(api.stream("GET", path))
                if stream.status_code == 429:
                    assert json.loads(stream.read())["type"] == "/api/problems/limit-reached"
                    assert stream.headers["Retry-After"] == "5"
                    return number
        raise AssertionError("none was refused")

    eventually(lambda: opened() == MOST_OF_ACCOUNT)  # those of other tests end when their clients have left
    eventually(lambda: opened() == MOST_OF_ACCOUNT)
