"""Secrets that parameters name, and HTTP services that jobs call: what leaves, and to whom."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from app.audit.model import Actor
from app.errors import Conflict, ValidationFailed
from app.services import Services
from templates_lib.connections import KINDS
from templates_lib.connections.http import Proof, may_call
from templates_lib.own import Own
from tests.security.test_secrets import everything
from tests.support import Service, eventually

CANARY = "canary-77aa-named"
NAMED = {"$secret": "named", "name": "stripe"}


class Receiver:
    """An HTTP service that keeps what it was sent; `/away` redirects to `elsewhere`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.looks: list[tuple[str, dict[str, str]]] = []
        self.elsewhere = ""
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                kept = receiver.looks if self.command == "HEAD" else receiver.calls  # whether it answers is asked without a job, too
                kept.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
                self.send_response(307 if self.path == "/away" else 200)
                if self.path == "/away":
                    self.send_header("Location", receiver.elsewhere)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def other() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


# -- named secrets ----------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_name_is_said_at_the_secret(services: Services, super_admin: Actor, admin: Actor) -> None:
    def refused(**parameters: Any) -> list[tuple[str, str]]:
        with pytest.raises(ValidationFailed) as failed:
            services.jobs.create(admin, {"name": "w", "template_type": "webhook_trigger", "parameters": parameters})
        return [(one.pointer, one.message) for one in failed.value.errors]

    url = "https://example.com/"
    assert refused(url=url, secret=NAMED) == [("/parameters/secret", "is not the name of a connection of the kind Secret: 'stripe'")]
    services.connections.create(super_admin, name="stripe", kind="secret", settings={"value": "short"})
    assert refused(url=url, secret=NAMED)[0][0] == "/parameters/secret"  # the schema asks for eight characters of it
    row = next(row for row in services.connections.all(super_admin) if row["name"] == "stripe")
    kept = {"value": CANARY, "templates": ["data_export"]}
    services.connections.update(super_admin, row["_id"], name="stripe", settings=kept)
    assert "does not allow jobs of webhook_trigger" in refused(url=url, secret=NAMED)[0][1]
    # Where there is no secret to hold, a name is a value like any other and opens nothing.
    assert refused(url=NAMED)[0][0] == "/parameters/url"
    services.connections.update(super_admin, row["_id"], name="stripe", settings={"value": {"$secret": "set"}})
    body = {"name": "w", "template_type": "webhook_trigger", "parameters": {"url": url, "secret": NAMED, "body": NAMED}}
    job = services.jobs.create(admin, body)[0]
    assert job.definition.parameters["secret"] == NAMED
    assert services.parameters.shown(job)["secret"] == NAMED
    assert (
        services.jobs.update(admin, job.id, {"parameters": {**body["parameters"], "secret": {"$secret": "set"}}}).definition.parameters[
            "secret"
        ]
        == NAMED
    )
    with pytest.raises(Conflict, match="used by w"):
        services.connections.delete(super_admin, row["_id"], used_by=services.directory.names_using("stripe"))


def test_a_connection_cannot_hold_a_name_in_place_of_its_secret(services: Services, super_admin: Actor) -> None:
    with pytest.raises(ValidationFailed):
        services.connections.create(super_admin, name="s", kind="secret", settings={"value": NAMED})


