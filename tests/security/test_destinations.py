"""A secret that is only kept is not sent elsewhere: where its destination changes, it is asked for again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.audit.model import Actor
from app.connections.destinations import kept_elsewhere
from app.connections.inventory import Inventory
from app.connections.vault import SEALED, mask
from app.errors import ValidationFailed
from app.factory import Store
from app.services import Services
from app.validation.secret import MASK, named_secret
from templates_lib.connections import KINDS
from tests.conftest import Api
from tests.posting import post

SECRET = "s3cret-canary-of-this-test"
HOOK = {"name": "hook", "template_type": "webhook_trigger"}
JOBS = "/api/admin/scheduler-jobs"

WHOLE: dict[str, dict[str, Any]] = {
    "smtp": {
        "host": "mail.example.com",
        "port": 587,
        "security": "starttls",
        "username": "u",
        "password": SECRET,
        "sender": "a@example.com",
        "verify_certificate": True,
    },
    "http": {"hosts": ["api.example.com"], "proof": "bearer", "secret": SECRET, "plain": False, "verify_certificate": True},
    "nats": {"servers": ["tls://nats.example.com:4222"], "subjects": ["orders.*"], "token": SECRET},
    "file_store": {
        "where": "sftp",
        "path": "/srv",
        "host": "files.example.com",
        "port": 22,
        "username": "u",
        "password": SECRET,
        "host_key": "ssh-ed25519 AAAA",
    },
}
ELSEWHERE: list[tuple[str, dict[str, Any]]] = [
    ("smtp", {"host": "evil.example.com"}),
    ("smtp", {"port": 25}),
    ("smtp", {"security": "none"}),
    ("smtp", {"verify_certificate": False}),
    ("http", {"hosts": ["evil.example.com"]}),
    ("http", {"hosts": ["api.example.com", "evil.example.com"]}),
    ("http", {"hosts": ["*.example.com"]}),
    ("http", {"plain": True}),
    ("http", {"verify_certificate": False}),
    ("nats", {"servers": ["nats://evil.example.com:4222"]}),
    ("nats", {"servers": ["tls://nats.example.com:4222", "tls://evil.example.com"]}),
    ("file_store", {"host": "evil.example.com"}),
    ("file_store", {"port": 2222}),
    ("file_store", {"host_key": "ssh-ed25519 BBBB"}),
]
HARMLESS: list[tuple[str, dict[str, Any]]] = [
    ("smtp", {"sender": "b@example.com"}),
    ("smtp", {"sender_name": "Jobs"}),
    ("smtp", {"templates": ["email_notification"]}),
    ("smtp", {"username": "v"}),
    ("http", {"templates": ["webhook_trigger"]}),
    ("nats", {"subjects": ["reports.>"]}),
    ("file_store", {"path": "/srv/other"}),
    ("smtp", {}),
]


def secret_of(kind: str) -> str:
    return next(name for name, value in WHOLE[kind].items() if value == SECRET)


@pytest.fixture
def connection(services: Services, super_admin: Actor) -> Any:
    return lambda kind: services.connections.create(super_admin, name=f"a {kind}", kind=kind, settings=WHOLE[kind])


@pytest.mark.parametrize(("kind", "change"), ELSEWHERE)
def test_a_connection_that_leads_elsewhere_asks_for_its_secret(
    api: Api, connection: Any, store: Store, kind: str, change: dict[str, Any]
) -> None:
    row, secret = connection(kind), secret_of(kind)
    before = store.database["connections"].find_one()
    body = {"name": row["name"], "settings": {**row["settings"], **change}}
    answer = api("PUT", f"/api/admin/connections/{row['_id']}", body)
    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json["errors"]] == [f"/settings/{secret}"]
    assert "must be entered again" in answer.json["errors"][0]["detail"]
    assert store.database["connections"].find_one() == before
    body["settings"][secret] = SECRET
    assert api("PUT", f"/api/admin/connections/{row['_id']}", body).status_code == 200


@pytest.mark.parametrize(("kind", "change"), HARMLESS)
def test_a_connection_that_leads_to_the_same_place_keeps_its_secret(
    services: Services, super_admin: Actor, connection: Any, kind: str, change: dict[str, Any]
) -> None:
    row = connection(kind)
    settings = {**row["settings"], **change}
    settings.pop("verify_certificate", None)  # absent means the default
    services.connections.update(super_admin, row["_id"], name="another name", settings=settings)
    assert services.connections.grant(["another name"])["another name"].settings[secret_of(kind)] == SECRET


def test_a_member_that_says_nothing_counts() -> None:
    """So a kind that a third party adds is asked too often rather than too seldom."""
    schema = {
        "type": "object",
        "properties": {
            "secret": {"type": "string", "writeOnly": True},
            "anything": {"title": "Anything"},
            "note": {"x-destination": False},
            "deep": {
                "type": "object",
                "properties": {"key": {"type": "string", "writeOnly": True}, "to": {"type": "string", "default": "installed here"}},
            },
            "rows": {"type": "array", "items": {"type": "object", "properties": {"key": {"format": "password"}, "url": {}}}},
        },
    }
    sealed = {SEALED: "x"}
    stored = {"secret": sealed, "anything": 1, "note": "a", "deep": {"key": sealed}, "rows": [{"key": sealed, "url": "u"}], "extra": 1}
    shown = mask(stored)
    assert kept_elsewhere(Inventory.of(schema, shown, stored)) == []
    assert kept_elsewhere(Inventory.of(schema, {**shown, "note": "b", "deep": {"key": dict(MASK), "to": "installed here"}}, stored)) == []
    places = ["/secret", "/deep/key", "/rows/0/key"]
    for change in ({"anything": 2}, {"anything": None}, {"extra": 2}, {"new": 1}, {"deep": {"key": dict(MASK), "to": "there"}}):
        assert [one.pointer for one in kept_elsewhere(Inventory.of(schema, {**shown, **change}, stored))] == places, change
    without = {key: value for key, value in shown.items() if key != "anything"}
    found = kept_elsewhere(Inventory.of(schema, without, stored))
    assert [one.pointer for one in found] == places
    assert "Anything" in found[0].message
    moved = deepcopy(shown)
    moved["rows"][0]["url"] = "elsewhere"
    assert [one.pointer for one in kept_elsewhere(Inventory.of(schema, moved, stored))] == places
    given = {"secret": "typed", "deep": {}, "rows": [], "anything": 2}
    assert kept_elsewhere(Inventory.of(schema, given, stored)) == []
    assert (
        kept_elsewhere(Inventory.of(schema, {**shown, "anything": 2}, {**stored, "secret": named_secret("n"), "deep": {}, "rows": []}))
        == []
    )


def test_of_several_defaults_none_stands_for_an_absent_value() -> None:
    schema = {"properties": {"secret": {"writeOnly": True}, "to": {"anyOf": [{"default": "installed here"}, {"default": "there"}]}}}
    stored = {"secret": {SEALED: "x"}, "to": "installed here"}
    assert kept_elsewhere(Inventory.of(schema, {"secret": dict(MASK), "to": "there"}, stored)) != []


HARMLESS = {"templates", "database", "collections", "username", "sender", "sender_name", "subjects", "schemas", "read_only", "path"}
# The keys of a service sign calls and are never sent, so no address learns them.
SIGNED = {"address", "hosts", "plain", "keys", "verify_certificate"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_declared_harmless_is_no_address(kind: str) -> None:
    allowed = HARMLESS | (SIGNED if kind == "service" else set())
    for name, member in KINDS[kind].settings_schema["properties"].items():
        if member.get("x-destination") is False:
            assert name in allowed, name


URL = {"url": "https://hooks.example.com/a", "body": {"a": 1}}
OTHER_URL = {**URL, "url": "https://evil.example.com/a"}


def again(call: Any) -> list[str]:
    with pytest.raises(ValidationFailed) as refused:
        call()
    return [one.pointer for one in refused.value.errors if "must be entered again" in one.message]


def test_a_job_that_calls_elsewhere_asks_for_its_secret_by_every_door(
    api: Api, services: Services, super_admin: Actor, browser_client: FlaskClient
) -> None:
    job = services.jobs.create(super_admin, {**HOOK, "overlap": "allow", "parameters": {**URL, "secret": SECRET}})[0]
    first = services.runs.run_now(super_admin, job.id)
    services.runs.cancel(super_admin, first.id)
    kept = {**OTHER_URL, "secret": dict(MASK)}
    jobs, runs = services.jobs, services.runs
    for call in (
        lambda: jobs.update(super_admin, job.id, {"parameters": kept}),
        lambda: jobs.validate(super_admin, {"parameters": kept}, job_id=job.id),
        lambda: runs.run_now(super_admin, job.id, overrides=kept, whole=True),
        lambda: runs.run_now(super_admin, job.id, overrides={"url": OTHER_URL["url"]}),
        lambda: runs.run_now(super_admin, job.id, overrides={"verify_certificate": False}),
        lambda: runs.retry(super_admin, first.id, parameters=kept),
    ):
        assert again(call) == ["/parameters/secret"]
    answer = api("PUT", f"{JOBS}/{job.id}", {"parameters": kept})
    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/parameters/secret")
    assert services.jobs.get(super_admin, job.id).version == job.version
    jobs.update(super_admin, job.id, {"parameters": {**URL, "body": {"b": 2}, "secret": dict(MASK)}})
    jobs.update(super_admin, job.id, {"parameters": {**OTHER_URL, "secret": "typed anew by hand"}})


def test_the_form_says_why_it_asks_again(browser_client: FlaskClient, connection: Any) -> None:
    row = connection("smtp")
    path = f"/connections/{row['_id']}"
    assert SECRET not in browser_client.get(path).text
    answer = post(browser_client, path, {"/host": "evil.example.com"})
    assert answer.status_code == 422
    assert "must be entered again, because Host changed" in answer.text
