"""Services behind WSGI and ASGI: calls of Jobwright are taken, all else goes to the application."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jobwright_client import JobContext, Service, Settings
from jobwright_client.calls import Request, job_of
from jobwright_client.testing import Jobwright

from tests.support import eventually


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The examples drain on SIGTERM, which is not for the process of the tests."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


CALL = {"executionId": "e", "attempt": 1}


@pytest.fixture
def service() -> Service:
    made = Service("s", settings=Settings(verify=False))

    @made.job("work", answer_within_seconds=30)
    def work(context: JobContext[Any], *, size: int = 1) -> dict[str, Any]:
        return {"size": size, "thread": threading.current_thread().name}

    return made


@pytest.mark.parametrize(
    ("path", "job"),
    [
        ("/api/jobs/weekly-digest/execute", "weekly-digest"),
        ("/api/jobs/a.b_c/execute", "a.b_c"),
        ("/api/jobs//execute", None),
        ("/api/jobs/execute", None),
        ("/api/jobs/a/b/execute", None),
        ("/api/jobs/a/execute/", None),
        ("/v1/api/jobs/a/execute", None),
        ("/", None),
    ],
)
def test_which_addresses_call_a_job(path: str, job: str | None) -> None:
    assert job_of(path) == job


# -- WSGI ------------------------------------------------------------------------------------------------------------


def wsgi(app: Any, path: str, body: bytes = b"", method: str = "POST", **environ: Any) -> tuple[str, dict[str, str], bytes]:
    said: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        **environ,
    }
    content = b"".join(app(environ, lambda status, headers: said.append((status, dict(headers)))))
    return said[0][0], said[0][1], content


def test_a_call_is_taken_through_wsgi(service: Service) -> None:
    body = json.dumps({**CALL, "config": {"size": 3}}).encode()
    status, headers, content = wsgi(service.wsgi(), "/api/jobs/work/execute", body)
    assert status == "200 OK"
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(content))
    assert json.loads(content)["metadata"]["size"] == 3


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"CONTENT_LENGTH": ""}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "x"}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "", "wsgi.input_terminated": True}, "200 OK"),
    ],
)
def test_a_body_without_a_length_is_read_where_the_server_ends_it(service: Service, environ: dict[str, Any], status: str) -> None:
    assert wsgi(service.wsgi(), "/api/jobs/work/execute", json.dumps(CALL).encode(), **environ)[0] == status


def test_a_body_that_is_too_large_is_not_read_to_its_end(service: Service) -> None:
    class Endless(io.RawIOBase):
        read_bytes = 0

        def read(self, size: int = -1) -> bytes:
            self.read_bytes += size
            return b" " * size

    source = Endless()
    status, _, _ = wsgi(service.wsgi(), "/api/jobs/work/execute", **{"wsgi.input": source, "CONTENT_LENGTH": str(10**12)})
    assert status == "413 Request Entity Too Large"
    assert source.read_bytes == 2_000_001


def test_what_is_not_a_call_goes_to_the_application(service: Service) -> None:
    def app(environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("418 I'm a teapot", [])
        return [environ["PATH_INFO"].encode()]

    assert wsgi(service.wsgi(app), "/other")[::2] == ("418 I'm a teapot", b"/other")


@pytest.mark.parametrize(("path", "status"), [("/health", "200 OK"), ("/other", "404 Not Found"), ("/\xff", "404 Not Found")])
def test_a_service_alone_says_that_it_is_online(service: Service, path: str, status: str) -> None:
    assert wsgi(service.wsgi(), path)[0] == status


def test_the_flask_example_serves_its_pages_and_its_job() -> None:
    import flask_app

    client = flask_app.app.test_client()
    assert client.get("/").text == "The application"
    assert client.post("/api/jobs/nightly-report/execute", json=CALL).status_code == 401
    with Jobwright(flask_app.service) as jobwright:
        run = jobwright.begin("nightly-report")
        request = jobwright.request(run, {"pages": 4})
        answer = client.post(request.path, data=request.body, headers=dict(request.headers))
        assert answer.status_code == 200
        assert answer.json is not None
        assert answer.json["metadata"] == {"pages": 4}


# -- ASGI ------------------------------------------------------------------------------------------------------------


def test_a_call_is_taken_through_asgi_and_its_coroutine_runs_in_the_loop_of_the_server(service: Service) -> None:
    loops = []

    @service.job("coroutine", answer_within_seconds=30)
    async def coroutine(context: JobContext[Any]) -> None:
        loops.append(asyncio.get_running_loop())

    async def main() -> None:
        transport = httpx.ASGITransport(service.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
            answer = await client.post("/api/jobs/work/execute", json={**CALL, "config": {"size": 3}})
            assert answer.status_code == 200
            assert answer.json()["metadata"]["size"] == 3
            assert (await client.post("/api/jobs/coroutine/execute", json={"executionId": "c"})).status_code == 200
            assert loops == [asyncio.get_running_loop()]
            assert (await client.get("/health")).json() == {"status": "ok"}
            assert (await client.get("/other")).status_code == 404
            large = await client.post("/api/jobs/work/execute", content=b" " * 3_000_000)
            assert large.status_code == 413

    asyncio.run(main())


def test_a_long_call_is_accepted_and_holds_up_no_other(service: Service) -> None:
    gate = threading.Event()

    @service.job("gated", answer_within_seconds=0.05)
    def gated(context: JobContext[Any]) -> None:
        assert gate.wait(60)

    async def main() -> None:
        transport = httpx.ASGITransport(service.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://s", timeout=60) as client:
            callback = {"url": "http://127.0.0.1:9/api/callbacks/t", "token": "t"}
            waiting = [
                asyncio.create_task(client.post("/api/jobs/gated/execute", json={"executionId": f"e{number}"})) for number in range(10)
            ]
            await asyncio.sleep(0)
            assert (await client.post("/api/jobs/gated/execute", json={"executionId": "x", "callback": callback})).status_code == 202
            assert (await client.post("/api/jobs/work/execute", json=CALL)).status_code == 200
            gate.set()
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 10

    asyncio.run(main())


async def lifespan(app: Any) -> list[str]:
    """Starts and stops an application as a server does, and returns what it said."""
    said: list[str] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, str]:
        return next(messages)

    async def send(message: dict[str, str]) -> None:
        said.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return said


def test_the_service_starts_and_drains_with_the_server(service: Service) -> None:
    jobwright = Jobwright(service)
    settings = Settings(url="https://jobwright.test", token="t", grace_seconds=1)
    service.connect(settings, transport=jobwright)
    said = asyncio.run(lifespan(service.asgi()))
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert jobwright.manifests
    assert jobwright.heartbeats[-1]["state"] == "stopped"
    assert service.runs.draining


def test_the_fastapi_example_serves_its_pages_and_its_job() -> None:
    import fastapi_app

    async def main() -> None:
        transport = httpx.ASGITransport(fastapi_app.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
            assert (await client.get("/")).json() == {"application": "crawler"}
            with Jobwright(fastapi_app.service) as jobwright:
                request = jobwright.request(jobwright.begin("crawl-pending"), {"batch_size": 4})
                answer = await client.post(request.path, content=request.body, headers=dict(request.headers))
                assert answer.status_code == 200
                assert answer.json()["itemsSucceeded"] == 4

    asyncio.run(main())
    assert asyncio.run(lifespan(fastapi_app.app)) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# -- a process of its own --------------------------------------------------------------------------------------------

PROGRAM = """
import logging, signal, sys, threading, time
from jobwright_client import Service, Settings
service = Service("s", settings=Settings(verify=False, grace_seconds=20))
gate = threading.Event()