def test_a_run_gets_the_secret_that_is_there_now_and_nothing_shows_it(
    mongod: str, database_name: str, tmp_path: Path, receiver: Receiver
) -> None:
    service = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path).wait_ready()
    answers: list[str] = []
    try:
        with service.client(service.token()) as client:

            def call(method: str, path: str, body: Any = None) -> Any:
                answer = client.request(method, f"/api/admin/{path}", json=body)
                assert answer.status_code < 300, answer.text
                answers.append(answer.text)
                return answer.json() if answer.content else None

            secret = call("POST", "connections", {"name": "stripe", "kind": "secret", "settings": {"value": CANARY}})["connection"]
            service_settings = {
                "hosts": [receiver.host],
                "plain": True,
                "proof": "header",
                "header": "X-Api-Key",
                "secret": f"{CANARY}-key",
            }
            api = call("POST", "connections", {"name": "api", "kind": "http", "settings": service_settings})["connection"]
            assert "answers with HTTP 200" in call("POST", f"connections/{api['_id']}/test")["message"]
            parameters = {"connection": "api", "url": f"http://{receiver.host}/hook", "secret": NAMED, "body": {"a": 1}}
            body = {"name": "j", "template_type": "webhook_trigger", "parameters": parameters, "retry_policy": {"max_retries": 0}}
            job = call("POST", "scheduler-jobs", body)["job"]["_id"]

            def run() -> dict[str, Any]:
                execution = call("POST", f"scheduler-jobs/{job}/run")["execution_id"]
                ended = lambda: (
                    (found := client.get(f"/api/admin/job-executions/{execution}").json()["execution"])["completed_at"] and found
                )
                found: dict[str, Any] = eventually(ended)
                answers.append(json.dumps(found) + client.get(f"/api/admin/job-executions/{execution}/logs").text)
                return found

            assert run()["status"] == "success"
            path, headers = receiver.calls[-1]
            assert (path, headers["x-api-key"]) == ("/hook", f"{CANARY}-key")
            first = headers["webhook-signature"]
            call("PUT", f"connections/{secret['_id']}", {"name": "stripe", "settings": {"value": f"{CANARY}-other"}})
            assert run()["status"] == "success"
            assert receiver.calls[-1][1]["webhook-signature"] != first
            call("DELETE", f"scheduler-jobs/{job}")
            for path in ("connections", f"connections/{secret['_id']}", "scheduler-jobs", "job-executions", "audit-events?limit=500"):
                call("GET", path)
            assert [n for n, text in enumerate(answers) if CANARY in text] == []
        with MongoClient(mongod) as mongo:
            assert CANARY not in everything(mongo[database_name])
    finally:
        service.stop()
    assert CANARY not in service.log.read_text()
    with MongoClient(mongod) as mongo:
        mongo.drop_database(database_name)


# -- HTTP services ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "address", "may"),
    [
        (["a.example"], "https://a.example/x", True),
        (["a.example"], "https://A.EXAMPLE/x", True),
        (["a.example"], "https://b.example/", False),
        (["a.example"], "http://a.example/", False),
        (["a.example"], "https://a.example:8443/", False),
        (["a.example:8443"], "https://a.example:8443/", True),
        (["a.example"], "https://a.example.evil.test/", False),
        (["a.example"], "https://a.example@evil.test/", False),
        (["a.example"], "https://evil.test/a.example", False),
        (["*.a.example"], "https://x.a.example/", True),
        (["*.a.example"], "https://x.y.a.example/", True),
        (["*.a.example"], "https://a.example/", False),
        (["*.a.example"], "https://xa.example/", False),
        (["*.a.example"], "https://evila.example/", False),
        (["[::1]:80"], "https://[::1]:80/", True),
        (["[::1]"], "https://[::1]/", True),
        (["a.example"], "ftp://a.example/", False),
        (["a.example"], "javascript:alert(1)", False),
        (["a.example"], "//a.example/", False),
        (["a.example"], "https://", False),
        (["a.example"], "https://a.example\\@evil.test/", False),
        (["a.example"], "https://a.example%00.evil.test/", False),
        (["a.example"], "", False),
    ],
)
def test_hosts(hosts: list[str], address: str, may: bool) -> None:
    assert may_call({"hosts": hosts, "proof": "none"}, address) is may


@pytest.mark.parametrize(
    "bad", ["", "http://a.example", "a.example/x", "*", "*.", "a b", "a.example:", "a.example:999999", "*a.example", "a..b", "a\n"]
)
def test_a_host_that_is_none(services: Services, super_admin: Actor, bad: str) -> None:
    with pytest.raises(ValidationFailed) as failed:
        services.connections.create(super_admin, name="h", kind="http", settings={"hosts": [bad], "proof": "none"})
    assert [one.pointer for one in failed.value.errors] == ["/settings/hosts/0"]


