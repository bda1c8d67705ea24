"""The server: one loop that reads and writes, and threads that run the application."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from app.config import Settings
from app.errors import StartError
from app.events import get_logger
from app.factory import create_app, create_probes
from app.services import Services
from app.webserver.connection import Connection
from app.webserver.limits import SPARE_FILES, Limits, affordable_connections, leaving_order
from app.webserver.workers import Workers
from app.webserver.wsgi import Application

log = get_logger(__name__)

BACKLOG = 1024  # connections that the kernel holds until the loop takes them
CHECK_SECONDS = 0.5  # from one look at the clients' deadlines to the next
ROOM_SHARE = 20  # one of so many connections is closed when there are too many
DRAIN_SECONDS = 5.0
PROBE_THREADS, PROBE_CONNECTIONS, MOST_PROBE_BYTES = 4, 64, 1000  # of the port for health and metrics
# Probes have a thread each: however long all other requests wait for a database, a process that works says so.
PROBES = ("/live", "/ready")
# Kubelets, load balancers and Prometheus ask by address. No answer of these paths names a host, so each name is as good as any other.
BY_ANY_NAME = frozenset({*PROBES, "/health", "/health/detailed", "/metrics"})
FEW_TURNS = 10  # of the loop: what has been accepted or aborted reaches its connection


class WebServer:
    """The web server of the service. `address` is the URL that it listens on."""

    def __init__(self, services: Services, listener: socket.socket | None = None) -> None:
        """`listener` is the result of `listen`, if the caller has called it before."""
        settings = services.settings
        app = create_app(services)
        if settings.trusted_hosts:
            app.config["TRUSTED_HOSTS"] = list(settings.trusted_hosts)
            app.wsgi_app = _reachable_by_address(app.wsgi_app, settings.trusted_hosts[0])  # type: ignore[assignment,method-assign]
        if settings.proxy_hops:
            hops = settings.proxy_hops
            app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
        listener = listener or listen(settings)
        connections = affordable_connections(settings.web_connections, raise_open_files(settings.web_connections))
        limits = Limits(body_bytes=app.config["MAX_CONTENT_LENGTH"], connections=connections)
        host, port = listener.getsockname()[:2]
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._server = Server(app, listener, limits, threads=settings.web_threads)

    def stop(self) -> None:
        """Finishes the received requests, and takes no new ones."""
        self._server.stop()


class ProbeServer:
    """Serves health and metrics alone, on a port of their own."""

    def __init__(self, services: Services, listener: socket.socket) -> None:
        """`listener` is the result of `listen`."""
        limits = Limits(body_bytes=MOST_PROBE_BYTES, connections=PROBE_CONNECTIONS)
        self._server = Server(create_probes(services), listener, limits, threads=PROBE_THREADS)

    def stop(self) -> None:
        """Finishes the received requests, and takes no new ones."""
        self._server.stop()


class Server:
    """Serves a WSGI application on a listening socket, from a thread of its own."""

    def __init__(self, application: Application, listener: socket.socket, limits: Limits, *, threads: int) -> None:
        self.application, self.limits, self.draining = application, limits, False
        self._listener, self._connections = listener, set[Connection]()
        self._workers = Workers(threads)
        self._lanes = {path: Workers(1) for path in PROBES}
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_broken)
        self.now, self._begun = self._loop.time, threading.Event()
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)
        self._thread.start()
        self._begun.wait()

    def stop(self) -> None:
        """Finishes the completely received requests, for at most DRAIN_SECONDS, and takes no new ones. A second call does nothing."""
        if self.draining:
            return
        self.draining = True
        asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for workers in (self._workers, *self._lanes.values()):
            workers.stop()

    # -- for connections ------------------------------------------------------------------------------------------

    def submit(self, call: Callable[[], None], path: str = "") -> None:
        self._lanes.get(path, self._workers).submit(call)

    def call_soon_threadsafe(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and so has every connection
            self._loop.call_soon_threadsafe(call)

    def call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, call)

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        if self.draining:
            connection.drain()
        elif len(self._connections) > self.limits.connections:
            self._make_room(connection)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _make_room(self, newest: Connection) -> None:
        """Closes several connections together, because a choice among thousands for each new one would keep the loop busy."""
        limit = self.limits.connections
        others = [connection for connection in self._connections if connection is not newest]
        wanted = len(self._connections) - limit + limit // ROOM_SHARE
        for index in islice(leaving_order([connection.place() for connection in others]), wanted):
            self._abort(others[index])
        if len(self._connections) > limit:
            self._abort(newest)

    def _let_go(self) -> None:
        """Closes connections while more bytes are stored for clients than the limit allows."""
        held = {connection: size for connection in self._connections if (size := connection.held_bytes())}
        over = sum(held.values()) - self.limits.held_bytes
        if over <= 0:
            return
        holders = list(held)
        for index in leaving_order([connection.place() for connection in holders]):
            self._abort(holders[index])
            over -= held[holders[index]]
            if over <= 0:
                return

    def _abort(self, connection: Connection) -> None:
        """Closes a connection and stops counting it at once; the loop reports its end only in its next turn."""
        self._connections.discard(connection)
        connection.abort()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._accepting = self._loop.run_until_complete(
            self._loop.create_server(lambda: Connection(self), sock=self._listener, backlog=BACKLOG)
        )
        self._loop.call_soon(self._check)
        self._loop.call_soon(self._begun.set)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _check(self) -> None:
        self._loop.call_later(CHECK_SECONDS, self._check)  # first: an error in what follows must not end the looking
        now = self.now()
        for connection in list(self._connections):
            connection.check(now)
        self._let_go()

    async def _drain(self) -> None:
        # asyncio forgets connections that it has accepted but not begun when the listener closes: they begin first.
        self._loop.remove_reader(self._listener)
        for _ in range(FEW_TURNS):
            await asyncio.sleep(0)
        self._accepting.close()
        for connection in list(self._connections):
            connection.drain()
        end = self.now() + DRAIN_SECONDS
        while self._connections and self.now() < end:
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
        for _ in range(FEW_TURNS):
            await asyncio.sleep(0)


def _reachable_by_address(application: Application, name: str) -> Application:
    """Returns an application whose probes and metrics answer requests for any host, as if they were for the host `name`."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        known = {**environ, "HTTP_HOST": name.lstrip(".")} if environ.get("PATH_INFO") in BY_ANY_NAME else environ
        return application(known, start_response)

    return answer


