"""Registers a service when it starts, and keeps Jobwright informed that this instance is online."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jobwright_client.jobs import Job
from jobwright_client.sender import log
from jobwright_client.settings import Settings
from jobwright_client.transport import Answer, NoAnswer, Transport, encoded, jittered, unix_now

TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 3.0
REFUSED_SECONDS = 60.0  # between tries after a refusal, which only a person can change


@dataclass(frozen=True)
class Source:
    """What the registration asks its service for: declared and retired jobs, the number of runs, and whether these are all its jobs."""

    jobs: Callable[[], Sequence[Job]]
    retired: Callable[[], Sequence[str]]
    running: Callable[[], int]
    complete: bool = True


class Registration:
    """The registration of one instance. `outcome` says in a word how it stands: `pending`, `registered`, or `refused: …`.

    `new_key` is called after each registration, with the signing key that Jobwright has made, or None.
    """

    def __init__(
        self,
        service: str,
        version: str,
        settings: Settings,
        transport: Transport,
        source: Source,
        *,
        new_key: Callable[[str | None], None],
    ) -> None:
        self.service = service
        self.version = version
        self.instance = f"{_host()[:60]}-{os.getpid()}-{os.urandom(3).hex()}"
        self.outcome = "pending"
        self.changes: dict[str, list[str]] = {}
        self._settings = settings
        self._transport = transport
        self._source = source
        self._new_key = new_key
        self._state = "ready"
        self._wake = threading.Event()
        self._stopped = False
        self._registered = threading.Event()
        self._answered = threading.Event()
        self._thread: threading.Thread | None = None

    # -- bodies ------------------------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """Returns the manifest: all jobs of the service."""
        body: dict[str, Any] = {"version": self.version, "ttlSeconds": self._settings.ttl_seconds, "onStale": self._settings.on_stale}
        if self._settings.address:
            body["address"] = self._settings.address
        return {**body, "jobs": [job.to_wire() for job in self._source.jobs()]}

    def job_list(self) -> list[dict[str, Any]]:
        """Returns the jobs for `POST /api/jobs/register`, which adds and changes jobs, and retires none."""
        where = {"serviceName": self.service, "serviceUrl": self._settings.address}
        return [{**where, **job.to_wire()} for job in self._source.jobs()]

    def heartbeat(self) -> dict[str, Any]:
        """Returns the heartbeat of this instance. It lists retired jobs as well, so that it is asked for them and can answer 410."""
        body: dict[str, Any] = {"instance": self.instance, "version": self.version, "state": self._state}
        if self._settings.instance_address:
            body["address"] = self._settings.instance_address
        names = [*(job.name for job in self._source.jobs()), *self._source.retired()]
        return {**body, "jobs": names, "running": self._source.running()}

    # -- requests ----------------------------------------------------------------------------------------------------

    def register(self) -> Answer:
        """Sends the manifest once, or the list of jobs of an incomplete service, and takes what the answer says. Raises NoAnswer."""
        if self._source.complete:
            return self._take(self._send("PUT", f"/api/services/{self.service}/manifest", self.manifest()))
        return self._take(self._send("POST", "/api/jobs/register", self.job_list()))

    def _take(self, answer: Answer) -> Answer:
        body = answer.json()
        if answer.status in {200, 201}:
            key = body.get("signingKey")
            self._new_key(key["secret"] if isinstance(key, dict) and isinstance(key.get("secret"), str) else None)
            self.changes = {name: body[name] for name in ("created", "updated", "unchanged", "retired") if isinstance(body.get(name), list)}
            if body.get("warnings"):
                log.warning("Jobwright says about the registration of %s: %s", self.service, body["warnings"])
            self.outcome = "registered"
            self._registered.set()
            self._answered.set()
        return answer

    def _send(self, method: str, path: str, body: object, timeout_seconds: float = TIMEOUT_SECONDS) -> Answer:
        headers = {"Authorization": f"Bearer {self._settings.token}", "Content-Type": "application/json"}
        return self._transport.send(method, f"{self._settings.url}{path}", headers, encoded(body), timeout_seconds)

    def _beat(self, timeout_seconds: float = TIMEOUT_SECONDS) -> Answer:
        return self._send("POST", f"/api/services/{self.service}/heartbeat", self.heartbeat(), timeout_seconds)

    # -- the thread --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts to register and to send heartbeats, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="jobwright-registration", daemon=True)
        self._thread.start()

    def wait(self, timeout_seconds: float) -> bool:
        """Waits until Jobwright has registered or refused the service. Returns whether it is registered."""
        self._answered.wait(timeout_seconds)
        return self._registered.is_set()

    def say(self, state: str) -> bool:
        """Sends a heartbeat with another state now, once, and returns whether Jobwright took it. An instance that stops waits no longer."""
        self._state = state
        if not self._registered.is_set():
            return False
        try:
            return self._beat(STOP_TIMEOUT_SECONDS).status == 200
        except NoAnswer as error:
            log.warning("Jobwright was not told that this instance is %s: %s", state, error)
            return False

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._stopped and self._register_with_retries():
            if not self._keep_online():
                return

    def _register_with_retries(self) -> bool:
        """Registers, however long that takes. Returns False if the instance stops before."""
        tries = 0
        while not self._stopped:
            tries += 1
            try:
                answer = self.register()
            except NoAnswer as error:
                wait = self._put_off(str(error), tries)
            except Exception:
                log.exception("Service %s could not be registered", self.service)
                wait = jittered(1, base_seconds=REFUSED_SECONDS)
            else:
                if answer.status in {200, 201}:
                    log.info("Service %s is registered with %s jobs", self.service, len(self._source.jobs()))
                    return True
                wait = self._judge(answer, tries)
            self._wake.wait(wait)
            self._wake.clear()
        return False

    def _judge(self, answer: Answer, tries: int) -> float:
        """Says in the log why the service is not registered. Returns after how many seconds to try again."""
        if answer.status >= 500 or answer.status in {408, 425, 429}:
            return max(self._put_off(answer.problem(), tries), answer.retry_after_seconds(unix_now()) or 0.0)
        self.outcome = f"refused: {answer.problem()}"
        advice = {401: "; check JOBWRIGHT_TOKEN", 403: "; the token needs the role admin and the scope services"}.get(answer.status, "")
        log.error("Jobwright refuses to register %s: %s%s", self.service, answer.problem(), advice)
        self._answered.set()
        return jittered(1, base_seconds=REFUSED_SECONDS)

    def _put_off(self, reason: str, tries: int) -> float:
        level = logging.WARNING if tries in {1, 10} or tries % 100 == 0 else logging.DEBUG
        log.log(level, "Service %s is not registered yet, and tries again: %s", self.service, reason)
        return jittered(tries)

    def _keep_online(self) -> bool:
        """Sends heartbeats. Returns whether the service must be registered again."""
        wait = 0.0
        while True:
            self._wake.wait(wait)
            self._wake.clear()
            if self._stopped:
                return False
            wait = self._settings.ttl_seconds / 3 * random.uniform(0.8, 1.0)
            try:
                answer = self._beat()
            except NoAnswer as error:
                log.warning("A heartbeat was not sent: %s", error)
                continue
            if answer.status == 404:
                self.outcome = "pending"
                self._registered.clear()
                return True
            if answer.status >= 400:
                log.warning("Jobwright does not take a heartbeat: %s", answer.problem())


def _host() -> str:
    """The name of this machine, without the module socket, which takes long to import."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "host")
