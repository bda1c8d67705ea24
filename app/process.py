"""The service as a process: starts its parts, waits for a signal, drains and stops."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from app.accounts.model import Role
from app.audit.model import SYSTEM
from app.broker.base import require_celery
from app.config import Settings, load_settings
from app.errors import ConfigError, JobwrightError
from app.events import configure_logging, get_logger, is_for_people
from app.factory import build_node, build_services, launch_executor, migrate, open_store, require_migrated, with_engine
from app.mongo import connect
from app.premises import errors_name_settings, make_data_folder
from app.services import Services
from app.traces.base import Traces, require_opentelemetry
from app.validation.terminal import printable
from templates_lib.messages import say

if TYPE_CHECKING:
    from app.factory import Store
    from app.node.node import Node
    from app.webserver import ProbeServer, WebServer

log = get_logger(__name__)

FAILED = 1  # the exit code of a process that cannot work any more


def run_service(*, web: bool, engine: bool, routes: tuple[str, ...] = ()) -> None:
    """Run the web server, the engine (scheduler and executor) or both, until a signal ends the process. With `routes` the engine is a
    worker that takes runs of these routes from Celery, and nothing else."""
    settings = load_settings()
    with errors_name_settings(settings):
        if routes and not settings.by_celery:
            raise ConfigError("JOBWRIGHT_EXECUTOR: must be celery for `jobwright worker`; with local, `jobwright scheduler` runs jobs.")
        if engine and settings.by_celery:
            require_celery()
        if settings.traces == "otlp":
            require_opentelemetry()
        _serve(settings, web=web, engine=engine, routes=routes)


def _serve(settings: Settings, *, web: bool, engine: bool, routes: tuple[str, ...]) -> None:
    """Start the parts, wait for a signal, drain, stop.

    0. What needs nothing but the machine is tried: the address of the web server, that of the database, the data folder.
    1. The zygote is launched first, from a process with one thread, and imports while mongod starts.
    2. The database is opened and migrated; services, pages and engine are built.
    3. SIGTERM or SIGINT drains; a second one hands back at once what still runs.
    """
    began = time.monotonic()
    configure_logging(level=settings.log_level, style=settings.log_format)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold keys, and passwords of connections
    role = "serve" if web and engine else "web" if web else "worker" if routes else "scheduler"
    signals = _Signals()
    listener, probe_listener = _try_machine(settings, web=web)
    log.info("service.starting", version=version("jobwright"), role=role)
    executor = launch_executor(settings) if engine and (routes or not settings.by_celery) else None
    store, services, traces = None, None, Traces()
    greeting = _Greeting(settings.admin_email, for_people=is_for_people(settings.log_format))
    try:
        traces = _traces(settings, role)
        store = open_store(settings, role=role)
        require_migrated(store) if settings.migrate == "never" else migrate(store)
        services = replace(build_services(settings, store), role=role, traces=traces)
        greeting.keep_password(_first_admin(services))
        services.settings_trail.record(f"{socket.gethostname()} {role}", *settings.chosen())
        node = build_node(settings, store, services, executor, routes=routes) if engine else None
        if node is not None:
            services = with_engine(services, node)
        server = _web_server(services, listener) if listener is not None else None
        probes = _probe_server(services, probe_listener) if probe_listener is not None else None
        services.samples.keep_server()
        if node is not None:
            node.on_failure(signals.end)
            node.start()
        services.command_connection.keep()
        services.job_types.install_at_start()
        if settings.sample:
            _make_sample(services)
        log.info("service.ready", seconds=round(time.monotonic() - began, 2), address=server.address if server else None)
        if server is not None:
            greeting.say(services, server.address, store)
        signals.wait()
        _drain(services, signals, server=server, node=node, probes=probes)
    finally:
        greeting.say_password()
        if executor is not None:
            executor.close()
        if services is not None:
            services.samples.close()
        traces.close()
        if store is not None:
            store.close()
    log.info("service.stopped")
    if node is not None and node.failed:
        raise SystemExit(FAILED)  # whoever supervises this process starts it again


def _try_machine(settings: Settings, *, web: bool) -> tuple[socket.socket | None, socket.socket | None]:
    """Tries what needs nothing but the machine. Returns the sockets of the web server and of the port for health and metrics.

    An address that is wrong, or a port that is taken, ends the start here with its error alone, before anything is made or logged.
    """
    listeners = _listeners(settings, web=web)
    if settings.mongodb_uri:
        connect(settings.mongodb_uri).close()
    make_data_folder(settings.data_path)
    return listeners


def _drain(services: Services, signals: _Signals, *, server: WebServer | None, node: Node | None, probes: ProbeServer | None) -> None:
    """Stops what takes work, in the order in which others notice: /ready and proxies first, then requests, runs, and the probes."""
    settings = services.settings
    log.info("service.draining", seconds=settings.drain_seconds)
    services.leaving.begin()
    if server is not None:
        signals.wait(settings.drain_notice_seconds)
        server.stop()
    if node is not None:
        signals.on_second(node.hurry)
        node.drain(settings.drain_seconds)
    if probes is not None:
        probes.stop()


def _traces(settings: Settings, role: str) -> Traces:
    if settings.traces == "off":
        return Traces()
    from app.traces.otlp import OtlpCollector  # noqa: PLC0415 - OpenTelemetry is imported where it is asked for

    return Traces(OtlpCollector(version=version("jobwright"), instance=f"{socket.gethostname()}-{os.getpid()} {role}"))


def _first_admin(services: Services) -> str | None:
    """Creates the first super-admin if there are no accounts. Returns the generated password; None if there is none to show."""
    settings = services.settings
    made = services.accounts.ensure_first_admin(SYSTEM, email=settings.admin_email, password=settings.admin_password)
    if made is not None:
        log.info("service.first_admin", email=settings.admin_email)
    return made


class _Greeting:
    """What the start says to the person at the terminal, in plain lines: where Jobwright is, how to sign in, how to stop it.

    A generated password is shown once, with these lines or, if the start fails before them or the log is for programs, without them.
    """

    def __init__(self, email: str, *, for_people: bool) -> None:
        self._for_people, self._email, self._password = for_people, email, ""

    def keep_password(self, password: str | None) -> None:
        """Keeps a generated password for the lines that follow. Says it at once if there will be none."""
        self._password = password or ""
        if not self._for_people:
            self.say_password()

    def say(self, services: Services, address: str, store: Store) -> None:
        """Says the lines, if a person reads them."""
        if not self._for_people:
            return
        shared_with = store.mongod.shared_with if store.mongod else None
        joins = (
            f"It joins the Jobwright that runs in {services.settings.data_path} already (process {shared_with}), and shares its jobs.\n  "
            if shared_with
            else ""
        )
        if self._password:
            account = f"Sign in as {self._email} with the password {self._password} (shown only this once)."
        else:
            account = f"Sign in as {self._account(services)}. Forgotten the password? Run: .venv/bin/jobwright user reset EMAIL"
        self._password = ""
        lines = f"Jobwright is at {address}\n  {joins}{account}\n  Press Ctrl-C to stop."
        click.echo(f"\n  {printable(lines)}\n", err=True)

    def say_password(self) -> None:
        """Says the password, if it has not been said."""
        if self._password:
            text = f"Sign in as {self._email} with the password {self._password}\n  It is shown only this once."
            click.echo(f"\n  {printable(text)}\n", err=True)
            self._password = ""

    @staticmethod
    def _account(services: Services) -> str:
        """Returns the e-mail address of an account that may do everything."""
        admins = [user.email for user in services.accounts.all(SYSTEM) if user.role is Role.SUPER_ADMIN and not user.disabled]
        wanted = services.settings.admin_email
        return wanted if wanted in admins or not admins else admins[0]


def _make_sample(services: Services) -> None:
    """Makes sample data, unless the installation has jobs of its own."""
    has_jobs = not services.samples.exists() and bool(services.directory.names(SYSTEM, limit=1))
    reason = say("This installation has jobs already.") if has_jobs else services.samples.unavailable()
    if reason is None:
        try:
            services.samples.create(SYSTEM)
        except JobwrightError as error:
            reason = error.detail
    if reason is not None:
        log.warning("sample.not_made", reason=reason)


def _listeners(settings: Settings, *, web: bool) -> tuple[socket.socket | None, socket.socket | None]:
    """The sockets of the web server and of the port for health and metrics, each None where there is none."""
    if not web and not settings.health_port:
        return None, None
    from app.webserver import listen, listen_for_probes  # noqa: PLC0415 - the short commands and most schedulers need no web framework

    return listen(settings) if web else None, listen_for_probes(settings)


def _probe_server(services: Services, listener: socket.socket) -> ProbeServer:
    from app.webserver import ProbeServer  # noqa: PLC0415 - as above

    return ProbeServer(services, listener)


def _web_server(services: Services, listener: socket.socket) -> WebServer:
    from app.webserver import WebServer  # noqa: PLC0415 - as above

    return WebServer(services, listener)


class _Signals:
    """SIGTERM and SIGINT: the first ends `wait`, each later one calls what `on_second` was given.

    They come through signal.set_wakeup_fd: the kernel may hand a signal to any thread, and a handler in Python would run only
    when the main thread next does something, which waits for the signal.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float | None = None) -> None:
        """Waits for a signal; with `seconds`, for at most so long."""
        if seconds is None or select.select([self._read], [], [], seconds)[0]:
            os.read(self._read, 1)

    def end(self) -> None:
        """Ends `wait`, as a signal does."""
        os.write(self._write, b"\0")

    def on_second(self, call: Callable[[], None]) -> None:
        def listen() -> None:
            while os.read(self._read, 1):
                call()

        threading.Thread(target=listen, name="second-signal", daemon=True).start()