def listen(settings: Settings) -> socket.socket:
    """Returns a socket that listens on the address of the web server. Raises StartError."""
    return _listen(settings.host, settings.port, variable="PORT")


def listen_for_probes(settings: Settings) -> socket.socket | None:
    """Returns a socket that listens on JOBWRIGHT_HEALTH_PORT; None if that is 0. Raises StartError."""
    return _listen(settings.host, settings.health_port, variable="JOBWRIGHT_HEALTH_PORT") if settings.health_port else None


def _listen(host: str, port: int, *, variable: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartError(_refused(host, port, variable, error)) from error
    return listener


def _refused(host: str, port: int, variable: str, error: OSError) -> str:
    """Returns why the server cannot listen on its address, and what to set."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is already in use. Set {variable} to another one."
    reason = error.strerror or str(error)
    return f"Jobwright cannot listen on {host}:{port}: {reason}. {_advice(error, variable)}"


def _advice(error: OSError, variable: str) -> str:
    """Returns advice about an address on which the server cannot listen."""
    if isinstance(error, socket.gaierror) or error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        return "Set HOST to an address of this machine, such as 127.0.0.1, 0.0.0.0 or ::1."
    if error.errno == errno.EACCES:
        return f"Set {variable} to 1024 or above: lower ones are kept for privileged users."
    return f"Set {variable} to another one."


def raise_open_files(connections: int) -> int:
    """Raises the limit of open files for so many connections, as far as the system allows. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


def _log_broken(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    log.error("web.broken", reason=str(context.get("message")), exc_info=error if isinstance(error, BaseException) else None)