@service.job("gated", answer_within_seconds=0)
def gated(context):
    print("began", flush=True)
    gate.wait(60)

if sys.argv[1] == "handler":
    signal.signal(signal.SIGTERM, lambda *_: (print("own handler", flush=True), sys.exit(7)))
service.drain_on_sigterm()
service.start()
if sys.argv[2] == "busy":
    from jobwright_client.calls import Request
    body = b'{"executionId": "e", "callback": {"url": "http://127.0.0.1:9/x"}}'
    assert service.handle(Request("POST", "/api/jobs/gated/execute", {}, body)).status == 202
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def program(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path("clients/python/src").resolve())}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize(("handler", "code"), [("default", -signal.SIGTERM), ("handler", 7)])
def test_after_draining_what_was_to_happen_on_sigterm_happens(handler: str, code: int) -> None:
    process = program(handler, "idle")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(60) == code
    process.stdout.close()


def test_a_second_sigterm_does_not_wait() -> None:
    process = program("default", "busy")
    assert process.stdout is not None
    assert {process.stdout.readline(), process.stdout.readline()} == {"began\n", "ready\n"}
    process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    assert process.wait(15) == -signal.SIGTERM, "it waits no longer than its grace of 20 s"
    process.stdout.close()


def test_a_service_serves_alone_until_sigterm() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path("clients/python/src").resolve()), "PORT": "0"}
    words = [sys.executable, "clients/python/examples/email_service.py"]
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "JOBWRIGHT_URL is not set" in process.stderr.readline()
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM
    process.stderr.close()


def test_the_log_of_a_run_reaches_the_handlers_of_the_program(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    @service.job("logging", answer_within_seconds=30)
    def logs(context: JobContext[Any]) -> None:
        context.log.info("from the job")
        context.log.debug("too fine")

    with caplog.at_level(logging.INFO):
        body = json.dumps({"executionId": "l"}).encode()
        assert service.handle(Request("POST", "/api/jobs/logging/execute", {}, body)).status == 200
    assert "from the job" in caplog.text
    assert "too fine" not in caplog.text
    eventually(lambda: not service.runs._live)
