"""A service: its jobs, its calls, its registration. This is what a program creates."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from jobwright_client.calls import Refused, Request, Response, job_of, read_call
from jobwright_client.errors import DeclarationError
from jobwright_client.jobs import NAME, NAME_WORDS, Job, JobFunction, JobOptions, OptionsByName, ScheduledJob, declare, declare_class
from jobwright_client.registration import Registration, Source
from jobwright_client.runs import Run, Runs
from jobwright_client.sender import Sender, log
from jobwright_client.settings import Settings
from jobwright_client.signatures import Keys
from jobwright_client.state import FileState, MemoryState, State
from jobwright_client.transport import Transport, UrllibTransport, unix_now

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from jobwright_client.asgi import AsgiApp
    from jobwright_client.wsgi import WsgiApp

FunctionT = TypeVar("FunctionT", bound=JobFunction)

FLUSH_SECONDS = 3.0
UNKNOWN_SECONDS = 10  # Retry-After for a job that another version of this service may have
# How long calls that were on their way are still taken after Jobwright has heard that no more may come; at most a fifth of the grace.
# Each node of Jobwright reads the instances of a service once a second, and then needs a moment to start a run.
LINGER_SECONDS = 3.0


class Service:
    """The jobs of one service, and all that connects them with Jobwright.

    `name` is the name of the service in Jobwright, and `version` that of its code. Without `settings`, those of the environment are taken.
    `complete=False` is for a program that holds only some of the jobs of its service: its registration retires no other jobs.
    `transport`, `state` and `clock` are for tests.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0",
        complete: bool = True,
        settings: Settings | None = None,
        transport: Transport | None = None,
        state: State | None = None,
        clock: Callable[[], float] = unix_now,
    ) -> None:
        if NAME.fullmatch(name) is None:
            raise DeclarationError(f"Service {name!r}: {NAME_WORDS}")
        self.name = name
        self.version = version
        self.complete = complete
        self.jobs: dict[str, Job] = {}
        self._retired: set[str] = set()
        self.connect(settings if settings is not None else Settings.from_environment(), transport=transport, state=state, clock=clock)

    def connect(
        self,
        settings: Settings,
        *,
        transport: Transport | None = None,
        state: State | None = None,
        clock: Callable[[], float] = unix_now,
    ) -> None:
        """Connects the service with another Jobwright. Tests use this. A service that has started must be drained first."""
        self.settings = settings
        self._clock = clock
        self._transport = transport or UrllibTransport()
        self._state = state or (FileState(settings.state_path, clock) if settings.state_path else MemoryState(clock))
        self._keys = Keys(settings.signing_keys or filter(None, [self._state.signing_key()]))
        self._sender = Sender(self._transport, lambda: self._keys, self._state, clock)
        self.runs = Runs(self._state, self._sender, most_running=settings.most_running)
        self.registration = self._new_registration()
        self._started_in: int | None = None
        self._draining = threading.Lock()
        self._drained = threading.Event()

    # -- jobs --------------------------------------------------------------------------------------------------------

    def job(self, name: str, options: JobOptions | None = None, **values: Unpack[OptionsByName]) -> Callable[[FunctionT], FunctionT]:
        """Declares the decorated function as a job. Options are those of JobOptions, given as one or by their names.

        `@service.job("weekly-digest", cron="0 9 * * MON")`
        """

        def declared(function: FunctionT) -> FunctionT:
            if options is not None and values:
                raise DeclarationError(f"Job {name}: give JobOptions or options by their names, not both")
            try:
                chosen = options or JobOptions(**values)
            except TypeError as error:
                raise DeclarationError(f"Job {name}: {error}") from error
            self._add(declare(name, function, chosen))
            return function

        return declared

    def add(self, *jobs: ScheduledJob) -> None:
        """Declares jobs that are classes."""
        for job in jobs:
            self._add(declare_class(job))

    def retire(self, *names: str) -> None:
        """Answers calls of these jobs with 410, so that Jobwright retires them.

        A complete service does not need this, because its registration retires what it no longer declares. It is for `complete=False`.
        """
        self._retired.update(names)

    def _add(self, job: Job) -> None:
        if job.name in self.jobs:
            raise DeclarationError(f"Job {job.name} is declared twice")
        self.jobs[job.name] = job

    # -- calls -------------------------------------------------------------------------------------------------------

    def begin(self, request: Request) -> Run | Response:
        """Takes a call: returns its run, or its answer where there is nothing to wait for. Adapters use this."""
        name = job_of(request.path) or ""
        try:
            call = read_call(request, name, self._keys if self.settings.verify else None, self._clock())
            return self.runs.begin(self._job(name), call)
        except Refused as refusal:
            log.info("A call of %s is refused: %s", name, refusal)
            return refusal.response
        except Exception:
            log.exception("A call of %s could not be taken", name)
            return Response(500, {"error": "The service could not take the call"})

    def handle(self, request: Request) -> Response:
        """Answers a call. This waits for the work where the call has no callback, and else at most `answer_within_seconds`."""
        begun = self.begin(request)
        if isinstance(begun, Response):
            return begun
        begun.done.wait(begun.wait_seconds())
        begun.accept()
        return begun.answer()

    def _job(self, name: str) -> Job:
        if name in self.jobs:
            return self.jobs[name]
        if name in self._retired:
            raise Refused(410, f"The job {name} does not exist any more")
        raise Refused(425, f"This instance does not have the job {name}", retry_after_seconds=UNKNOWN_SECONDS)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self, *, wait_seconds: float = 0.0) -> bool:
        """Registers the service and begins to send what is owed, in threads of this process. Call it in each process that serves.

        A Jobwright that is away, or that refuses, is tried again for as long as the process lives; the log says why. `wait_seconds` waits
        that long for the first answer. Returns whether the service is registered by then.
        """
        if self._started_in == os.getpid():
            return self.registration.wait(wait_seconds)
        if self._started_in is not None:
            self.registration = self._new_registration()  # this process was forked from one that had started
        self._started_in = os.getpid()
        self._sender.start()
        if self.settings.url:
            self.registration.start()
            return self.registration.wait(wait_seconds)
        log.warning("Service %s does not register, because JOBWRIGHT_URL is not set", self.name)
        return False

    def drain(self, grace_seconds: float | None = None) -> None:
        """Stops in an orderly way: tells Jobwright, takes no new work, and finishes its runs within the grace or hands them back.

        Jobwright is told first, so that no call is refused that it makes in the meantime.
        """
        grace = self.settings.grace_seconds if grace_seconds is None else grace_seconds
        with self._draining:
            if self._drained.is_set():
                return
            self.registration.stop()
            if self.registration.say("draining"):
                time.sleep(min(LINGER_SECONDS, grace / 5))
            self.runs.drain(grace)
            self._sender.stop(FLUSH_SECONDS)
            self.registration.say("stopped")
            self._drained.set()

    def drain_on_sigterm(self) -> None:
        """Drains when the process is asked to end; then what would have happened without this happens. A second SIGTERM does not wait.

        Call it in the main thread; elsewhere it does nothing. `asgi` calls it by itself.
        """
        import signal

        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGTERM)
        if getattr(before, "__module__", None) == "asyncio.unix_events":
            return  # the event loop hears of the signal by itself, and cannot be made to wait

        def drain_and_pass_on() -> None:
            try:
                self.drain()
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        def on_sigterm(_number: int, _frame: object) -> None:
            signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
            threading.Thread(target=drain_and_pass_on, name="jobwright-drain").start()

        signal.signal(signal.SIGTERM, on_sigterm)

    # -- adapters ----------------------------------------------------------------------------------------------------

    def wsgi(self, app: WsgiApp | None = None) -> WsgiApp:
        """Returns a WSGI application that takes the calls of Jobwright and passes all other requests on to `app`."""
        from jobwright_client.wsgi import wsgi_app

        return wsgi_app(self, app)

    def asgi(self, app: AsgiApp | None = None) -> AsgiApp:
        """Returns an ASGI application that takes the calls of Jobwright and passes all other requests on to `app`.

        It starts the service when the server starts, and drains it when the server stops.
        """
        from jobwright_client.asgi import asgi_app

        return asgi_app(self, app)

    def serve(self, port: int, host: str = "127.0.0.1") -> None:
        """Serves the service alone with a server of the standard library, until SIGTERM or Ctrl-C. It is for development."""
        from jobwright_client.wsgi import serve

        serve(self, host, port)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _new_registration(self) -> Registration:
        return Registration(
            self.name,
            self.version,
            self.settings,
            self._transport,
            Source(
                jobs=lambda: list(self.jobs.values()),
                retired=lambda: sorted(self._retired - self.jobs.keys()),
                running=lambda: len(self.runs),
                complete=self.complete,
            ),
            new_key=self._take_key,
        )

    def _take_key(self, key: str | None) -> None:
        """Uses the key that Jobwright has made for this service, if the settings have none. It makes one only for a new service."""
        if key is None:
            if self.settings.verify and not self._keys:
                log.error(
                    "Service %s has no signing key, so it refuses every call. Rotate its signing key in Jobwright, and give the new key to"
                    " it in JOBWRIGHT_SIGNING_KEYS",
                    self.name,
                )
            return
        if self.settings.signing_keys:
            log.warning("Jobwright has a new signing key for %s, but JOBWRIGHT_SIGNING_KEYS is set; rotate the key to see one", self.name)
            return
        self._keys = Keys([key])
        self._state.signing_key(key)
        if not self.settings.state_path:
            log.warning(
                "The signing key of %s is in memory only. Set JOBWRIGHT_STATE to keep it, or rotate it and set JOBWRIGHT_SIGNING_KEYS",
                self.name,
            )