@pytest.mark.parametrize(
    ("given", "missing"),
    [({"proof": "bearer"}, "secret"), ({"proof": "basic", "secret": "x"}, "username"), ({"proof": "header", "secret": "x"}, "header")],
)
def test_each_proof_asks_for_what_it_needs(services: Services, super_admin: Actor, given: dict[str, Any], missing: str) -> None:
    with pytest.raises(ValidationFailed) as failed:
        services.connections.create(super_admin, name="h", kind="http", settings={"hosts": ["a.example"], **given})
    assert [one.pointer for one in failed.value.errors] == [f"/settings/{missing}"]


@pytest.mark.parametrize(
    ("settings", "header", "value"),
    [
        ({"proof": "bearer", "secret": "t"}, "authorization", "Bearer t"),
        ({"proof": "basic", "username": "u", "secret": "p"}, "authorization", "Basic dTpw"),
        ({"proof": "header", "header": "X-Api-Key", "secret": "k"}, "x-api-key", "k"),
        ({"proof": "none"}, "authorization", None),
    ],
)
def test_what_is_sent_as_proof(settings: dict[str, Any], header: str, value: str | None) -> None:
    flow = Proof("c", {"hosts": ["a.example"], **settings}).auth_flow(httpx.Request("GET", "https://a.example/"))
    assert next(flow).headers.get(header) == value


def test_an_address_that_a_connection_does_not_reach_is_refused_at_its_field(services: Services, super_admin: Actor, admin: Actor) -> None:
    services.connections.create(super_admin, name="api", kind="http", settings={"hosts": ["api.example.com"], "proof": "none"})
    with pytest.raises(ValidationFailed) as failed:
        services.jobs.create(
            admin, {"name": "w", "template_type": "webhook_trigger", "parameters": {"connection": "api", "url": "https://evil.example/"}}
        )
    assert [(one.pointer, "does not allow" in one.message) for one in failed.value.errors] == [("/parameters/url", True)]
    assert services.connections.explore(admin, "addresses", "api") == ["https://api.example.com/"]


def test_a_redirect_takes_the_proof_nowhere_else(
    mongod: str, database_name: str, tmp_path: Path, receiver: Receiver, other: Receiver
) -> None:
    """The other host is one that jobs may call: only the connection keeps the credential from it."""
    receiver.elsewhere = f"http://{other.host}/caught"
    allowed = {"JOBWRIGHT_ALLOWED_HOSTS": other.host}
    service = Service("serve", uri=mongod, database=database_name, data_dir=tmp_path, **allowed).wait_ready()
    try:
        with service.client(service.token()) as client:
            settings = {"hosts": [receiver.host], "plain": True, "proof": "bearer", "secret": CANARY}
            client.post("/api/admin/connections", json={"name": "api", "kind": "http", "settings": settings}).raise_for_status()
            parameters = {"connection": "api", "url": f"http://{receiver.host}/away", "follow_redirects": True}
            body = {"name": "j", "template_type": "webhook_trigger", "parameters": parameters, "retry_policy": {"max_retries": 0}}
            job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
            execution = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
            ended = lambda: (found := client.get(f"/api/admin/job-executions/{execution}").json()["execution"])["completed_at"] and found
            found = eventually(ended)
            assert found["status"] == "failed"
            assert "does not reach" in found["error"]["message"]
            assert (len(receiver.calls), other.calls, other.looks) == (1, [], [])
            assert receiver.calls[0][1]["authorization"] == f"Bearer {CANARY}"
    finally:
        service.stop()
    with MongoClient(mongod) as mongo:
        mongo.drop_database(database_name)


def test_the_probe_says_who_does_not_take_the_proof(receiver: Receiver) -> None:
    settings = {"hosts": ["*.example.com"], "proof": "none"}
    assert "pattern" in KINDS["http"].probe(settings, Own())
    assert "answers with HTTP 200" in KINDS["http"].probe({"hosts": [receiver.host], "plain": True, "proof": "none"}, Own())
