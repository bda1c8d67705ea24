"""An application that pauses holds no thread, goes on in time, and learns that its client has gone or the server ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.pauses import ENDING, Pause, growing, pausing
from app.webserver.limits import Limits
from app.webserver.server import Server
from tests.support import PATIENCE_SECONDS, eventually


class Application:
    """Answers `/wait` after it has paused until `go_on` is set, and everything else at once."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.waiting = self.closed = 0
        self.threads: set[str] = set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        if environ["PATH_INFO"] != "/wait":
            start_response("200 OK", [("Content-Length", "2")])
            yield b"ok"
            return
        self.waiting += 1
        try:
            while not self.go_on.is_set() and not environ[ENDING]():
                self.threads.add(threading.current_thread().name)
                yield Pause(0.01)
            start_response("200 OK", [("Content-Length", "6")])
            yield b"waited"
        finally:
            self.waiting -= 1
            self.closed += 1


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def server(application: Application) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    served = Server(application, listener, Limits(body_bytes=1000, connections=100), threads=1)
    yield served
    application.go_on.set()
    served.stop()
    listener.close()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(server._listener.getsockname(), PATIENCE_SECONDS)


def ask(client: socket.socket, path: str, more: str = "") -> None:
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())


def answer(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while data := client.recv(65536):
        received += data
    return received


def test_pauses_hold_no_thread(server: Server, application: Application) -> None:
    with connect(server) as first, connect(server) as second, connect(server) as third:
        for client in (first, second):
            ask(client, "/wait", "Connection: close\r\n")
        eventually(lambda: application.waiting == 2)
        ask(third, "/", "Connection: close\r\n")
        assert answer(third).endswith(b"ok")
        assert application.waiting == 2
        application.go_on.set()
        assert [answer(client)[-6:] for client in (first, second)] == [b"waited"] * 2
    assert application.closed == 2


@pytest.mark.parametrize("hard", [False, True])
def test_a_client_that_leaves_closes_the_application(server: Server, application: Application, hard: bool) -> None:
    client = connect(server)
    ask(client, "/wait")
    eventually(lambda: application.waiting == 1)
    if hard:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.close()
    eventually(lambda: application.closed == 1)


def test_a_request_that_comes_during_the_pause_is_answered_after_it(server: Server, application: Application) -> None:
    with connect(server) as client:
        ask(client, "/wait")
        eventually(lambda: application.waiting == 1)
        ask(client, "/")
        ask(client, "/", "Connection: close\r\n")
        application.go_on.set()
        received = answer(client)
    assert [received.count(body) for body in (b"waited", b"\r\n\r\nok")] == [1, 2]


def test_a_server_that_ends_is_noticed(server: Server, application: Application) -> None:
    with connect(server) as client, ThreadPoolExecutor(1) as pool:
        ask(client, "/wait")
        eventually(lambda: application.waiting == 1)
        stopped = pool.submit(server.stop)
        assert answer(client).endswith(b"waited")
        stopped.result(PATIENCE_SECONDS)


def test_another_server_waits_in_its_thread() -> None:
    def parts() -> Any:
        yield Pause(0.001)
        yield b"a"
        return "result"

    def whole(environ: dict[str, Any]) -> Any:
        result = yield from pausing(environ, parts())
        assert result == "result"

    assert list(whole({})) == [b"a"]
    assert [type(part) for part in whole({ENDING: lambda: False})] == [Pause, bytes]
    pauses = growing(0.1, 0.2)
    assert [round(next(pauses).seconds, 3) for _ in range(3)] == [0.1, 0.15, 0.2]
