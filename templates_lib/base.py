"""What every kind of job is made of: JobTemplate, RunContext, JobResult, TemplateError."""

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

from templates_lib.own import Own

Risk = Literal["low", "medium", "high"]
Isolation = Literal["process", "reused"]


class TemplateError(Exception):
    """A failure that the template understands.

    `permanent` says that trying again cannot help (a refused parameter, a missing collection); the retry policy obeys it.
    `data` is what was achieved all the same; it becomes the execution's `result`.
    """

    def __init__(self, message: str, *, permanent: bool = False, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.data = dict(data or {})


class Cancelled(TemplateError):
    """Raised by `RunContext.check_cancelled` at a safe point; what was done so far stays done."""

    def __init__(self, message: str = "Stopped at a safe point") -> None:
        super().__init__(message, permanent=True)


@dataclass(frozen=True, slots=True)
class Problem:
    """A parameter that the schema allows and the template does not: JSON Pointer from the parameters, and why."""

    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class Call:
    """An address that a run calls: where it stands (JSON Pointer from the parameters), the address, and the HTTP connection that it goes
    through, None for none."""

    pointer: str
    url: str
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a run achieved: `message` for people, `data` (JSON values) for programs and the execution's `result`."""

    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectionGrant:
    """A connection that this attempt may use: its kind and its decrypted settings."""

    name: str
    kind: str
    settings: Mapping[str, Any]


class ProgressSink(Protocol):
    """Where progress goes: the pipe to the runner, or a list in a test."""

    def __call__(self, done: int, total: int | None, note: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """All that a run may touch. A template opens nothing that this did not give it.

    `now` is when the execution began (aware, UTC): the same in each attempt, so that relative dates do not move under
    a retry; of a backfill, the due time that it stands for. `idempotency_key` is the same for each attempt of one execution. `files` is
    a folder of this attempt's own, removed after it. `allowed_hosts` are private hosts that outgoing calls may reach, as `host` or
    `host:port`. `own` is what belongs to Jobwright itself; connections are opened by what refuses it.
    """

    log: logging.Logger
    execution_id: str
    attempt: int
    now: datetime
    files: Path
    grants: Mapping[str, ConnectionGrant] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    own: Own = field(default_factory=Own)
    report: ProgressSink = lambda done, total, note: None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def idempotency_key(self) -> str:
        """The execution's id: whoever receives our calls may drop a second one with the same key."""
        return self.execution_id

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Say how far the run is; cheap, call it as often as you like."""
        self.report(done, total, note)

    def connection(self, name: str, kind: str) -> ConnectionGrant:
        """The granted connection `name`.

        Raises TemplateError (permanent) where it was not granted or is of another kind.
        """
        grant = self.grants.get(name)
        if grant is None:
            raise TemplateError(f"There is no connection {name!r} for this run", permanent=True)
        if grant.kind != kind:
            raise TemplateError(f"Connection {name!r} is of kind {grant.kind}, not {kind}", permanent=True)
        return grant

    def cancelled(self) -> bool:
        """True once someone asked this run to stop, or its time is up."""
        return self.stop.is_set()

    def check_cancelled(self) -> None:
        """A safe point. Raises Cancelled once someone asked this run to stop."""
        if self.stop.is_set():
            raise Cancelled()


class JobTemplate(ABC):
    """A kind of job: what it is called, what it asks (`parameters_schema`, JSON Schema 2020-12) and what it does."""

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
    #: `process`: each attempt has a process of its own. `reused`: attempts follow each other in a warm process, which ends after any
    #: that failed, was stopped or left something behind; for kinds that are short, many, and keep nothing between two runs.
    isolation: ClassVar[Isolation] = "process"
    #: False for a kind that calls nothing: its processes have no network, where the kernel lets that be.
    network: ClassVar[bool] = True
    parameters_schema: ClassVar[Mapping[str, Any]]
    #: How parameters of an older `version` become those of the next, by the older: `{1: from_1_to_2}`. Pure. What is sealed passes
    #: through as it is. Where nothing has to become of them, leave the version out: the schema's defaults are filled in anyway.
    migrations: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}

    #: Set by a kind that changes things: says what a run would do, and changes nothing.
    preview: ClassVar[Callable[..., JobResult] | None] = None

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:  # noqa: ARG002 - for kinds to override
        """What the schema cannot say about `params`, which already satisfy it. Pure: no connection is opened."""
        return ()

    def calls(self, params: Mapping[str, Any]) -> Iterable[Call]:  # noqa: ARG002 - for kinds to override
        """The HTTP addresses that a run with `params` calls, so that people are warned of one that no run will reach. Pure."""
        return ()

    def insist(self, params: Mapping[str, Any]) -> None:
        """For `run`, which anyone may call: raises TemplateError (permanent) with the first thing that `check` finds."""
        for problem in self.check(params):
            raise TemplateError(f"{problem.pointer}: {problem.message}", permanent=True)

    def warm(self) -> None:
        """Import what a run needs and the service that lists this kind does not: done once, in the parent of its processes."""
        return

    def asynchronous(self) -> bool:
        """True where `run` is a coroutine function."""
        return inspect.iscoroutinefunction(self.run)

    @abstractmethod
    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult | Awaitable[JobResult]:
        """Do it. Return a JobResult or raise; TemplateError where the reason is known."""
