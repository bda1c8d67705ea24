"""What can be known when a job is saved to fail each of its runs: told as a warning by every face, and never a reason to refuse it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.config import Settings
from app.doctor import Doctor
from app.factory import Store, build_services
from app.findings import Level
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from templates_lib import net
from templates_lib.connections import KINDS
from tests.conftest import Api
from tests.posting import post, text

JOBS = "/api/admin/scheduler-jobs"
UNKNOWN, PRIVATE = "http://no-such-host.invalid/", "http://127.0.0.1:9/"


def webhook(url: str, name: str = "hook", **more: Any) -> dict[str, Any]:
    return {"name": name, "template_type": "webhook_trigger", "parameters": {"url": url}, **more}


def pointers(answer: Any) -> list[str]:
    return [one["pointer"] for one in answer.json["warnings"]]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (UNKNOWN, "cannot be resolved"),
        (f"http://{'a' * 64}.example/", "cannot be resolved"),
        (PRIVATE, "127.0.0.1 is a private or local address"),
        ("http://localhost/", "private or local"),
        ("https://169.254.169.254/latest/meta-data/", "169.254.169.254"),
        ("http://10.0.0.1/", "10.0.0.1"),
        ("http://[::1]:8080/", "::1"),
        ("http://0x7f000001/", "private or local"),
        ("http://[::ffff:10.0.0.1]/", "private or local"),
        ("http://1.1.1.1/", ""),
        ("http://[2606:4700:4700::1111]/", ""),
    ],
)
def test_an_address_that_no_run_will_reach(api: Api, url: str, words: str) -> None:
    answers = [api("POST", f"{JOBS}/validate", webhook(url)), api("POST", JOBS, webhook(url))]
    job = answers[1].json["job"]["_id"]
    answers += [api("PUT", f"{JOBS}/{job}", {"description": "x"}), api("POST", f"{JOBS}/{job}/enable")]
    for answer in answers:
        assert answer.status_code in {200, 201}, answer.json
        assert pointers(answer) == (["/parameters/url"] if words else [])
        assert words in json.dumps(answer.json["warnings"])


@pytest.mark.parametrize("url", ["http://xn--.invalid/", "http://xn--a/"])
def test_a_host_that_is_no_name_is_refused(api: Api, url: str) -> None:
    answer = api("POST", JOBS, webhook(url))
    assert (answer.status_code, [one["pointer"] for one in answer.json["errors"]]) == (422, ["/parameters/url"])
    assert not KINDS["http"].reaches({"hosts": ["a"], "plain": True, "proof": "none"}, url)


def test_hosts_that_are_allowed_are_not_warned_of(store: Store, settings: Settings, catalogue: Catalogue, super_admin: Actor) -> None:
    for allowed, warned in (
        ((), True),
        (("127.0.0.1",), False),
        (("127.0.0.1:9",), False),
        (("127.0.0.1:8",), True),
        (("LOCALHOST",), True),
    ):
        services = build_services(replace(settings, allowed_hosts=allowed), store, catalogue=catalogue)
        found = services.outlook.warnings(services.jobs.validate(super_admin, webhook(PRIVATE)))
        assert bool(found) is warned, allowed


def test_a_connection_says_which_hosts_and_may_not_reach_one(services: Services, super_admin: Actor) -> None:
    services.connections.create(
        super_admin, name="api", kind="http", settings={"hosts": ["127.0.0.1:9", "no-such-host.invalid"], "plain": True, "proof": "none"}
    )
    checks = [{"url": one} for one in (PRIVATE, UNKNOWN, "http://127.0.0.1:10/", "https://127.0.0.1:9/")]
    body = {"name": "c", "template_type": "http_health_check", "parameters": {"connection": "api", "checks": checks}}
    found = services.outlook.warnings(services.jobs.validate(super_admin, body))
    assert [one.pointer for one in found] == [f"/parameters/checks/{place}/url" for place in (1, 2)]
    assert "cannot be resolved" in found[0].message
    assert "does not allow" in found[1].message


def test_a_connection_that_does_not_answer(services: Services, super_admin: Actor) -> None:
    made = services.connections.create(super_admin, name="files", kind="file_store", settings={"path": "/proc/no/such"})["_id"]
    body = {"name": "c", "template_type": "file_cleanup", "parameters": {"store": "files", "older_than_days": 1}}
    definition = services.jobs.validate(super_admin, body)
    assert services.outlook.warnings(definition) == ()
    store = services.connections._health
    now = services.clock.now()
    store.claim(made, 1, None, now=now, until=now)
    services.connections.probe(super_admin, made)
    [warning] = services.outlook.warnings(definition)
    assert (warning.pointer, "does not answer" in warning.message) == ("/parameters/store", True)


def test_mail_that_nobody_can_send(store: Store, settings: Settings, catalogue: Catalogue, super_admin: Actor) -> None:
    told = webhook("http://1.1.1.1/", notifications={"on_failure": ["a@example.com"], "on_success": []})
    for name, words in (
        ("", "Set JOBWRIGHT_NOTIFY_CONNECTION to the name of an SMTP connection"),
        ("post", "There is no SMTP connection 'post'"),
        ("files", "There is no SMTP connection 'files'"),
    ):
        services = build_services(replace(settings, notify_connection=name), store, catalogue=catalogue)
        if name == "files":
            services.connections.create(super_admin, name="files", kind="file_store", settings={"path": "/srv/x"})
        [warning] = services.outlook.warnings(services.jobs.validate(super_admin, told))
        assert warning.pointer == "/notifications/on_failure"
        assert words in warning.message
    services.connections.create(
        super_admin, name="mail", kind="smtp", settings={"host": "h", "port": 25, "security": "none", "sender": "a@example.com"}
    )
    services = build_services(replace(settings, notify_connection="mail"), store, catalogue=catalogue)
    assert services.outlook.warnings(services.jobs.validate(super_admin, told)) == ()


def test_a_name_service_that_is_away_blocks_nothing(monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    """The one thing that cannot be had here is a name service that never answers."""
    ended: list[str] = []

    def slow(host: str, *_: Any, **__: Any) -> Any:
        time.sleep(8)
        ended.append(host)
        return []

    monkeypatch.setattr(net.socket, "getaddrinfo", slow)
    monkeypatch.setattr("app.jobs.outlook.LOOKUP_SECONDS", 0.2)
    answer = api("POST", JOBS, webhook("http://slow.example/"))
    assert (answer.status_code, pointers(answer)) == (201, [])
    assert ended == [], "the answer came before the name service's"


def test_lookups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "_LOOKUPS", net.threading.BoundedSemaphore(2))
    asked = {(f"127.0.0.{n}", 80) for n in range(1, 6)}
    assert len(net.lookup(asked, 5.0)) in {2, 3, 4, 5}
    assert net.lookup([("127.0.0.1", 80)], 5.0) == {("127.0.0.1", 80): ("127.0.0.1",)}
    assert net.lookup([], 0.0) == {}
    assert net.lookup([("no-such-host.invalid", 1), ("\ud800", 1), ("", 1)], 5.0)[("no-such-host.invalid", 1)] == ()


def test_a_file_of_jobs_is_warned_of_job_by_job(api: Api) -> None:
    file = json.dumps({"jobwright": 1, "jobs": [webhook(PRIVATE, "a"), webhook("http://1.1.1.1/", "b"), webhook("x", "c")]})
    client, headers = api._client, {**api._headers, "Content-Type": "application/json"}
    steps = client.post(f"{JOBS}/plan", data=file, headers=headers).json["steps"]
    assert [[one["pointer"] for one in step["warnings"]] for step in steps] == [["/parameters/url"], [], []]
    good = json.dumps({"jobwright": 1, "jobs": [webhook(PRIVATE, "a")]})
    done = client.post(f"{JOBS}/apply", data=good, headers=headers).json["steps"]
    assert (done[0]["result"], len(done[0]["warnings"])) == ("done", 1)


def test_the_page_says_so_after_it_has_saved(browser_client: FlaskClient) -> None:
    form = "/jobs/new?template=webhook_trigger"
    saved = post(browser_client, form, {"/name": "hook", "/url": PRIVATE, "s.type": "manual"})
    assert saved.status_code == 302, text(saved)
    page = text(browser_client.get(saved.headers["Location"]))
    assert "Job hook created" in page
    assert "Warning: 127.0.0.1 is a private or local address" in page
    changed = post(browser_client, f"{saved.headers['Location']}/edit", {"/url": UNKNOWN}, follow_redirects=True)
    assert "Warning: The host name no-such-host.invalid cannot be resolved" in text(changed)


def test_a_step_longer_than_its_field_is_said_wherever_a_job_is_saved(api: Api, browser_client: FlaskClient) -> None:
    schedule = {"type": "cron", "expression": "*/60 * * * *", "timezone": "Europe/Berlin"}
    body = webhook("http://1.1.1.1/", schedule=schedule)
    validated, created = api("POST", f"{JOBS}/validate", body), api("POST", JOBS, body)
    assert (pointers(validated), pointers(created)) == (["/schedule/expression"], ["/schedule/expression"])
    assert "*/60 matches only minute 0" in json.dumps(created.json["warnings"])
    file = json.dumps({"jobwright": 1, "jobs": [webhook("http://1.1.1.1/", "filed", schedule=schedule)]})
    headers = {**api._headers, "Content-Type": "application/json"}
    (step,) = api._client.post(f"{JOBS}/plan", data=file, headers=headers).json["steps"]
    assert [one["pointer"] for one in step["warnings"]] == ["/schedule/expression"]
    form = {"/name": "typed", "/url": "http://1.1.1.1/", "s.type": "cron", "s.expression": "*/90 * * * *"}
    saved = post(browser_client, "/jobs/new?template=webhook_trigger", form)
    assert "Warning: */90 matches only minute 0" in text(browser_client.get(saved.headers["Location"]))


def test_the_doctor_says_so(services: Services, store: Store, super_admin: Actor) -> None:
    told = {one.subject: one for one in Doctor(services, store).examine()}
    assert (told["Runs to come"].level, told["Mail"].level) == (Level.OK, Level.OK)
    body = {"enabled": True, "schedule": {"type": "interval", "interval_seconds": 60}, "notifications": {"on_failure": ["a@example.com"]}}
    services.jobs.create(super_admin, webhook(PRIVATE, **body))
    told = {one.subject: one for one in Doctor(services, store).examine()}
    assert (told["Runs to come"].level, told["Mail"].level) == (Level.WARNING, Level.WARNING)
    assert "hook: parameters.url: 127.0.0.1 is a private" in told["Runs to come"].text
    assert "1 job with recipients" in told["Mail"].text
    for number in range(25):
        services.jobs.create(super_admin, webhook(UNKNOWN, f"h{number}", enabled=True))
    found = [one for one in Doctor(services, store).examine() if one.subject == "Runs to come"]
    assert len(found) == 21
    store.database["dynamic_jobs"].update_many(
        {"name": {"$regex": "^h1"}}, {"$set": {"parameters": {"url": {"$bad": 1}}, "notifications": 5}}
    )
    assert all(one.level is not Level.PROBLEM for one in Doctor(services, store).examine() if one.subject in {"Runs to come", "Mail"})
