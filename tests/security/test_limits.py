"""Limits that hold over processes: run by two real servers on one database."""

from __future__ import annotations

import math
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pymongo import MongoClient

from tests.commands import jobwright
from tests.support import ADMIN, KEY, PASSWORD, PATIENCE_SECONDS, Service

CALLS = 25


@pytest.fixture(scope="module")
def two(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    """Two web processes on one database, with one key."""
    name, folder = "limits_of_two", tmp_path_factory.mktemp("two")
    limits = {
        "JOBWRIGHT_RUNS_PER_HOUR": "10",
        "JOBWRIGHT_RUNS_PER_HOUR_SUPER_ADMIN": "12",
        "JOBWRIGHT_MAX_JOBS": "12",
        "JOBWRIGHT_API_RATE": "90",
        "JOBWRIGHT_SECRET_KEY": KEY,
        "JOBWRIGHT_TRUSTED_HOSTS": "127.0.0.1,jobs.example.com",
    }
    services = [Service("web", uri=mongod, database=name, data_dir=folder / str(n), **limits) for n in range(2)]
    for one in services:
        one.wait_ready()
    yield services
    for one in services:
        assert one.stop() == 0
    with MongoClient(mongod) as client:
        client.drop_database(name)


def at_once(two: list[Service], path: str, token: str, body: object = None) -> Counter[int]:
    """25 calls at the same time, to both processes in turn; each 429 says when to come again."""

    def call(n: int) -> int:
        answer = httpx.post(
            f"{two[n % 2].address}{path}", headers={"Authorization": f"Bearer {token}"}, json=body, timeout=PATIENCE_SECONDS
        )
        if answer.status_code == 429:
            assert 1 <= int(answer.headers.get("Retry-After", "1")) <= 3600
            assert answer.json()["status"] == 429
        return answer.status_code

    with ThreadPoolExecutor(CALLS) as pool:
        return Counter(pool.map(call, range(CALLS)))


@pytest.mark.parametrize(("role", "limit"), [("admin", 10), ("super_admin", 12)])
def test_manual_runs_an_hour(two: list[Service], role: str, limit: int) -> None:
    email = ADMIN if role == "super_admin" else f"runs-{role}@example.com"
    if role != "super_admin":
        environment = {**two[0].environment, "JOBWRIGHT_NEW_PASSWORD": PASSWORD}
        jobwright(environment, "user", "create", "--email", email, "--role", role, check=True)
    token = two[0].token(email)
    with two[0].client(token) as client:
        job = client.post("/api/admin/scheduler-jobs", json={"name": role, "template_type": "noop", "overlap": "allow"}).json()["job"][
            "_id"
        ]
    assert at_once(two, f"/api/admin/scheduler-jobs/{job}/run", token) == {202: limit, 429: CALLS - limit}


def test_jobs_of_the_registry(two: list[Service]) -> None:
    token = two[0].token()

    def body(n: int) -> dict[str, str]:
        return {"name": f"seat {n}", "template_type": "noop"}

    with two[0].client(token) as client:
        taken = client.get("/api/admin/scheduler-jobs").json()["total"]

        def create(n: int) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.post(
                f"{two[n % 2].address}/api/admin/scheduler-jobs", headers=headers, json=body(n), timeout=PATIENCE_SECONDS
            ).status_code

        with ThreadPoolExecutor(CALLS) as pool:
            told = Counter(pool.map(create, range(CALLS)))
        assert told == {201: 12 - taken, 429: CALLS - 12 + taken}
        assert client.get("/api/admin/scheduler-jobs").json()["total"] == 12


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
        b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nX-More: ",
        b"",
    ],
)
def test_clients_that_send_half_a_request_keep_nobody_waiting(two: list[Service], sent: bytes) -> None:
    """Ordered by answers and not by time: each of the half-sent ones is still unanswered when the others have been."""
    place = urlsplit(two[0].address)
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection((place.hostname or "", place.port or 0), 30)) for _ in range(300)]
        for one in held:
            one.sendall(sent)
        for _ in range(5):
            answer = httpx.get(f"{two[0].address}/live", timeout=PATIENCE_SECONDS)
            assert answer.status_code == 200
            assert "Server" not in answer.headers


