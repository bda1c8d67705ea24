"""Requests that wait for an execution: for its end, or for its events. They hold no thread while they wait (app.pauses)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, g, request

from app.api.auth import Caller, caller_of
from app.api.current import services
from app.api.problems import problem_of
from app.clock import Clock
from app.config import Settings
from app.correlation import current_id
from app.execution.history import History
from app.pauses import growing, is_ending, pausing
from app.queue.execution import Execution

PLACES = "jobwright.waiting"  # in `app.extensions`
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 0.5

Show = Callable[[Execution], Response]


class WaitingPlaces:
    """Counts the requests of this process that wait for executions: all of them, and those of each account."""

    def __init__(self, settings: Settings) -> None:
        self._most = min(settings.web_waits, settings.web_connections // 2)  # other clients need connections, too
        self._most_of_account = settings.web_waits_per_account
        self._lock, self._taken = threading.Lock(), Counter[str]()

    def take(self, account_id: str) -> Callable[[], None] | None:
        """Takes a place for one request of an account. Returns what gives it back, which may be called twice; None if none is left."""
        with self._lock:
            if self._taken.total() >= self._most or self._taken[account_id] >= self._most_of_account:
                return None
            self._taken[account_id] += 1
        held = [account_id]

        def give_back() -> None:
            with self._lock:
                if held:
                    self._taken[held.pop()] -= 1

        return give_back


def places() -> WaitingPlaces:
    """Returns the places of the application that answers this request."""
    taken: WaitingPlaces = current_app.extensions[PLACES]
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, kept for the time after its thread has gone on to others."""

    app: Flask
    environ: dict[str, Any]
    correlation_id: str
    caller: Caller

    @classmethod
    def now(cls) -> Asked:
        """Returns the request at hand."""
        # A Flask object, not the proxy of it, which is empty outside of a request.
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        return cls(app=app, environ=request.environ, correlation_id=current_id(), caller=caller_of(request))

    @contextmanager
    def again(self) -> Iterator[None]:
        """Makes it the request at hand again."""
        with self.app.request_context(self.environ):
            g.correlation_id, g.actor = self.correlation_id, self.caller.known
            yield


class AnswerLater(Response):
    """An answer whose status and body are known only after a wait. `result` yields pauses and returns the answer to give."""

    def __init__(self, result: Generator[bytes, None, Response]) -> None:
        super().__init__()
        self._result = result

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return self._answer(environ, start_response)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        answer = yield from pausing(environ, self._result)
        for name, value in self.headers:  # what the application adds to each answer
            if name not in {"Content-Type", "Content-Length"}:
                answer.headers.setdefault(name, value)
        yield from answer(environ, start_response)


def when_ended(execution: Execution, seconds: int, show: Show) -> Response:
    """Returns `show(execution)` of the execution as it is once it has ended, or after `seconds`.

    It does not wait if too many requests wait already, or if the server ends.
    """
    if not seconds or not execution.is_live:
        return show(execution)
    asked = Asked.now()
    wait = _wait(asked, execution, seconds, history=services().history, clock=services().clock, places=places())
    return AnswerLater(_shown(wait, asked, show))


def _shown(wait: Generator[bytes, None, Execution], asked: Asked, show: Show) -> Generator[bytes, None, Response]:
    try:
        execution = yield from wait
        with asked.again():
            return show(execution)
    except Exception as error:  # the caller may not see it any more, or the database is away
        with asked.again():
            return problem_of(error)


def _wait(
    asked: Asked, execution: Execution, seconds: int, *, history: History, clock: Clock, places: WaitingPlaces
) -> Generator[bytes, None, Execution]:
    give_back = places.take(asked.caller().id)
    if give_back is None:
        return execution
    try:
        end = clock.monotonic() + seconds
        for pause in growing(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS):
            yield pause
            execution = history.get(asked.caller(), execution.id)
            if not execution.is_live or clock.monotonic() >= end or is_ending(asked.environ):
                break
    finally:
        give_back()
    return execution
