"""The web server over real sockets, with applications of a few lines: nothing here waits for a time to pass."""

from __future__ import annotations

import errno
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from app.webserver.answer import Answer
from app.webserver.connection import EVENTS_A_TURN
from app.webserver.limits import SPARE_FILES, Limits, Place, affordable_connections, leaving_order
from app.webserver.server import Server
from app.webserver.spool import IN_MEMORY_BYTES, Spool

NEVER = 3600.0
PATIENT = Limits(body_bytes=200_000, connections=4000, head_seconds=NEVER, idle_seconds=NEVER, grace_seconds=NEVER, linger_seconds=NEVER)
GET = b"GET /hello HTTP/1.1\r\nHost: jobs\r\n\r\n"
HALF = {
    "body": b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 100\r\n\r\nhalf",
    "chunked body": b"POST / HTTP/1.1\r\nHost: jobs\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
    "expected body": b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    "head": b"POST / HTTP/1.1\r\nHost: jobs\r\nX-More: ",
    "request line": b"PO",
    "nothing": b"",
}


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Method, path, query and body."""
    body = environ["wsgi.input"].read()
    text = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['QUERY_STRING']} ".encode() + body
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text]


class Client:
    """A socket to the server, and what comes out of it."""

    def __init__(self, address: tuple[str, int], sent: bytes = b"") -> None:
        self._socket = socket.create_connection(address, 30)
        self.send(sent)

    def send(self, data: bytes) -> Client:
        self._socket.sendall(data)
        return self

    def until(self, end: bytes) -> bytes:
        """What comes up to `end`."""
        found = b""
        while end not in found:
            data = self._socket.recv(65_536)
            assert data, f"closed after {found!r}"
            found += data
        return found

    def rest(self) -> bytes:
        """All until the server closes."""
        found = b""
        try:
            while data := self._socket.recv(65_536):
                found += data
        except ConnectionResetError:
            pass
        return found

    def finish(self) -> Client:
        self._socket.shutdown(socket.SHUT_WR)
        return self

    def close(self) -> None:
        self._socket.close()


class Running:
    """A server of an application, and clients of it."""

    def __init__(self, application: Any, limits: Limits, threads: int) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()[:2]
        self.server = Server(application, listener, limits, threads=threads)
        self._open: list[Client] = []

    def client(self, sent: bytes = b"") -> Client:
        self._open.append(Client(self.address, sent))
        return self._open[-1]

    def ask(self, sent: bytes) -> bytes:
        """All that comes back on a connection of its own, until the server closes it; nothing is sent after `sent`."""
        return self.client(sent).finish().rest()

    def close(self) -> None:
        for one in self._open:
            one.close()
        self.server.stop()


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    with ExitStack() as stack:

        def run(application: Any = echo, *, threads: int = 1, limits: Limits = PATIENT) -> Running:
            server = Running(application, limits, threads)
            stack.callback(server.close)
            return server

        yield run


def limits(**changes: Any) -> Limits:
    return replace(PATIENT, **changes)


# -- requests that do not come in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", HALF)
def test_a_half_sent_request_takes_no_thread(running: Callable[..., Running], what: str) -> None:
    server = running(threads=1)
    held = [server.client(HALF[what]) for _ in range(200)]
    assert server.client(GET).until(b"GET /hello  ")
    whole = {
        "body": b"x" * 96,
        "chunked body": b"lfs\r\n0\r\n\r\n",
        "expected body": b"x" * 100,
        "head": b"1\r\n\r\n",
        "request line": b"ST / HTTP/1.1\r\nHost: jobs\r\n\r\n",
        "nothing": GET,
    }[what]
    assert held[0].send(whole).until(b"200 OK"), "it was held, not forgotten"


def test_a_client_that_takes_no_answer_takes_no_thread(running: Callable[..., Running]) -> None:
    size = 5_000_000

    def large(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        wanted = size if environ["PATH_INFO"] == "/large" else 3
        return (b"x" * min(10_000, wanted - n) for n in range(0, wanted, 10_000))

    server = running(large, threads=1)
    held = [server.client(b"GET /large HTTP/1.0\r\n\r\n") for _ in range(20)]
    assert server.client(GET).until(b"xxx")
    assert held[-1].rest().count(b"x") == size


def test_an_answer_longer_than_is_kept_waits_for_its_client(running: Callable[..., Running]) -> None:
    server = running(
        lambda _environ, start: (start("200 OK", []), (b"x" * 50_000 for _ in range(100)))[1], limits=limits(answer_bytes=100_000)
    )
    assert server.ask(b"GET / HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")[2] == b"x" * 5_000_000


@pytest.mark.parametrize("what", ["body", "chunked body", "head", "request line"])
def test_a_request_that_does_not_come_in_whole_in_time_is_told_so(running: Callable[..., Running], what: str) -> None:
    server = running(limits=limits(head_seconds=0, grace_seconds=0))
    assert server.client(HALF[what]).until(b"}").startswith(b"HTTP/1.1 408 ")


def test_sending_bytes_now_and_then_does_not_extend_the_time(running: Callable[..., Running]) -> None:
    client = running(limits=limits(head_seconds=0.3)).client(b"GET / HTTP/1.1\r\n")
    stop, told = threading.Event(), []

    def read() -> None:
        told.append(client.rest())
        stop.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while not stop.wait(0.01):
            client.send(b"X: y\r\n")
    except OSError:
        pass  # it has been closed meanwhile
    reader.join()
    assert b" 408 " in told[0]


def test_a_connection_that_is_reset_at_its_deadline_does_not_keep_others_open(running: Callable[..., Running]) -> None:
    """Shutting the socket down fails then; the loop goes on looking at deadlines."""
    server = running(limits=limits(head_seconds=0.3))
    client = server.client(b"GET /")
    while not server.server._connections:
        time.sleep(0.01)
    (connection,) = server.server._connections
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(connection._transport), "write_eof", _not_connected)
        client.rest()
    assert server.client(b"GET /").until(b"}").startswith(b"HTTP/1.1 408 ")


def _not_connected(_transport: Any) -> None:
    raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


def test_a_connection_without_a_request_is_closed(running: Callable[..., Running]) -> None:
    server = running(limits=limits(idle_seconds=0))
    assert server.client().rest() == b""
    assert server.client(GET).rest().endswith(b"GET /hello  ")


def test_a_client_that_stops_taking_its_answer_is_closed(running: Callable[..., Running]) -> None:
    gone = threading.Event()

    def endless(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 10_000
        finally:
            gone.set()

    server = running(endless, limits=limits(grace_seconds=0, slowest_bytes_per_second=10**9, answer_bytes=100_000))
    server.client(GET)
    assert gone.wait(60)
    server.client(GET)  # the thread is free again


def test_of_too_many_connections_the_one_that_waits_longest_gives_way(running: Callable[..., Running]) -> None:
    server = running(limits=limits(connections=16))
    held = [server.client() for _ in range(16)]
    held[0].send(HALF["body"])
    for one in held[1:]:  # each has been seen
        one.send(GET).until(b"hello")
    assert server.client(GET).until(b"hello")
    assert held[0].rest() == b""


def test_what_is_kept_for_clients_is_bounded(running: Callable[..., Running]) -> None:
    server = running(limits=limits(held_bytes=150_000))
    head = b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 100001\r\n\r\n"
    first = server.client(head + b"x" * 100_000)
    second = server.client(head + b"y" * 100_000)
    assert first.rest() == b""
    assert second.send(b"y").until(b"y" * 1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("places", "index"),
    [
        ([], None),
        ([Place("a", 1, False)], None),
        ([Place("a", 2, True), Place("a", 1, True)], 1),
        ([Place("a", 2, True), Place("b", 1, True), Place("a", 3, True)], 0),
        ([Place("a", 1, False), Place("a", 1, False), Place("b", 5, True)], 2),
    ],
)
def test_who_gives_way(places: list[Place], index: int | None) -> None:
    assert next(leaving_order(places), None) == index


def test_thousands_of_connections_too_many_do_not_keep_the_loop_busy() -> None:
    """Some are chosen at once, in the order of the rule; those that have been chosen are not chosen again in the same turn."""
    places = [Place(f"10.0.0.{n % 7}", float(n), n % 3 > 0) for n in range(100)]
    left, order = dict(enumerate(places)), list(leaving_order(places))
    for index in order:
        waiting = {n: place for n, place in left.items() if place.waits}
        counts = Counter(place.address for place in waiting.values())
        assert index == max(waiting, key=lambda n: (counts[waiting[n].address], -waiting[n].since))
        del left[index]
    assert not [place for place in left.values() if place.waits]


def test_connections_that_come_at_once_stay_within_the_bound(running: Callable[..., Running]) -> None:
    server = running(limits=limits(connections=40))
    clients = [server.client(b"GET /li") for _ in range(200)]
    assert clients[-1].send(b"ve HTTP/1.0\r\n\r\n").rest()
    assert len(server.server._connections) <= 40


@pytest.mark.parametrize(("wanted", "files", "kept"), [(4000, 20_000, 4000), (4000, 1024, 1024 - SPARE_FILES), (4000, 100, 16)])
def test_connections_fit_into_the_files_of_the_process(wanted: int, files: int, kept: int) -> None:
    assert affordable_connections(wanted, files) == kept


def test_time_for_bytes() -> None:
    fresh = Limits(body_bytes=1, connections=1)
    assert [fresh.transfer_seconds(size) for size in (0, 8_000, 2_000_000)] == [10, 12, 510]


@pytest.mark.parametrize("size", [1, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1, 3 * IN_MEMORY_BYTES])
def test_a_spool_gives_back_what_it_was_given(size: int) -> None:
    spool, data = Spool(), bytes(n % 251 for n in range(size))
    spool.put(data[: size // 2])
    first = spool.take(size // 3)
    spool.put(data[size // 2 :])
    assert first + spool.take(size) == data
    assert len(spool) == 0
    assert spool.take(1) == b""
    spool.close()


# -- requests that come in ---------------------------------------------------------------------------------------------

HOST = b"Host: jobs\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: jobs\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 3, 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: +3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: -3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 0x3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (CHUNKED + b"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\r\n", 400),
        (CHUNKED + b"F" * 17 + b"\r\n", 400),
        (CHUNKED + b"10000000000000000\r\nab", 400),
        (CHUNKED + b"1\r\nx\r\n" + b"F" * 20 + b"\r\n", 400),
        (CHUNKED + b"-1\r\n", 400),
        (CHUNKED + b"+1\r\nx\r\n", 400),
        (CHUNKED + b"0x1\r\nx\r\n", 400),
        (CHUNKED + b"1_0\r\nx\r\n", 400),
        (CHUNKED + b"\r\n", 400),
        (CHUNKED + b"3\r\nabcXX0\r\n\r\n", 400),
        (CHUNKED + b" 1\r\nx\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: jobs\r\n\r\n", 505),
        (b"GET / HTTP/1.1 \r\nHost: jobs\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: jobs\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: jobs\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: jobs\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: jobs\r\nBad Name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: jobs\r\n\r\n", 400),
        (b"GET hello HTTP/1.1\r\nHost: jobs\r\n\r\n", 400),
        (b"CONNECT jobs:80 HTTP/1.1\r\nHost: jobs\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: jobs\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: jobs\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: jobs\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: jobs\r\n" + b"X: y\r\n" * 300 + b"\r\n", 431),
        (b"GET / HTTP/1.1\nHost: jobs\n" + b"X: y\n" * 300 + b"\n", 431),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(running: Callable[..., Running], sent: bytes, status: int) -> None:
    """RFC 9112, 6.1, 6.3 and 11.2; nothing behind it on the connection is read as a request."""
    seen: list[str] = []

    def noting(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        return echo(environ, start_response)

    told = running(noting).client(sent + b"GET /smuggled HTTP/1.1\r\nHost: jobs\r\n\r\n").finish().rest()
    assert re.findall(rb"HTTP/1\.1 (\d+)", told) == [str(status).encode()]
    assert seen == []
    assert b"application/problem+json" in told


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (CHUNKED + b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nTrailer: x\r\n\r\n", b"POST /  hello!"),
        (b"GET http://jobs/a%20b?c=d%20e HTTP/1.1\r\nHost: jobs\r\n\r\n", b"GET /a b c=d%20e "),
        (b"GET http://jobs HTTP/1.1\r\nHost: jobs\r\n\r\n", b"GET /  "),
        (b"OPTIONS * HTTP/1.1\r\nHost: jobs\r\n\r\n", b"OPTIONS *  "),
        (b"GET / HTTP/1.0\r\n\r\n", b"GET /  "),
        (b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", b"POST /  hi"),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 0\r\n\r\n", b"POST /  "),
        (b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\nHost: jobs\r\n\r\n", b"GET /" + b"x" * 60_000 + b"  "),
        (b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 200000\r\n\r\n" + b"z" * 200_000, b"POST /  " + b"z" * 200_000),
    ],
)
def test_what_the_application_is_given(running: Callable[..., Running], sent: bytes, told: bytes) -> None:
    assert running().ask(sent).partition(b"\r\n\r\n")[2] == told
    server = running()
    client = server.client()
    for n in range(min(len(sent), 300)):  # byte by byte, too
        client.send(sent[n : n + 1])
    assert client.send(sent[300:]).finish().rest().partition(b"\r\n\r\n")[2] == told


def test_requests_sent_at_once_are_answered_in_order(running: Callable[..., Running]) -> None:
    sent = b"".join(b"POST /%d HTTP/1.1\r\nHost: jobs\r\nContent-Length: 1\r\n\r\n%d" % (n, n % 10) for n in range(100))
    found = re.findall(rb"POST /(\d+)  (\d)", running(threads=4).ask(sent))
    assert found == [(b"%d" % n, b"%d" % (n % 10)) for n in range(100)]


@pytest.mark.parametrize("first", [b"GET", b"HEAD"])
def test_a_later_request_that_cannot_be_read_is_answered_like_the_first(running: Callable[..., Running], first: bytes) -> None:
    client = running().client(GET.replace(b"GET", first, 1))
    client.until(b"\r\n\r\n" if first == b"HEAD" else b"GET /hello  ")
    told = client.send(b"none\r\n\r\n").rest()
    assert told.startswith(b"HTTP/1.1 400 ")
    assert told.endswith(b"}")


def test_a_later_request_that_does_not_come_in_whole_is_told_so(running: Callable[..., Running]) -> None:
    client = running(limits=limits(head_seconds=0.1)).client(GET)
    client.until(b"GET /hello  ")
    assert client.send(b"GET /").rest().startswith(b"HTTP/1.1 408 ")


def test_empty_lines_before_a_request_are_left_out(running: Callable[..., Running]) -> None:
    """RFC 9112, 2.2."""
    posted = b"POST /one HTTP/1.1\r\nHost: jobs\r\nContent-Length: 1\r\n\r\nx\r\n"
    assert re.findall(rb"(?:GET|POST) /\w+", running().ask(b"\r\n" + posted + b"\r\n" + GET)) == [b"POST /one", b"GET /hello"]


def test_lines_of_a_body_are_no_lines_of_a_head(running: Callable[..., Running]) -> None:
    head, body = b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 1000\r\n\r", b"\n" + b"\n" * 1000
    client = running().client(head)
    assert b"POST /  \n" in client.send(body).finish().rest()


def test_many_small_chunks_do_not_keep_others_waiting(running: Callable[..., Running]) -> None:
    """The loop turns to other connections between them."""
    server = running(threads=2)
    client = server.client(CHUNKED)
    waiting = [server.client(GET) for _ in range(3)]
    client.send(b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")
    for other in waiting:
        other.until(b"GET /hello")
    assert client.until(b"POST / ").count(b"200 OK") == 1
    assert EVENTS_A_TURN < 1000


def test_an_answer_that_is_never_caught_up_with_stays_small() -> None:
    """Bytes that were taken lie in the file until all are: writing waits for that, too."""
    answer = Answer(lambda: None, most=1000)
    answer.write(b"x" * 900)
    answer.take(800)
    answer.write(b"x" * 300)
    late = threading.Thread(target=answer.write, args=(b"y",))
    late.start()
    late.join(0.1)
    assert late.is_alive()
    answer.take(400)
    late.join()
    assert answer.take(10) == b"y"
    answer.abandon()


def test_a_body_that_is_expected_is_asked_for(running: Callable[..., Running]) -> None:
    client = running().client(HALF["expected body"])
    client.until(b"HTTP/1.1 100 \r\n\r\n")
    assert client.send(b"x" * 100).until(b"x" * 100)


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 200001\r\nExpect: 100-continue\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: jobs\r\nContent-Length: 99999999999999999999\r\n\r\n" + b"x" * 1_000_000,
        CHUNKED + b"FFFFFFFFFFFFFFFF\r\n" + b"x" * 1_000_000,
    ],
)
def test_a_body_that_is_too_long_is_refused_by_the_application_without_being_kept(running: Callable[..., Running], sent: bytes) -> None:
    """It sees the length, and a body that is not whole; the client, which may still be sending, sees the answer."""

    def refusing(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        assert int(environ["CONTENT_LENGTH"]) > 200_000
        start_response("413 Too Large", [("Content-Length", "0")])
        return []

    told = running(refusing).client(sent).until(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in told.lower()


def test_header_lines_reach_the_application_once_and_under_one_name(running: Callable[..., Running]) -> None:
    seen: dict[str, Any] = {}

    def noting(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.update(environ)
        return echo(environ, start_response)

    running(noting).ask(
        b"GET / HTTP/1.1\r\nHost: jobs\r\nX-Forwarded-For: 1.1.1.1\r\nX_Forwarded_For: 6.6.6.6\r\nAccept: a\r\nAccept: b\r\n"
        b"Cookie: c=1\r\nCookie: d=2\r\nContent-Type: text/x\r\nX-Folded: a\r\n  b\r\n\r\n"
    )
    assert seen["HTTP_X_FORWARDED_FOR"] == "1.1.1.1"
    assert (seen["HTTP_ACCEPT"], seen["HTTP_COOKIE"], seen["CONTENT_TYPE"], seen["HTTP_X_FOLDED"]) == ("a, b", "c=1; d=2", "text/x", "a b")
    assert (seen["HTTP_HOST"], seen["REMOTE_ADDR"], "CONTENT_LENGTH" in seen) == ("jobs", "127.0.0.1", False)


def test_an_answer_names_no_server_and_a_date(running: Callable[..., Running]) -> None:
    told = running().ask(GET).partition(b"\r\n\r\n")[0].lower()
    assert b"\r\ndate: " in told
    assert b"\r\nserver:" not in told


def test_an_answer_to_head_has_no_body(running: Callable[..., Running]) -> None:
    head, _, body = running().ask(b"HEAD / HTTP/1.1\r\nHost: jobs\r\n\r\n").partition(b"\r\n\r\n")
    assert b"content-length: 8" in head.lower()
    assert body == b""


def test_an_answer_without_a_length_has_an_end(running: Callable[..., Running]) -> None:
    server = running(lambda _environ, start: (start("200 OK", []), [b"a", b"", b"b"])[1])
    assert server.ask(GET).endswith((b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", b"\r\n\r\n2\r\nab\r\n0\r\n\r\n"))
    assert server.ask(b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nab")


def test_an_application_that_fails_is_told(running: Callable[..., Running]) -> None:
    def failing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        headers = {"/header": [("X", "a\r\nb")], "/short": [("Content-Length", "9")]}.get(environ["PATH_INFO"], [])
        if environ["PATH_INFO"] != "/before":
            start_response("200 OK", headers)
            yield b"some"
        if environ["PATH_INFO"] == "/short":
            return
        raise RuntimeError("on purpose")

    server = running(failing, threads=1)
    for path in (b"/before", b"/header"):
        assert server.ask(b"GET " + path + b" HTTP/1.1\r\nHost: jobs\r\n\r\n").startswith(b"HTTP/1.1 500 "), path
    for path in (b"/within", b"/short"):
        assert not server.ask(b"GET " + path + b" HTTP/1.1\r\nHost: jobs\r\n\r\n").endswith(b"0\r\n\r\n"), path


def test_stopping_answers_what_has_come_in_and_nothing_else(running: Callable[..., Running]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        entered.set()
        leave.wait(30)
        return echo(environ, start_response)

    server = running(slow, threads=1, limits=limits(linger_seconds=0))
    idle, half = server.client(), server.client(HALF["body"])
    runs = server.client(GET)
    assert entered.wait(30)
    queued = server.client(GET)
    stopping = threading.Thread(target=server.server.stop)
    stopping.start()
    assert (idle.rest(), half.rest()) == (b"", b"")
    leave.set()
    stopping.join()
    told = runs.rest()
    assert told.endswith(b"GET /hello  ")
    assert b"connection: close" in told.lower()
    assert queued.rest()[-12:] in {b"GET /hello  ", b""}, "closed where it had not been read before the stop"
    with pytest.raises(OSError, match="refused|reset"):
        Client(server.address).send(GET).until(b"x")
