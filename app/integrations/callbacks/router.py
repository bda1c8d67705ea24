"""Chooses where attempts of registered jobs go, and hears how their calls went."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

from app.clock import Clock
from app.errors import JobwrightError
from app.events import get_logger
from app.integrations.callbacks.breakers import Breakers
from app.integrations.callbacks.endpoint import LastCall
from app.integrations.callbacks.route import Postpone, Target, origin_of
from app.integrations.callbacks.traced import span_of_call, spans_of_calls
from app.integrations.services.model import Service
from app.queue.model import Attempt, Outcome, Reason, Status
from app.traces.base import OFF, Traces
from templates_lib.messages import say
from templates_lib.service_protocol import HandlerGone, ServiceUnavailable

log = get_logger(__name__)

KNOWN_SECONDS = 1.0  # a service is read again after this time
NO_INSTANCE_AGAIN = timedelta(seconds=5)
SLOW_SECONDS = 1.0  # a call that takes longer is slow
BUSY_AGAIN, SLOW_AGAIN = timedelta(milliseconds=100), timedelta(seconds=1)
HELD_UP_SECONDS = 5.0  # the runs of a job are looked at again after this time, even if no call has ended
LONGEST_ERROR = 300
# The errors by which a template says that the service has answered.
_ANSWERED = {"TemplateError", HandlerGone.__name__}


@dataclass(frozen=True, slots=True)
class _Out:
    """A call that this node makes: to which endpoint of which service, and when it began, in seconds of the monotonic clock."""

    service: str
    origin: str
    began: float


@dataclass(frozen=True, slots=True)
class _HeldUp:
    """A job whose runs wait for room: on which endpoints, and until when at the longest, in seconds of the monotonic clock."""

    origins: frozenset[str]
    until: float


class ServiceRouter:
    """One node's router. It is called by the node's claims, one batch after the other, and hears of ends from any thread.

    Calls to one endpoint take at most `share` of the node's processes, so that a service that hangs leaves room for the others. An endpoint
    that is slow gets no further call while slow calls, to whatever endpoints, take so many.
    """

    def __init__(
        self,
        *,
        find: Callable[[str], Service | None],
        breakers: Breakers,
        retire: Callable[[str], object],
        clock: Clock,
        share: int,
        note: Callable[[float, str], None] = lambda seconds, result: None,
        traces: Traces = OFF,
    ) -> None:
        """`retire` takes the id of a job that its service does not have any more. `note` is told how long each call took, and whether the
        service `answered`, or `failed` as it is out of order."""
        self._note, self._traces = note, traces
        self._find, self._breakers, self._retire, self._clock, self._share = find, breakers, retire, clock, max(1, share)
        self._gone: set[str] = set()  # ids of jobs to retire
        self._known: dict[str, tuple[float, Service | None]] = {}
        self._out: dict[str, _Out] = {}  # by execution id
        self._held_up: dict[str, _HeldUp] = {}  # by job id

    def begin_batch(self, held: Collection[str]) -> None:
        """Attempts are about to be routed; `held` are the executions that this node has in hand. Calls of others are over."""
        for execution_id in [execution_id for execution_id in self._out.copy() if execution_id not in held]:
            self._over(execution_id)

    def held_up(self) -> Collection[str]:
        """Returns the jobs whose runs wait for room. They are left in the queue, so that claims reach the runs of other jobs."""
        now = self._clock.monotonic()
        return [job_id for job_id, held_up in self._held_up.copy().items() if now < held_up.until]

    def route(self, attempt: Attempt, *, service: str, job_name: str, address: str) -> Target | Postpone:
        """Returns where an attempt goes: to an instance of the service that offers the job, or to the address of a service without
        instances. Returns why and how long it has to wait if none can take it."""
        now = self._clock.now()
        record = self._read(service)
        online = record.online(now) if record else []
        able = record.able(job_name, now) if record else []
        if online and not able:
            words = say("No instance of {service} declares {job}", service=service, job=job_name)
            return Postpone(reason=Reason.NO_INSTANCE, until=now + NO_INSTANCE_AGAIN, words=words)
        targets = [Target(instance.address or address, instance.id) for instance in able] or [Target(address)]
        random.shuffle(targets)
        targets.sort(key=lambda target: self._breakers.failed_lately(service, origin_of(target.address)))
        waits = []
        for target in targets:
            origin = origin_of(target.address)
            busy = self._busy(origin)
            if busy is not None:
                waits.append(Postpone(reason=Reason.SERVICE_BUSY, until=now + busy, words="", counts=False))
                continue
            until = self._breakers.blocked_until(service, origin, timeout_seconds=attempt.timeout_seconds)
            if until is None:
                self._out[attempt.execution_id] = _Out(service, origin, self._clock.monotonic())
                return target
            words = say("The circuit breaker of {address} is open: calls to {service} failed", address=origin, service=service)
            waits.append(Postpone(reason=Reason.CIRCUIT_OPEN, until=until, words=words))
        if all(wait.reason is Reason.SERVICE_BUSY for wait in waits):
            origins = frozenset(origin_of(target.address) for target in targets)
            self._held_up[attempt.job_id] = _HeldUp(origins, self._clock.monotonic() + HELD_UP_SECONDS)
        return min(waits, key=lambda wait: wait.until)

    def hear(self, attempt: Attempt, outcome: Outcome) -> None:
        """An attempt has ended, or was deferred: its call is over."""
        if outcome.error is not None and outcome.error.type == HandlerGone.__name__:
            self._gone.add(attempt.job_id)
        out = self._over(attempt.execution_id)
        succeeded = _answered(outcome)
        if out is not None and self._traces.on and outcome.began_at is not None:  # without it, no process has made the call
            self._traces.write(span_of_call(attempt, outcome, out.origin, self._traces))
        for span in spans_of_calls(attempt, outcome, self._traces) if self._traces.on else ():
            self._traces.write(span)
        if out is None or succeeded is None:
            return
        self._note(outcome.seconds, "answered" if succeeded else "failed")
        error = None if succeeded or outcome.error is None else _shortened(outcome.error.message)
        self._breakers.note(
            out.service,
            out.origin,
            LastCall(
                at=self._clock.now(),
                succeeded=succeeded,
                seconds=outcome.seconds,
                error=error,
                execution_id=attempt.execution_id,
                job_name=attempt.job_name,
            ),
        )

    def flush(self) -> None:
        """Write how calls went, for all nodes, and retire the jobs that are gone. A job that could not be retired is found gone again at
        its next run."""
        self._breakers.flush()
        while self._gone:
            job_id = self._gone.pop()
            try:
                self._retire(job_id)
            except JobwrightError as error:  # somebody has changed or deleted it meanwhile
                log.warning("handler.not_retired", job=job_id, reason=error.detail)

    def _over(self, execution_id: str) -> _Out | None:
        """The call for an execution is over: there is room for one more, at this endpoint, and at each one that is slow if it was slow."""
        out = self._out.pop(execution_id, None)
        if out is not None:
            was_slow = self._clock.monotonic() - out.began > SLOW_SECONDS
            for job_id in [job_id for job_id, item in self._held_up.copy().items() if was_slow or out.origin in item.origins]:
                self._held_up.pop(job_id, None)
        return out

    def _busy(self, origin: str) -> timedelta | None:
        """How long to wait until the calls that are out may leave room for one more; None if there is room."""
        now, out = self._clock.monotonic(), list(self._out.values())
        same, slow = [call for call in out if call.origin == origin], [call for call in out if now - call.began > SLOW_SECONDS]
        if len(slow) >= self._share and any(call.origin == origin for call in slow):
            return SLOW_AGAIN
        return BUSY_AGAIN if len(same) >= self._share else None

    def _read(self, name: str) -> Service | None:
        at, service = self._known.get(name, (float("-inf"), None))
        if self._clock.monotonic() - at > KNOWN_SECONDS:
            service = self._find(name)
            self._known[name] = self._clock.monotonic(), service
        return service


def _answered(outcome: Outcome) -> bool | None:
    """Whether the service has answered a call, or is out of order; None for an end that says neither."""
    if outcome.status is Status.SUCCESS or outcome.deferral is not None:
        return True
    if outcome.status is Status.TIMEOUT:
        return False
    if outcome.status is not Status.FAILED or outcome.error is None:
        return None
    if outcome.error.type == ServiceUnavailable.__name__:
        return False
    return True if outcome.error.type in _ANSWERED else None


def _shortened(text: str) -> str:
    """Returns a text of at most LONGEST_ERROR characters: itself, with the parts that it can be translated by, if it is short enough."""
    return text if len(text) <= LONGEST_ERROR else text[:LONGEST_ERROR]
