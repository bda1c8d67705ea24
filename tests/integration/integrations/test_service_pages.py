"""The pages of services, the part of a job's page about its registration, and the locked form."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services
from app.integrations.callbacks.breaker import Breaker
from app.integrations.callbacks.endpoint import Endpoint, LastCall
from app.integrations.callbacks.endpoint_store import EndpointStore
from app.integrations.services.service import ENDPOINTS_KEPT
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from templates_lib.messages import say
from tests.builders.watching import watched
from tests.conftest import Api, csrf
from tests.integration.integrations.conftest import account
from tests.integration.integrations.test_manifest import HEARTBEAT, MANIFEST, job, manifest
from tests.integration.integrations.test_registration import BY_URL, REGISTER, registered
from tests.posting import post

NAME = BY_URL["name"]
JOBS = "/api/admin/scheduler-jobs"


def page(client: FlaskClient, path: str) -> LexborHTMLParser:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)[:500]
    return LexborHTMLParser(answer.get_data(as_text=True))


def send(client: FlaskClient, path: str, data: dict[str, str]) -> Any:
    """Posts a form of one button, with the token of a page."""
    return client.post(path, data={"csrf_token": csrf(client.get("/services").get_data(as_text=True)), **data})


def text(tree: LexborHTMLParser) -> str:
    return " ".join((tree.body.text() if tree.body else "").split())


def test_without_services_the_page_says_how_to_connect_one(browser_client: FlaskClient) -> None:
    shown = text(page(browser_client, "/services"))
    assert "No services yet" in shown
    assert "Connect a service" in shown


def test_the_list_shows_state_instances_and_what_needs_attention(
    browser_client: FlaskClient, bot_api: Api, api: Api, clock: ManualClock, services: Services
) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a"), displayName="E-mail service", ttlSeconds=60))
    assert "registered" in text(page(browser_client, "/services"))
    bot_api("POST", HEARTBEAT, {"instance": "pod-1", "version": "1.4.0"})
    shown = text(page(browser_client, "/services"))
    assert "E-mail service email-service" in shown
    assert "1 of 1 online" in shown
    found = services.registrations.of_service("email-service")[0]
    api("PUT", f"{JOBS}/{found.id}", {"priority": 9})
    bot_api("PUT", MANIFEST, manifest(job("a", priority=3), displayName="E-mail service", ttlSeconds=60))
    assert "1 job with drift" in text(page(browser_client, "/services"))
    clock.advance(120)
    assert "silent, last heard of 2 min ago" in text(page(browser_client, "/services"))


def test_the_list_asks_the_database_as_often_for_many_services_as_for_one(
    bot_api: Api, super_admin: Actor, mongod: str, store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue
) -> None:
    with watched(mongod, store) as (seen, commands):
        registered, asked = build_services(settings, seen, clock=clock, catalogue=catalogue).registered, []
        for number in range(6):
            service = {"serviceName": f"service-{number}", "serviceUrl": "https://example.com"}
            assert bot_api("POST", REGISTER, [{"name": f"job-{number}-{name}", **service} for name in "ab"]).status_code == 200
            commands.seen.clear()
            shown = registered.all(super_admin)
            asked.append(list(commands.seen))
            assert [len(overview.jobs) for overview in shown] == [2] * (number + 1)
            assert all(overview.connection for overview in shown)
    assert all(sent == asked[0] for sent in asked)
    assert len(asked[0]) <= 4


def test_lists_of_services_their_jobs_and_their_accounts_have_pages(
    browser_client: FlaskClient, bot_api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.views.registered_services.PAGE_SIZE", 2)
    monkeypatch.setattr("web.views.accounts.PAGE_SIZE", 2)
    for name in ("a", "b", "c"):
        jobs = [job(f"{name}-{end}") for end in "xyz"]
        bot_api("PUT", f"/api/services/{name}-service/manifest", manifest(*jobs, service=f"{name}-service"))
        account(services, f"{name}@example.com")

    def names(path: str) -> list[str]:
        shown = page(browser_client, path)
        links = [link.text(strip=True) for link in shown.css("table td.name a")]
        assert shown.css_first("h1 .count, h2 .count").text() in {"3", "4"}, "the whole number"
        return links

    assert [len(names(f"/services?page={number}")) for number in (1, 2, 7)] == [2, 1, 1]
    assert not set(names("/services")) & set(names("/services?page=2"))
    assert (names("/services/a-service")[:2], names("/services/a-service?page=2")[:1]) == (["a-x", "a-y"], ["a-z"])
    assert [len(names(f"/service-accounts?page={number}")) for number in (1, 2)] == [2, 2]
    assert [link.attributes["href"] for link in page(browser_client, "/services").css("nav.pages a")] == ["?page=2"]


def test_a_service_shows_jobs_instances_and_handlers_that_are_missing(
    browser_client: FlaskClient, bot_api: Api, api: Api, services: Services
) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a", displayName="Digest", jobType="email"), job("b"), ttlSeconds=60, onStale="pause"))
    for item in services.registrations.of_service("email-service"):
        api("POST", f"{JOBS}/{item.id}/enable")
    bot_api("POST", HEARTBEAT, {"instance": "pod-1", "version": "1.4.0", "jobs": ["a"], "running": 3})
    bot_api("POST", HEARTBEAT, {"instance": "pod-2", "version": "1.5.0", "jobs": ["a"], "state": "draining"})
    shown = text(page(browser_client, "/services/email-service"))
    for words in (
        "Digest",
        "pod-1",
        "stopping",
        "1.4.0",
        "1 job has no instance that can run it",
        "its jobs are paused",
        "email-service:7006",
    ):
        assert words in shown, words
    assert page(browser_client, "/services/email-service").css_first('a[href^="/connections/"]') is not None


def test_a_service_whose_calls_fail_shows_the_circuit_breaker_and_the_last_call(
    browser_client: FlaskClient, bot_api: Api, store: Store, clock: ManualClock
) -> None:
    bot_api("POST", REGISTER, BY_URL)
    assert "Jobwright has not called the service yet" in text(page(browser_client, "/services/email-service"))
    endpoints, new = EndpointStore(store.database), Endpoint(service="email-service", origin="http://email-service:7006")
    call = LastCall(
        at=clock.now(),
        succeeded=False,
        seconds=1.25,
        error=say("The service answered {status}", status=503),
        execution_id="e1",
        job_name=BY_URL["name"],
    )
    endpoints.put(new, replace(new, breaker=Breaker().after([False] * 5, clock.now()), last_calls=(call,)))
    shown = text(page(browser_client, "/services/email-service"))
    for words in ("The circuit breaker of http://email-service:7006 is open", "The service answered 503", "The next call is tried"):
        assert words in shown, words
    assert "circuit breaker open" in text(page(browser_client, "/services"))
    german = browser_client.get("/services/email-service", headers={"Accept-Language": "de"}).get_data(as_text=True)
    assert "Der Dienst hat mit 503 geantwortet" in german


def test_endpoints_that_nobody_calls_any_more_are_forgotten(bot_api: Api, store: Store, clock: ManualClock, services: Services) -> None:
    bot_api("POST", REGISTER, BY_URL)
    endpoints, call = EndpointStore(store.database), LastCall(at=clock.now(), succeeded=True, seconds=0.1)
    for origin, state in (("http://10.0.3.7:7006", Breaker()), ("http://10.0.3.8:7006", Breaker().after([False] * 5, clock.now()))):
        new = Endpoint(service="email-service", origin=origin)
        endpoints.put(new, replace(new, breaker=state, last_calls=(call,)))
    services.registered.look_for_silence()
    assert len(endpoints.of_services(["email-service"])) == 2
    clock.advance((ENDPOINTS_KEPT + timedelta(seconds=1)).total_seconds())
    services.registered.look_for_silence()
    assert endpoints.of_services(["email-service"]) == []


def test_a_service_without_an_instance_that_is_online_is_called_at_its_base_address(
    browser_client: FlaskClient, bot_api: Api, api: Api, clock: ManualClock, services: Services
) -> None:
    bot_api("PUT", MANIFEST, manifest(job("a")))
    api("POST", f"{JOBS}/{services.registrations.of_service('email-service')[0].id}/enable")
    bot_api("POST", HEARTBEAT, {"instance": "pod-1", "jobs": []})
    assert "1 job has no instance that can run it" in text(page(browser_client, "/services/email-service"))
    clock.advance(3600)
    shown = text(page(browser_client, "/services/email-service"))
    assert "No instance is online" in shown
    assert "no instance that can run" not in shown


def test_a_key_is_shown_once(browser_client: FlaskClient, bot_api: Api) -> None:
    bot_api("POST", REGISTER, BY_URL)
    answer = send(browser_client, "/services/email-service/rotate", {})
    shown = LexborHTMLParser(answer.get_data(as_text=True))
    secret = shown.css_first("code.secret")
    assert secret is not None
    assert secret.text().startswith("whsec_")
    assert secret.text() not in browser_client.get("/services/email-service").get_data(as_text=True)
    assert send(browser_client, "/services/email-service/retire-key", {}).status_code == 302


def test_an_unknown_owner_is_named_and_kept(browser_client: FlaskClient, bot_api: Api) -> None:
    bot_api("POST", REGISTER, BY_URL)
    answer = send(browser_client, "/services/email-service/hand-over", {"owner": "nobody@example.com"})
    assert answer.status_code == 422
    shown = LexborHTMLParser(answer.get_data(as_text=True))
    field = shown.css_first("#owner")
    assert field is not None
    assert field.attributes["value"] == "nobody@example.com"
    assert "is not the e-mail address of an account" in text(shown)
    assert send(browser_client, "/services/email-service/hand-over", {"owner": "admin@example.com"}).status_code == 302


def test_a_service_can_be_removed(browser_client: FlaskClient, bot_api: Api, store: Store) -> None:
    bot_api("POST", REGISTER, BY_URL)
    endpoints, new = EndpointStore(store.database), Endpoint(service="email-service", origin="http://email-service:7006")
    endpoints.put(new, new)
    answer = send(browser_client, "/services/email-service/delete", {})
    assert endpoints.of_services(["email-service"]) == []
    assert answer.headers["Location"] == "/services"
    assert "Service removed and 1 job retired" in text(page(browser_client, "/services"))
    assert browser_client.get("/services/email-service").status_code == 404


# -- the job ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def job_id(bot_api: Api, services: Services) -> str:
    assert bot_api("POST", REGISTER, BY_URL).status_code == 200
    return registered(services, NAME).id


@pytest.mark.parametrize(("side", "expression"), [("override", "0 10 * * 1"), ("declared", "0 8 * * MON")])
def test_the_page_of_a_job_shows_drift_and_either_side_can_be_chosen(
    browser_client: FlaskClient, bot_api: Api, api: Api, services: Services, job_id: str, side: str, expression: str
) -> None:
    api("PUT", f"{JOBS}/{job_id}", {"schedule": {"type": "cron", "expression": "0 10 * * 1"}, "priority": 8})
    bot_api("POST", REGISTER, {**BY_URL, "cronExpression": "0 8 * * MON"})
    shown = text(page(browser_client, f"/jobs/{job_id}"))
    for words in ("The code and the settings of admins differ", "0 10 * * 1", "0 9 * * MON", "0 8 * * MON", "1 field set by admins"):
        assert words in shown, words
    answer = send(browser_client, f"/jobs/{job_id}/overrides", {"field": "/schedule/expression", "side": side})
    assert answer.status_code == 302
    assert registered(services, NAME).definition.schedule.values()["expression"] == expression
    assert "The code and the settings of admins differ" not in text(page(browser_client, f"/jobs/{job_id}"))


def test_the_form_locks_what_the_code_decides(browser_client: FlaskClient, job_id: str) -> None:
    shown = page(browser_client, f"/jobs/{job_id}/edit")
    assert "Decided by the code of email-service" in text(shown)
    names = {str(node.attributes.get("name")) for node in shown.css("#job-form [name]")}
    for locked in ("d.name", "d.description", "o.timeout_seconds", "w.depends_on"):
        assert not any(name == locked or name.startswith(f"{locked}.") for name in names), locked
    assert not any(name.startswith("p.") for name in names)
    assert {"s.type", "s.timezone"} <= names
    pointers = {str(node.attributes.get("data-pointer")) for node in shown.css("#job-form [data-pointer]")}
    assert {"/priority", "/tags", "/retry_policy/max_retries"} <= pointers


def test_the_locked_form_saves_what_admins_decide(browser_client: FlaskClient, services: Services, job_id: str) -> None:
    before = registered(services, NAME)
    answer = post(browser_client, f"/jobs/{job_id}/edit", {"s.type": "manual", "/priority": "9"})
    assert answer.status_code == 302, text(LexborHTMLParser(answer.get_data(as_text=True)))[:800]
    after = registered(services, NAME)
    assert after.definition.priority == 9
    assert after.definition.parameters == before.definition.parameters
    assert after.definition.description == before.definition.description
    assert after.registered is not None
    assert [item.field for item in after.registered.overrides] == ["/priority", "/schedule/type"]


def test_a_change_that_is_shown_first_says_old_and_new(browser_client: FlaskClient, job_id: str, services: Services) -> None:
    answer = post(browser_client, f"/jobs/{job_id}/edit", {"s.type": "cron", "/priority": "9", "changes": "1"})
    shown = text(LexborHTMLParser(answer.get_data(as_text=True)))
    assert "Saving changes 1 field" in shown, shown[-3000:]
    assert registered(services, NAME).version == 1


def test_an_invalid_cron_expression_is_shown_and_changes_nothing(browser_client: FlaskClient, job_id: str, services: Services) -> None:
    answer = post(browser_client, f"/jobs/{job_id}/edit", {"s.type": "cron", "s.expression": "61 * * * *"})
    assert answer.status_code == 422
    assert "61 * * * *" in answer.get_data(as_text=True)
    assert registered(services, NAME).version == 1
