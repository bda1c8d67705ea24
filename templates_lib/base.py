"""The base of every template: JobTemplate, RunContext, JobResult, TemplateError."""

from __future__ import annotations

import inspect
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from templates_lib.call_notes import CallNotes
from templates_lib.messages import say
from templates_lib.own import Own

Risk = Literal["low", "medium", "high"]
Isolation = Literal["process", "reused"]


class TemplateError(Exception):
    """A failure that the template understands.

    `permanent` means that another try cannot help (a refused parameter, a missing collection); then there is no retry. `data` is what the
    run achieved before it failed; it becomes the `result` of the execution. A retry waits at least `retry_after_seconds`, if a server asked
    for that.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        data: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.data = dict(data or {})
        self.retry_after_seconds = retry_after_seconds


class Cancelled(TemplateError):
    """The run was asked to stop. `RunContext.check_cancelled` raises it at a safe point; the work up to that point stays done."""

    def __init__(self, message: str = "Stopped at a safe point") -> None:
        super().__init__(message, permanent=True)


@dataclass(frozen=True, slots=True)
class Problem:
    """A parameter that the schema allows but the template does not: its JSON Pointer from the parameters, and the reason."""

    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class Call:
    """An address that a run calls: its JSON Pointer from the parameters, the address, and the name of the HTTP connection for the call
    (None for a call without a connection)."""

    pointer: str
    url: str
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A program of this machine that a run starts: its JSON Pointer from the parameters, and its path."""

    pointer: str
    path: str


@dataclass(frozen=True, slots=True)
class Commands:
    """What the settings let jobs start: paths of programs, and folders in which these may work. Without programs, jobs start none."""

    programs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a run: `message` is for people; `data` (JSON values) is for programs and becomes the `result` of the execution."""

    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deferred:
    """What `run` returns if another program goes on with the work and will report to `RunContext.callback` how it ended.

    No process waits for that report. The program must be heard of at least every `heartbeat_seconds`; otherwise the attempt ends as that of
    a lost worker.
    """

    heartbeat_seconds: float


@dataclass(frozen=True, slots=True)
class CallbackAddress:
    """Where another program reports about this attempt: `url` is the base address of the reports and contains the secret `token`."""

    url: str
    token: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where this attempt goes: the base address of an instance of the service, and the id of the instance ("" if it has none)."""

    address: str
    instance: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionGrant:
    """A connection that this attempt may use: its kind and its decrypted settings."""

    name: str
    kind: str
    settings: Mapping[str, Any]


