"""Calls of Jobwright through WSGI: for Flask, Django and every other WSGI framework, or alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jobwright_client.calls import MOST_BODY_BYTES, Request, Response, job_of

if TYPE_CHECKING:
    from jobwright_client.service import Service

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def wsgi_app(service: Service, app: WsgiApp | None) -> WsgiApp:
    """Returns a WSGI application that answers calls of Jobwright, and passes all else on to `app`."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
        if job_of(path) is None:
            if app is not None:
                return app(environ, start_response)
            return _answer(alone(path), start_response)
        request = Request(environ["REQUEST_METHOD"], path, _headers(environ), _body(environ))
        return _answer(service.handle(request), start_response)

    return application


def alone(path: str) -> Response:
    """Returns the answer of a service without an application: its health."""
    return Response(200, {"status": "ok"}) if path == "/health" else Response(404, {"error": "There is nothing at this address"})


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    return {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}


def _body(environ: Mapping[str, Any]) -> bytes:
    """The body as it came, up to one byte more than is allowed."""
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH") or ""
    if length.isdigit():
        return bytes(stream.read(min(int(length), MOST_BODY_BYTES + 1)))
    if environ.get("wsgi.input_terminated"):  # a chunked body that the server has decoded
        return bytes(stream.read(MOST_BODY_BYTES + 1))
    return b""


def _answer(response: Response, start_response: Callable[..., Any]) -> Iterable[bytes]:
    from http import HTTPStatus

    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", response.all_headers())
    return [response.content()]


def serve(service: Service, host: str, port: int) -> None:
    """Serves `service` alone, one thread for each request, until SIGTERM or Ctrl-C."""
    import socketserver
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    class Server(socketserver.ThreadingMixIn, WSGIServer):
        daemon_threads = True
        request_queue_size = 128

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            """Says nothing: the address of a call tells no more than the log of its run."""

    with make_server(host, port, service.wsgi(), server_class=Server, handler_class=Quiet) as server:
        service.drain_on_sigterm()
        service.start()
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            service.drain()
