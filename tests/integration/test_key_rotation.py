"""The key of an installation is replaced while its processes run, as docs/how-to/rotate-keys.md says: no request fails meanwhile."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.integrations.callbacks.tokens import CallbackTokens
from app.keys import KeyRing
from tests.support import ADMIN, KEY, OTHER_KEY, PASSWORD, Service, eventually

# What each phase sets: the new key is known everywhere before anything is signed with it.
PHASES = ((KEY, ""), (KEY, OTHER_KEY), (OTHER_KEY, KEY), (OTHER_KEY, ""))
HOOK_KEY = secrets.token_hex(20)


@dataclass
class Site:
    """Two web servers and a scheduler. `turn` yields a web server that takes requests, each time another one."""

    uri: str
    database: str
    folder: Path
    services: dict[str, Service] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    turns: int = 0

    def start(self, name: str, phase: tuple[str, str]) -> None:
        keys = {"JOBWRIGHT_SECRET_KEY": phase[0], "JOBWRIGHT_OLD_SECRET_KEYS": phase[1], "JOBWRIGHT_PROBE_SECONDS": "3600"}
        role = "scheduler" if name == "scheduler" else "web"
        data = self.folder / name
        self.services[name] = Service(role, uri=self.uri, database=self.database, data_dir=data, warm=True, **keys).wait_ready()
        if role == "web":
            with self.lock:
                self.open.append(name)

    def roll(self, phase: tuple[str, str]) -> None:
        """Restarts one process after the other, as a proxy does: no new request goes to the one that stops."""
        for name in list(self.services):
            with self.lock:
                if name in self.open:
                    self.open.remove(name)
            assert self.services[name].stop() == 0
            self.start(name, phase)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Sends a request to the next web server. It is not stopped meanwhile."""
        with self.lock:
            self.turns += 1
            address = self.services[self.open[self.turns % len(self.open)]].address
            return httpx.request(method, f"{address}{path}", timeout=60, **options)


class Caller:
    """One after the other, each kind of request that rests on the key; what fails is kept."""

    def __init__(self, site: Site, *, cookies: dict[str, str], token: str, job: str, hook: str, page: str) -> None:
        self._site, self._cookies, self._token, self._job, self._hook = site, cookies, token, job, hook
        self._page = page  # a form that was fetched before the rotation
        self.failed: list[str] = []
        self.done: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        calls: tuple[Callable[[], tuple[bool, str]], ...] = (self._see_page, self._post_old_form, self._start_run, self._deliver)
        while not self._stop.is_set():
            for call in calls:
                try:
                    good, said = call()
                except Exception as error:
                    good, said = False, repr(error)
                self.done[call.__name__] += 1
                if not good:
                    self.failed.append(f"{call.__name__}: {said}")

    def _see_page(self) -> tuple[bool, str]:
        answer = self._site.request("GET", "/account", cookies=self._cookies)
        return answer.status_code == 200, f"{answer.status_code} {answer.headers.get('location')}"

    def _post_old_form(self) -> tuple[bool, str]:
        form = {"csrf_token": self._page, "zone": "", "language": "en"}
        answer = self._site.request("POST", "/account/reading", data=form, cookies=self._cookies)
        return answer.status_code == 302 and answer.headers["location"].endswith("/account"), f"{answer.status_code} {answer.text[:500]}"

    def _start_run(self) -> tuple[bool, str]:
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = self._site.request("POST", f"/api/admin/scheduler-jobs/{self._job}/run", json={}, headers=headers)
        return answer.status_code == 202, f"{answer.status_code} {answer.text[:300]}"

    def _deliver(self) -> tuple[bool, str]:
        body = json.dumps({"n": secrets.token_hex(8)}).encode()
        signature = hmac.new(HOOK_KEY.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
        answer = self._site.request("POST", self._hook, content=body, headers=headers)
        return answer.status_code == 202, f"{answer.status_code} {answer.text[:300]}"


@pytest.fixture
def site(mongod: str, database_name: str, tmp_path: Path) -> Any:
    made = Site(mongod, database_name, tmp_path)
    for name in ("scheduler", "web-1", "web-2"):
        made.start(name, PHASES[0])
    yield made
    for service in made.services.values():
        service.stop()


def signed_in(service: Service) -> tuple[dict[str, str], str]:
    """The cookies of a session, and the token of a form that it was shown."""
    with httpx.Client(base_url=service.address, timeout=60) as browser:
        form = _csrf(browser.get("/sign-in").text)
        answer = browser.post("/sign-in", data={"csrf_token": form, "email": ADMIN, "password": PASSWORD})
        assert answer.status_code == 302
        form = _csrf(browser.get("/account").text)
        return dict(browser.cookies), form


def _csrf(page: str) -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', page)[1]  # type: ignore[index]


def test_no_request_fails_while_the_key_is_replaced(site: Site) -> None:
    web = site.services["web-1"]
    cookies, page = signed_in(web)
    with web.api() as client:
        body = {"name": "j", "template_type": "noop", "parameters": {"secret": "canary"}, "overlap": "queue"}
        job = client.post("/api/admin/scheduler-jobs", json=body).raise_for_status().json()["job"]["_id"]
        hook = {"name": "h", "proof": "github", "key": HOOK_KEY}
        made = client.post(f"/api/admin/scheduler-jobs/{job}/inbound", json=hook).raise_for_status().json()
    address = next(part for part in re.findall(r"/api/inbound/[^\"\s]+", json.dumps(made)))
    token = web.token()
    with Caller(site, cookies=cookies, token=token, job=job, hook=address, page=page) as caller:
        for phase in PHASES[1:3]:
            site.roll(phase)
            _go_on(caller)
        assert "connections: 0" in site.services["web-2"].command("secrets", "reseal")
        _go_on(caller)
    assert caller.failed == []
    with site.services["web-1"].api() as client:
        ended = eventually(lambda: _all_ended(client))
    assert set(ended) == {"success"}
    doctor = site.services["web-1"].command("doctor")
    assert "earlier key" not in doctor
    # Without the old key, nothing that is stored is lost. What was signed with it is not valid any more.
    site.roll(PHASES[3])
    with site.services["web-2"].api() as client:
        client.post(f"/api/admin/scheduler-jobs/{job}/run", json={}).raise_for_status()
        assert set(eventually(lambda: _all_ended(client))) == {"success"}
    assert site.request("GET", "/account", cookies=cookies).status_code == 302


def _go_on(caller: Caller) -> None:
    before = min(caller.done.values(), default=0)
    eventually(lambda: len(caller.done) == 4 and min(caller.done.values()) > before + 2)


def _all_ended(client: httpx.Client) -> Counter[str] | None:
    items = client.get("/api/admin/job-executions", params={"limit": 200}).raise_for_status().json()["executions"]
    statuses = Counter(row["status"] for row in items)
    return statuses if items and not {"queued", "running", "retrying"} & set(statuses) else None


def test_the_address_of_a_running_call_stays_valid_while_the_key_is_replaced() -> None:
    """A service may report for hours after it was called: with the token of any phase, to any process of the same or the next one."""
    rings = [CallbackTokens(KeyRing(key, tuple(filter(None, [old])))) for key, old in PHASES]
    attempt: Any = type("Attempt", (), {"execution_id": "e", "number": 1, "token": 2})()
    for maker, readers in ((0, (0, 1, 2)), (1, (0, 1, 2)), (2, (1, 2, 3)), (3, (2, 3))):
        token = rings[maker].make(attempt)
        assert all(rings[reader].read(token) for reader in readers)
    assert rings[3].read(rings[0].make(attempt)) is None