def test_a_body_that_is_too_long_is_a_problem_document(two: list[Service]) -> None:
    for body in ({"content": b"x" * 3_000_000}, {"content": iter([b"x" * 100_000] * 30)}):
        answer = httpx.post(f"{two[0].address}/api/admin/scheduler-jobs", headers={"Authorization": f"Bearer {two[0].token()}"}, **body)  # type: ignore[arg-type]
        assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/problem+json")


def test_guesses_at_a_password(two: list[Service]) -> None:
    def guess(n: int) -> int:
        with httpx.Client(base_url=two[n % 2].address, timeout=PATIENCE_SECONDS) as client:
            page = client.get("/sign-in").text
            token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
            form = {"csrf_token": token, "email": "nobody@example.com", "password": "guess"}
            return client.post("/sign-in", data=form).status_code

    began = time.monotonic()
    with ThreadPoolExecutor(CALLS) as pool:
        told = Counter(pool.map(guess, range(CALLS)))
    # Five are free; then one after 1 s, one 2 s after that, one 4 s after that: so many as a slow machine gave time for.
    waited = int(math.log2(time.monotonic() - began + 1))
    assert set(told) == {401, 429}
    assert 5 <= told[401] <= 5 + waited


def test_requests_a_minute(two: list[Service], tmp_path: Path) -> None:
    environment = two[0].environment
    with MongoClient(environment["MONGODB_URI"]) as client:
        client[environment["JOBWRIGHT_DATABASE"]]["rate_counters"].delete_many({})
    token = two[0].token()
    headers = {"Authorization": f"Bearer {token}"}

    def ask(n: int) -> tuple[int, str | None]:
        answer = httpx.get(f"{two[n % 2].address}/api/admin/maintenance", headers=headers, timeout=PATIENCE_SECONDS)
        return answer.status_code, answer.headers.get("Retry-After")

    with ThreadPoolExecutor(CALLS) as pool:
        told = list(pool.map(ask, range(120)))
    statuses = Counter(status for status, _ in told)
    # A window is a minute of the clock: the calls lie in one, or in two.
    assert statuses[200] in {90, 120}
    assert all(1 <= int(wait or 0) <= 60 for status, wait in told if status == 429)


def test_wrong_tokens_of_one_place(two: list[Service]) -> None:
    def ask(n: int) -> int:
        return httpx.get(
            f"{two[n % 2].address}/api/admin/maintenance", headers={"Authorization": f"Bearer jw_{n}"}, timeout=PATIENCE_SECONDS
        ).status_code

    with ThreadPoolExecutor(CALLS) as pool:
        told = Counter(pool.map(ask, range(260)))
    assert set(told) == {401, 429}
    assert told[401] <= 240


@pytest.mark.parametrize(
    ("host", "status"), [("jobs.example.com", 200), ("evil.example", 400), ("127.0.0.1.evil.example", 400), ("a b", 400)]
)
def test_a_host_that_is_not_ours_is_refused(two: list[Service], host: str, status: int) -> None:
    assert httpx.get(f"{two[0].address}/sign-in", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("path", ["/live", "/ready", "/health", "/health/detailed", "/metrics"])
@pytest.mark.parametrize("host", ["10.1.2.3:8080", "[fd00::1]:8080", "scheduler-1"])
def test_probes_and_prometheus_ask_by_address(two: list[Service], path: str, host: str) -> None:
    """Kubelets, load balancers and Prometheus know no name of the installation; what they are told names none either."""
    answer = httpx.get(f"{two[0].address}{path}", headers={"Host": host}, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    assert host not in answer.text


def test_forwarded_headers_are_not_believed_unasked(two: list[Service]) -> None:
    def guess(place: str) -> int:
        with httpx.Client(base_url=two[0].address, headers={"X-Forwarded-For": place}, timeout=PATIENCE_SECONDS) as client:
            page = client.get("/sign-in").text
            token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
            form = {"csrf_token": token, "email": "forwarded@example.com", "password": "guess"}
            return client.post("/sign-in", data=form).status_code

    # The wait doubles with each guess, so that in the end it is longer than a guess takes on any machine.
    assert 429 in (guess(f"203.0.113.{n}") for n in range(20))
