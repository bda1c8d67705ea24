"""The pages of inbound addresses: the form, what is shown once, the list with its deliveries. And a job's own limit of runs on its pages."""

from __future__ import annotations

import html
import subprocess
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.clock import ManualClock
from app.factory import Store
from app.jobs.model import Job
from app.services import Services
from tests.builders.queue import Queue, claim
from tests.builders.webhooks import Sender, hook_job
from tests.posting import Page, post, text
from web.views.jobs.inbound import try_command


@pytest.fixture
def job(services: Services, super_admin: Actor) -> Job:
    return hook_job(services, super_admin)


def words(page: str) -> str:
    main = LexborHTMLParser(page).css_first("main")
    assert main is not None
    return " ".join(main.text().split())


def secret_of(page: str, which: str) -> str:
    found = LexborHTMLParser(page).css_first(f"#inbound-{which}")
    assert found is not None
    return found.text(strip=True)


def test_an_address_is_made_shown_once_changed_replaced_and_deleted(
    browser_client: FlaskClient, services: Services, super_admin: Actor, job: Job, app: Flask
) -> None:
    path = f"/jobs/{job.id}/inbound"
    assert "No inbound addresses yet" in words(text(browser_client.get(path)))
    once = post(browser_client, f"{path}/new", {"/name": "Shop", "/parameters": '{"seconds": "{{ payload.s }}"}'})
    assert once.status_code == 200
    url, key = secret_of(text(once), "url"), secret_of(text(once), "key")
    assert key.startswith("whsec_")
    assert "Copy this now" in words(text(once))
    assert '{"s": "…"}' in secret_of(text(once), "command")
    (address,) = services.inbound.of(super_admin, job.id)
    assert (address.name, address.proof, dict(address.parameters)) == ("Shop", "standard", {"seconds": "{{ payload.s }}"})

    send = Sender(app, urlsplit(url).path.rpartition("/")[2], key, "standard")
    run = send({"s": 1}).get_json()["execution_id"]
    send({"s": "soon"})
    send.raw(b"{}")
    send.raw(b"{}")
    shown = text(browser_client.get(path))
    assert key not in shown
    assert send.secret not in shown
    assert f'href="/executions/{run}"' in shown
    for sentence in ("must be a number", "2 times within the minute", "The header webhook-id is missing", '{"s": 1}'):
        assert sentence in html.unescape(shown)

    one = f"{path}/{address.id}"
    changed = post(browser_client, one, {"/rate_per_minute": "7", "/parameters": ""})
    assert (changed.status_code, changed.headers["Location"]) == (302, path)
    (address,) = services.inbound.of(super_admin, job.id)
    assert (address.rate_per_minute, dict(address.parameters), address.version) == (7, {}, 2)

    form = Page(text(browser_client.get(path)))
    token = next(control.value for control in form.controls if control.get("name") == "csrf_token")
    moved = text(browser_client.post(f"{one}/rotate", data={"csrf_token": token}))
    assert secret_of(moved, "url") != url
    assert send({"s": 2}).status_code == 404
    rotated = text(browser_client.post(f"{one}/rotate", data={"csrf_token": token, "what": "key"}))
    assert secret_of(rotated, "key") != key
    assert "The address stays the same" in words(rotated)
    assert "The old signing key is valid until" in words(rotated)
    assert browser_client.post(f"{one}/delete", data={"csrf_token": token}).headers["Location"] == path
    assert services.inbound.of(super_admin, job.id) == []


def test_wrong_values_stand_at_their_fields_and_nothing_typed_is_lost(
    browser_client: FlaskClient, services: Services, super_admin: Actor, job: Job
) -> None:
    path = f"/jobs/{job.id}/inbound"
    typed = {"/name": "", "/parameters": '{"nothing": 1, "file": "{{ payload."}', "/key": "short", "/rate_per_minute": "0"}
    refused = post(browser_client, f"{path}/new", typed)
    assert refused.status_code == 422
    page = Page(text(refused))
    assert page.editor("/parameters").value.strip() == typed["/parameters"]
    assert page.editor("/rate_per_minute").value == "0"
    shown = words(text(refused))
    for sentence in ("is not a parameter of the template Nothing", "must be at least 1", "must be whsec_ followed by"):
        assert sentence in shown
    assert services.inbound.of(super_admin, job.id) == []
    not_json = post(browser_client, f"{path}/new", {"/name": "x", "/parameters": "{"})
    assert not_json.status_code == 422
    assert Page(text(not_json)).editor("/parameters").value.strip() == "{"


def test_two_people_who_save_the_same_address_are_told(
    browser_client: FlaskClient, services: Services, super_admin: Actor, job: Job
) -> None:
    shown = services.inbound.create(super_admin, job.id, {"name": "a", "proof": "secret"})
    path = f"/jobs/{job.id}/inbound/{shown.address.id}"
    page = Page(text(browser_client.get(path)))
    services.inbound.change(super_admin, job.id, shown.address.id, {"rate_per_minute": 5})
    answer = browser_client.post(path, data=dict(page.pairs()))
    assert answer.status_code == 412
    assert "Someone else has changed this" in html.unescape(text(answer))
    assert services.inbound.get(super_admin, job.id, shown.address.id).rate_per_minute == 5


@pytest.mark.parametrize("proof", ["secret", "github", "standard"])
def test_the_command_that_tries_an_address_is_right(services: Services, super_admin: Actor, job: Job, app: Flask, proof: str) -> None:
    """The shell runs it, with a curl that prints what it would send."""
    shown = services.inbound.create(super_admin, job.id, {"name": "a", "proof": proof})
    body = '{"it": "isn\'t \\"easy\\" $HOME"}'
    command = try_command(shown.address.proof, f"http://x/api/inbound/{shown.secret}", shown.key, body)
    stub = 'curl() { for part in "$@"; do printf "%s\\0" "$part"; done; }\n'
    done = subprocess.run(["/bin/bash", "-c", stub + command], capture_output=True, check=True, timeout=20)
    parts = done.stdout.decode().split("\0")
    headers = dict(part.split(": ", 1) for flag, part in pairwise(parts) if flag == "-H")
    (sent,) = (part for flag, part in pairwise(parts) if flag == "-d")
    assert sent == body
    assert parts[2].endswith(shown.secret)
    answer = Sender(app, shown.secret, shown.key, proof).raw(sent.encode(), headers)
    assert answer.status_code == 202, answer.get_data(as_text=True)


def test_the_limit_of_runs_is_set_by_the_form_and_shown_in_words(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, clock: ManualClock
) -> None:
    job = hook_job(services, super_admin, name="limited")
    page = f"/jobs/{job.id}"
    assert "Limit of runs" not in words(text(browser_client.get(page)))
    changes: dict[str, Any] = {"/run_limit/runs": "1", "/run_limit/seconds": "2 h", "/run_limit/excess": "1"}
    assert post(browser_client, f"{page}/edit", changes).status_code == 302
    limit = services.jobs.get(super_admin, job.id).definition.run_limit
    assert (limit.runs, limit.seconds) == (1, 7200)
    shown = words(text(browser_client.get(page)))
    assert "at most 1 run within 2 hours" in shown
    assert "the next run can start" not in shown
    services.runs.run_now(super_admin, job.id)
    claim(Queue(store.database), clock)
    assert "reached; the next run can start in 2 h" in words(text(browser_client.get(page)))
    (change,) = [row for row in services.jobs.revisions(super_admin, job.id)[0].diff if row["field"] == "/run_limit/seconds"]
    assert (change["before"], change["after"]) == (3600, 7200)
