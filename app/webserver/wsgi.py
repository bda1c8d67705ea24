"""Turns a request into a WSGI environment (PEP 3333), and runs the application on it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import h11

from app.events import get_logger
from app.pauses import Pause
from app.webserver.answer import Answer, ClientGone, Head
from app.webserver.spool import Spool

log = get_logger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
NOT_FOR_THE_APPLICATION = {b"transfer-encoding", b"connection", b"keep-alive", b"expect", b"upgrade", b"te", b"trailer"}
WITHOUT_BODY = {204, 304}
CONSTANTS = {
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


@dataclass(frozen=True, slots=True)
class Ends:
    """The addresses of both ends of a connection."""

    client: tuple[str, int]
    server: tuple[str, int]


class SpooledBody(io.RawIOBase):
    """The body of a request as a file that is read once, from its beginning to its end."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._spool.take(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def split_target(target: bytes) -> tuple[bytes, bytes] | None:
    """Returns path and query of a request target in origin or absolute form (RFC 9112, 3.2), or `*`; None for anything else."""
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return path, query
    if target == b"*":
        return target, b""
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    return (parts.path or b"/", parts.query) if parts.scheme.lower() in {b"http", b"https"} and parts.netloc else None


def environment(request: h11.Request, ends: Ends, body: io.RawIOBase, size: int) -> dict[str, Any]:
    """The environment of a request that has come in whole. A chunked body has the length that it turned out to have.

    Header names with `_` are left out: they would pass for names with `-`, which a proxy in front may have checked.
    """
    path, query = split_target(request.target) or (b"/", b"")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method.decode("ascii"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "REQUEST_URI": request.target.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode('ascii')}",
        "SERVER_NAME": ends.server[0],
        "SERVER_PORT": str(ends.server[1]),
        "REMOTE_ADDR": ends.client[0],
        "REMOTE_PORT": str(ends.client[1]),
        "wsgi.input": io.BufferedReader(body),
        "wsgi.errors": sys.stderr,
        **CONSTANTS,
    }
    for name, value in request.headers:
        if b"_" in name or name in NOT_FOR_THE_APPLICATION or name == b"content-length":
            continue
        key, text = name.decode("ascii").upper().replace("-", "_"), value.decode("latin-1")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        between = "; " if name == b"cookie" else ", "
        environ[key] = f"{environ[key]}{between}{text}" if key in environ else text
    if size or any(name in {b"content-length", b"transfer-encoding"} for name, _ in request.headers):
        environ["CONTENT_LENGTH"] = str(size)
    return environ


class Responding:
    """Runs the application for one request and writes its answer. An error of the application breaks the answer off, and is logged.

    An application that yields a Pause is left there, and the thread is free. `pause` takes this object, which goes on when it is called
    again, and the seconds until then.
    """

    def __init__(
        self, application: Application, environ: dict[str, Any], answer: Answer, pause: Callable[[Callable[[], None], float], None]
    ) -> None:
        self._application, self._environ, self._answer, self._pause = application, environ, answer, pause
        self._parts: Iterable[bytes] | None = None
        self._rest: Iterator[bytes] = iter(())

    def __call__(self) -> None:
        """Runs the application up to its next pause, or its end."""
        try:
            seconds = self._proceed()
            if seconds is not None:
                self._pause(self, seconds)
                return
            if self._answer.head is None:
                raise RuntimeError("the application has not begun an answer")
            self._answer.end()
        except ClientGone:
            pass
        except BaseException:
            log.exception("request.broken", method=self._environ["REQUEST_METHOD"], path=self._environ["PATH_INFO"])
            self._answer.fail()

    def _proceed(self) -> float | None:
        """Returns the seconds of the pause that the application makes; None at its end."""
        pause: Pause | None = None
        try:
            if self._parts is None:
                self._parts = self._application(self._environ, self._start_response)
                self._rest = iter(self._parts)
            elif self._answer.is_gone:
                raise ClientGone
            for data in self._rest:
                if isinstance(data, Pause):
                    pause = data
                    break
                self._write(data)
        finally:
            close = getattr(self._parts, "close", None)
            if pause is None and close is not None:
                close()
        return pause.seconds if pause is not None else None

    def _start_response(self, status: str, headers: list[tuple[str, str]], error: _ErrorInfo | None = None) -> Callable[[bytes], None]:
        if error is not None and self._answer.head is not None:
            raise error[1].with_traceback(error[2])
        self._answer.begin(_head(status, headers))
        return self._write

    def _write(self, data: bytes) -> None:
        head = self._answer.head
        bare = self._environ["REQUEST_METHOD"] == "HEAD" or (head is not None and head.status in WITHOUT_BODY)
        if data and not bare:
            self._answer.write(data)


_ErrorInfo = tuple[type[BaseException], BaseException, TracebackType]


def _head(status: str, headers: list[tuple[str, str]]) -> Head:
    code, _, reason = status.partition(" ")
    lines = tuple((name.encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers)
    return Head(int(code), reason.encode("latin-1"), lines)