class ProgressSink(Protocol):
    """Takes progress: writes it to the pipe to the runner, or to a list in a test."""

    def __call__(self, done: int, total: int | None, note: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Everything that a run may use. A template opens nothing else.

    `now` is when the execution began (aware, UTC). It is the same in each attempt, so that relative dates do not move with a retry; in a
    backfill, it is the due time of the run. `idempotency_key` is the same in each attempt of one execution. `files` is a folder for this
    attempt alone, which is removed after it. `allowed_hosts` are private hosts that outgoing calls may reach, as `host` or `host:port`.
    `commands` says which programs the run may start. `own` describes what belongs to Jobwright itself; the functions that open connections
    refuse that. `triggered_by` and `triggered_by_user` say what caused the execution, and who. The attempt is stopped after
    `timeout_seconds`. `route` and `callback` are for templates that call a service (see `JobTemplate.calls_service`): where the call goes,
    and where the service reports if the template returns Deferred. Each is None if there is none. `correlation_id` ties the run to what
    caused it, and `traceparent` is its span in a trace (W3C Trace Context), or empty; calls to others carry both (`trace_headers`).
    `calls` takes down the calls over HTTP that connections make; None if nobody records the trace.
    """

    log: logging.Logger
    execution_id: str
    attempt: int
    now: datetime
    files: Path
    grants: Mapping[str, ConnectionGrant] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    commands: Commands = field(default_factory=Commands)
    own: Own = field(default_factory=Own)
    triggered_by: str = ""
    triggered_by_user: str | None = None
    timeout_seconds: float = 3600.0
    route: Route | None = None
    callback: CallbackAddress | None = None
    correlation_id: str = ""
    traceparent: str = ""
    calls: CallNotes | None = None
    report: ProgressSink = lambda done, total, note: None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def idempotency_key(self) -> str:
        """The id of the execution. The receiver of a call may drop a second call with the same key."""
        return self.execution_id

    @property
    def trace_headers(self) -> dict[str, str]:
        """Headers for calls and messages to others: X-Request-Id with the correlation id, and `traceparent` if there is a trace."""
        headers = {"X-Request-Id": self.correlation_id or self.execution_id}
        return {**headers, "traceparent": self.traceparent} if self.traceparent else headers

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Reports how far the run is. This is cheap and may be called as often as needed."""
        self.report(done, total, note)

    def connection(self, name: str, kind: str) -> ConnectionGrant:
        """Returns the granted connection `name`.

        Raises TemplateError (permanent) if it was not granted or is of another kind.
        """
        grant = self.grants.get(name)
        if grant is None:
            raise TemplateError(say("There is no connection {name!r} for this run", name=name), permanent=True)
        if grant.kind != kind:
            raise TemplateError(
                say("Connection {name!r} is of kind {grant}, not {kind}", name=name, grant=grant.kind, kind=kind), permanent=True
            )
        return grant

    def cancelled(self) -> bool:
        """Returns whether somebody asked this run to stop, or its time is up."""
        return self.stop.is_set()

    def check_cancelled(self) -> None:
        """Marks a safe point: raises Cancelled if somebody asked this run to stop."""
        if self.stop.is_set():
            raise Cancelled()


class JobTemplate(ABC):
    """A template: its name, its parameters (`parameters_schema`, JSON Schema 2020-12), and the code of its jobs."""

    type: ClassVar[str]
    version: ClassVar[int] = 1
    name: ClassVar[str]
    description: ClassVar[str]
    category: ClassVar[str]
    icon: ClassVar[str]
    risk_level: ClassVar[Risk] = "low"
    destructive: ClassVar[bool] = False
    estimated_duration: ClassVar[str] = "seconds"
    resource_usage: ClassVar[Risk] = "low"
    #: `process`: each attempt has its own process. `reused`: attempts run one after the other in a warm process, which ends after an
    #: attempt that failed, was stopped or left something behind. This is for templates with many short runs that keep nothing in memory.
    isolation: ClassVar[Isolation] = "process"
    #: False for a template that makes no calls: its processes have no network if the kernel supports that.
    network: ClassVar[bool] = True
    parameters_schema: ClassVar[Mapping[str, Any]]
    #: The parameter that names the connection of the service which does the work; "" for a template that calls no registered service. Its
    #: attempts get a route and a callback, wait if no instance of the service can take them, and may return Deferred.
    calls_service: ClassVar[str] = ""
    #: False for a template whose jobs come from elsewhere: people cannot choose it for a new job.
    listed: ClassVar[bool] = True
    #: The setting without which the template is off: while it is empty, people cannot choose the template. "" for no such setting.
    needs_setting: ClassVar[str] = ""
    #: Pure functions that convert parameters of one `version` to the next one, by the older version: `{1: from_1_to_2}`. Sealed secrets
    #: pass through unchanged. Leave a version out if nothing has to be converted; the defaults of the schema are filled in anyway.
    migrations: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}

    #: A template that changes things defines this: it reports what a run would do, and changes nothing.
    preview: ClassVar[Callable[..., JobResult] | None] = None

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:  # noqa: ARG002 - for kinds to override
        """Returns problems that the schema cannot find, in `params` that already satisfy it. Pure: opens no connection."""
        return ()

    def calls(self, params: Mapping[str, Any]) -> Iterable[Call]:  # noqa: ARG002 - for kinds to override
        """Returns the HTTP addresses that a run with `params` calls, so that people are warned of addresses that no run can reach. Pure."""
        return ()

    def programs(self, params: Mapping[str, Any]) -> Iterable[Program]:  # noqa: ARG002 - for kinds to override
        """Returns the programs that a run with `params` starts, so that people are warned of programs that no run may start. Pure."""
        return ()

    def insist(self, params: Mapping[str, Any]) -> None:
        """Raises TemplateError (permanent) with the first problem that `check` finds. `run` calls this, because its caller may not have
        checked the parameters."""
        for problem in self.check(params):
            raise TemplateError(say("{pointer}: {message}", pointer=problem.pointer, message=problem.message), permanent=True)

    def warm(self) -> None:
        """Imports modules that a run needs but the service does not. Called once, in the parent of the job processes."""
        return

    def asynchronous(self) -> bool:
        """Returns whether `run` is a coroutine function."""
        return inspect.iscoroutinefunction(self.run)

    @abstractmethod
    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult | Deferred | Awaitable[JobResult]:
        """Does the work of one run and returns its result. Raises TemplateError if the reason of a failure is known."""
