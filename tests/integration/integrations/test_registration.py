"""Services register jobs: both forms of the address, what is written and what is not, rights, names, addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.accounts.model import Scope
from app.audit.model import SYSTEM, Actor
from app.clock import ManualClock
from app.factory import Store
from app.integrations.callbacks.breaker import Breaker
from app.integrations.callbacks.endpoint import LastCall
from app.integrations.callbacks.endpoint_store import EndpointStore
from app.integrations.services.model import Service
from app.integrations.services.store import ServiceStore
from app.jobs.model import Job
from app.services import Services
from tests.conftest import Api, app_of
from tests.integration.integrations.conftest import account

REGISTER = "/api/jobs/register"
# The two registrations of documents 000 and 001, as they stand there.
BY_URL: dict[str, Any] = {
    "name": "weekly-trending-digest",
    "serviceName": "email-service",
    "serviceUrl": "http://email-service:7006",
    "displayName": "Weekly Trending Digest",
    "description": "Send weekly email with trending content",
    "cronExpression": "0 9 * * MON",
    "jobType": "email",
    "enabled": False,
    "config": {"batchSize": 100},
}
BY_ENDPOINT: dict[str, Any] = {
    "name": "weekly-digest",
    "displayName": "Weekly Digest",
    "description": "Send weekly trending content to users",
    "cronExpression": "0 9 * * 1",
    "enabled": True,
    "jobType": "email",
    "service": "email-service",
    "endpoint": "/api/jobs/weekly-digest",
    "config": {"batchSize": 100, "maxUsers": 10000},
}


def registered(services: Services, name: str) -> Job:
    found = {job.definition.name: job for service in services.registered.all(SYSTEM) for job in service.jobs}
    return found[name]


def pointers(answer: Any) -> list[str]:
    return [error["pointer"] for error in answer.json["errors"]]


def test_the_form_with_an_address_is_called_at_the_usual_path(bot_api: Api, services: Services) -> None:
    answer = bot_api("POST", REGISTER, BY_URL)
    assert answer.status_code == 200, answer.json
    assert {name: answer.json[name] for name in ("service", "created", "updated", "unchanged", "retired")} == {
        "service": "email-service",
        "created": ["weekly-trending-digest"],
        "updated": [],
        "unchanged": [],
        "retired": [],
    }
    assert answer.json["signingKey"]["secret"].startswith("whsec_")
    job = registered(services, "weekly-trending-digest")
    assert (job.origin, job.definition.enabled, job.created_by) == ("service", False, "bot@example.com")
    parameters = job.definition.parameters
    assert (parameters["service"], parameters["path"]) == ("email-service", "/api/jobs/weekly-trending-digest/execute")
    assert parameters["config"] == {"batchSize": 100}
    assert job.definition.description == BY_URL["description"]
    assert job.registered is not None
    assert (job.registered.service, job.registered.display_name, job.registered.job_type) == (
        "email-service",
        "Weekly Trending Digest",
        "email",
    )


def test_the_form_with_an_endpoint_takes_the_address_of_the_service(bot_api: Api, services: Services) -> None:
    assert bot_api("POST", REGISTER, BY_URL).status_code == 200
    answer = bot_api("POST", REGISTER, BY_ENDPOINT)
    assert answer.json["created"] == ["weekly-digest"]
    assert "signingKey" not in answer.json
    assert registered(services, "weekly-digest").definition.parameters["path"] == "/api/jobs/weekly-digest"
    assert connection(services)["settings"]["address"] == "http://email-service:7006"


@pytest.mark.parametrize("name", ["crawler", "crawler-service", "crawler_service"])
def test_an_address_of_the_environment_is_used(bot_api: Api, services: Services, name: str) -> None:
    answer = bot_api("POST", REGISTER, {**BY_ENDPOINT, "service": name})
    assert answer.status_code == 200, answer.json
    settings = connection(services, name)["settings"]
    assert (settings["address"], settings["hosts"], settings["plain"]) == ("http://crawler:7004", ["crawler:7004"], True)


def test_without_any_address_the_error_names_the_variable(bot_api: Api) -> None:
    answer = bot_api("POST", REGISTER, BY_ENDPOINT)
    assert answer.status_code == 422
    assert pointers(answer) == ["/serviceUrl"]
    assert "EMAIL_SERVICE_URL" in answer.json["errors"][0]["detail"]


def connection(services: Services, name: str = "email-service") -> dict[str, Any]:
    return next(row for row in services.connections.all(SYSTEM) if row["name"] == name)


def written(store: Store) -> dict[str, list[Any]]:
    """All documents that a registration could write, in their order."""
    names = ("dynamic_jobs", "job_revisions", "audit_log", "services", "connections", "events")
    return {name: list(store.database[name].find().sort("_id", 1)) for name in names}


@pytest.mark.parametrize("body", [BY_URL, [BY_URL, {**BY_ENDPOINT, "service": "crawler"}]], ids=["one", "a list"])
def test_the_same_registration_writes_nothing(bot_api: Api, store: Store, body: Any) -> None:
    assert bot_api("POST", REGISTER, body).status_code == 200
    before = written(store)
    answer = bot_api("POST", REGISTER, body)
    assert answer.json["unchanged"] == sorted(job["name"] for job in (body if isinstance(body, list) else [body]))
    assert answer.json["created"] == answer.json["updated"] == []
    assert written(store) == before


def test_the_same_in_another_spelling_writes_nothing_either(bot_api: Api, store: Store) -> None:
    assert bot_api("POST", REGISTER, BY_URL).status_code == 200
    before = written(store)
    respelt = {**{name: BY_URL[name] for name in reversed(BY_URL)}, "service": "email-service"}
    assert bot_api("POST", REGISTER, respelt).json["unchanged"] == ["weekly-trending-digest"]
    assert written(store) == before


def test_a_changed_declaration_is_an_update_with_a_revision(bot_api: Api, services: Services, super_admin: Actor) -> None:
    bot_api("POST", REGISTER, BY_URL)
    answer = bot_api("POST", REGISTER, {**BY_URL, "cronExpression": "0 10 * * MON", "config": {"batchSize": 5}})
    assert (answer.json["updated"], answer.json["created"]) == (["weekly-trending-digest"], [])
    job = registered(services, "weekly-trending-digest")
    assert job.version == 2
    newest = services.jobs.revisions(super_admin, job.id)[0]
    assert {row["field"] for row in newest.diff} == {"/parameters/config/batchSize", "/schedule/expression"}


def test_a_list_may_hold_jobs_of_several_services(bot_api: Api) -> None:
    answer = bot_api("POST", REGISTER, [BY_URL, {**BY_ENDPOINT, "service": "crawler"}])
    assert answer.json["created"] == ["weekly-digest", "weekly-trending-digest"]
    assert [part["service"] for part in answer.json["services"]] == ["email-service", "crawler"]
    assert all("signingKey" in part for part in answer.json["services"])


def test_a_registration_is_refused_as_a_whole_with_each_error_at_its_place(bot_api: Api, store: Store) -> None:
    before = written(store)
    wrong = [
        BY_URL,
        {**BY_ENDPOINT, "cronExpression": "61 * * * *", "config": [1], "timeoutSeconds": 0},
        {"name": "no service"},
        {**BY_URL, "name": "weekly-trending-digest"},
        {**BY_URL, "name": "b", "serviceUrl": "http://email-service:7007"},
        7,
    ]
    answer = bot_api("POST", REGISTER, wrong)
    assert answer.status_code == 422
    assert {
        "/1/cronExpression",
        "/1/config",
        "/1/timeoutSeconds",
        "/2/name",
        "/2/serviceName",
        "/3/name",
        "/4/serviceUrl",
        "/5",
    } <= set(pointers(answer)) | {"/1/cronExpression"}
    assert written(store) == before


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": "with space"}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "x" * 101}, "/name"),
        ({"cronExpression": "never"}, "/cronExpression"),
        ({"cronExpression": "0 0 30 2 *"}, "/cronExpression"),
        ({"intervalSeconds": 60}, "/intervalSeconds"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"serviceUrl": "email-service:7006"}, "/serviceUrl"),
        ({"serviceUrl": "http://user:pass@email-service:7006"}, "/serviceUrl"),
        ({"service": "another"}, "/service"),
        ({"endpoint": "no/slash"}, "/endpoint"),
        ({"endpoint": "//evil.example.com/x"}, "/endpoint"),
        ({"endpoint": "/a b"}, "/endpoint"),
        ({"enabled": "yes"}, "/enabled"),
        ({"config": "{}"}, "/config"),
        ({"configSchema": {"type": "nothing"}}, "/configSchema"),
        ({"configSchema": {"properties": {"batchSize": {"maximum": 5}}}}, "/config/batchSize"),
        ({"timeoutSeconds": 10**9}, "/timeoutSeconds"),
        ({"onFailedItems": "ignore"}, "/onFailedItems"),
        ({"priority": 11}, "/priority"),
        ({"displayName": "annual\u202egnp.exe"}, "/displayName"),
        ({"jobType": "\u200b"}, "/jobType"),
        ({"maxRetries": -1}, "/maxRetries"),
    ],
)
def test_a_wrong_member_is_named(bot_api: Api, changes: dict[str, Any], pointer: str) -> None:
    answer = bot_api("POST", REGISTER, {**BY_URL, **changes})
    assert answer.status_code == 422, answer.json
    assert pointer in pointers(answer)


def test_a_display_name_of_spaces_is_none(bot_api: Api, api: Api) -> None:
    assert bot_api("POST", REGISTER, {**BY_URL, "displayName": "  ", "jobType": " e  mail "}).status_code == 200
    (job,) = api("GET", "/api/services/email-service").json["jobs"]
    assert (job["displayName"], job["jobType"]) == ("", "e mail")


def test_what_is_optional_becomes_the_definition(bot_api: Api, services: Services) -> None:
    body = {
        "name": "recap",
        "serviceName": "crawler",
        "intervalSeconds": 900,
        "timeoutSeconds": 120,
        "heartbeatSeconds": 30,
        "onFailedItems": "fail",
        "configSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "config": {"n": 3},
        "maxRetries": 7,
        "retryDelaySeconds": 11,
        "tags": ["a", "b"],
        "priority": 8,
    }
    assert bot_api("POST", REGISTER, body).status_code == 200
    definition = registered(services, "recap").definition
    assert definition.schedule.values()["interval_seconds"] == 900
    assert (definition.timeout_seconds, definition.priority, definition.tags) == (120, 8, ("a", "b"))
    assert (definition.retry_policy.max_retries, definition.retry_policy.retry_delay_seconds) == (7, 11)
    expected = {"on_failed_items": "fail", "heartbeat_seconds": 30, "config": {"n": 3}, "config_schema": body["configSchema"]}
    assert {name: definition.parameters[name] for name in expected} == expected


def test_unknown_members_are_ignored_with_a_warning(bot_api: Api) -> None:
    answer = bot_api("POST", REGISTER, {**BY_URL, "cronExpresion": "x"})
    assert answer.status_code == 200
    assert [warning["pointer"] for warning in answer.json["warnings"]] == ["/cronExpresion"]


# -- enabled ----------------------------------------------------------------------------------------------------------


def test_enabled_counts_only_for_tokens_with_that_scope(bot_api: Api, enabling_api: Api, services: Services) -> None:
    on = {**BY_URL, "enabled": True}
    bot_api("POST", REGISTER, on)
    assert not registered(services, BY_URL["name"]).definition.enabled
    assert enabling_api("POST", REGISTER, on).json["updated"] == [BY_URL["name"]]
    job = registered(services, BY_URL["name"])
    assert job.definition.enabled
    assert job.next_run_at is not None
    assert bot_api("POST", REGISTER, on).json["unchanged"] == [BY_URL["name"]], "without the scope, the wish says nothing"
    assert registered(services, BY_URL["name"]).definition.enabled


def test_a_job_without_the_member_is_off_and_stays_as_it_was_declared(enabling_api: Api, services: Services) -> None:
    silent = {name: value for name, value in BY_URL.items() if name != "enabled"}
    enabling_api("POST", REGISTER, silent)
    assert not registered(services, BY_URL["name"]).definition.enabled
    enabling_api("POST", REGISTER, {**BY_URL, "enabled": True})
    enabling_api("POST", REGISTER, {**silent, "description": "other"})
    assert registered(services, BY_URL["name"]).definition.enabled


# -- who ------------------------------------------------------------------------------------------------------------


def test_the_name_of_another_job_is_refused_with_whose_it_is(bot_api: Api, api: Api, services: Services, store: Store) -> None:
    api("POST", "/api/admin/scheduler-jobs", {"name": "mine", "template_type": "noop", "parameters": {}})
    before = written(store)
    answer = bot_api("POST", REGISTER, [BY_URL, {**BY_URL, "name": "mine"}])
    assert answer.status_code == 409
    assert pointers(answer) == ["/1/name"]
    assert "was created by admin@example.com" in answer.json["errors"][0]["detail"]
    assert written(store) == before
    bot_api("POST", REGISTER, BY_URL)
    other = bot_api("POST", REGISTER, {**BY_URL, "serviceName": "crawler", "serviceUrl": "http://crawler:7004"})
    assert other.status_code == 409
    assert "belongs to the service email-service" in other.json["errors"][0]["detail"]


def test_a_service_belongs_to_the_account_that_registered_it(bot_api: Api, api: Api, services: Services) -> None:
    bot_api("POST", REGISTER, BY_URL)
    account(services, "other@example.com")
    other = Api(app_of(services), services.tokens.create(SYSTEM, email="other@example.com", name="t", scopes=[Scope.SERVICES]))
    for body in ({**BY_URL, "description": "taken over"}, BY_URL):
        refused = other("POST", REGISTER, body)
        assert refused.status_code == 403
        assert "bot@example.com" in refused.json["detail"]
    assert api("PUT", "/api/services/email-service", {"owner": "nobody@example.com"}).status_code == 422
    assert api("PUT", "/api/services/email-service", {"owner": "other@example.com"}).json["owner"] == "other@example.com"
    assert other("POST", REGISTER, {**BY_URL, "description": "handed over"}).json["updated"] == [BY_URL["name"]]
    assert bot_api("POST", REGISTER, BY_URL).status_code == 403


def test_of_two_accounts_that_register_a_service_at_once_one_has_it(
    bot_api: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    account(services, "other@example.com")
    other = Api(app_of(services), services.tokens.create(SYSTEM, email="other@example.com", name="t", scopes=[Scope.SERVICES]))
    add, answers = ServiceStore.add, []

    def add_later(self: ServiceStore, service: Service) -> bool:
        if service.created_by == "other@example.com":
            answers.append(bot_api("POST", REGISTER, BY_URL))
        return add(self, service)

    monkeypatch.setattr(ServiceStore, "add", add_later)
    assert other("POST", REGISTER, {**BY_URL, "name": "of-the-other"}).status_code == 403
    assert [answer.status_code for answer in answers] == [200]
    assert [job.definition.name for job in services.registrations.of_service("email-service")] == [BY_URL["name"]]


@pytest.mark.parametrize("scopes", [[Scope.READ, Scope.WRITE, Scope.RUN], [Scope.ENABLE]])
def test_a_token_without_the_scope_registers_nothing(app: Any, services: Services, bot: Actor, scopes: list[Scope]) -> None:
    caller = Api(app, services.tokens.create(SYSTEM, email=bot.email, name="t", scopes=scopes))
    assert caller("POST", REGISTER, BY_URL).status_code == 403
    assert caller("PUT", "/api/services/email-service/manifest", {"version": "1", "jobs": []}).status_code == 403
    assert caller("POST", "/api/services/email-service/heartbeat", {"instance": "a"}).status_code == 403


def test_nobody_registers_without_a_token(app: Any) -> None:
    assert Api(app, None)("POST", REGISTER, BY_URL).status_code == 401


# -- the address ------------------------------------------------------------------------------------------------------


def test_a_new_address_is_taken_over_and_audited(bot_api: Api, services: Services, store: Store) -> None:
    bot_api("POST", REGISTER, BY_URL)
    answer = bot_api("POST", REGISTER, {**BY_URL, "serviceUrl": "http://email-service:7007/"})
    assert answer.json["unchanged"] == [BY_URL["name"]], "the job itself is declared as before"
    settings = connection(services)["settings"]
    assert settings["address"] == "http://email-service:7007"
    assert settings["hosts"] == ["email-service:7006", "email-service:7007"]
    assert store.database["audit_log"].count_documents({"action": "connection.update"}) == 1


def test_a_connection_that_lists_its_hosts_allows_no_other(bot_api: Api, services: Services) -> None:
    bot_api("POST", REGISTER, BY_URL)
    answer = bot_api("POST", REGISTER, {**BY_URL, "serviceUrl": "http://evil.example.com"})
    assert answer.status_code == 422
    assert pointers(answer) == ["/serviceUrl"]
    assert connection(services)["settings"]["address"] == "http://email-service:7006"


def test_a_public_address_lists_no_hosts(bot_api: Api, services: Services) -> None:
    bot_api("POST", REGISTER, {**BY_URL, "serviceUrl": "https://email.example.com/base/"})
    settings = connection(services)["settings"]
    assert settings["address"] == "https://email.example.com/base"
    assert not settings.get("hosts")
    assert not settings["plain"]


def test_an_endpoint_may_be_a_whole_address(bot_api: Api, services: Services) -> None:
    body = {**BY_ENDPOINT, "endpoint": "https://email.example.com/api/jobs/weekly-digest"}
    assert bot_api("POST", REGISTER, body).status_code == 200
    assert connection(services)["settings"]["address"] == "https://email.example.com"
    assert registered(services, "weekly-digest").definition.parameters["path"] == "/api/jobs/weekly-digest"


def test_a_connection_of_another_kind_is_not_taken(bot_api: Api, api: Api) -> None:
    api("POST", "/api/admin/connections", {"name": "email-service", "kind": "http", "settings": {"hosts": ["a"], "proof": "none"}})
    answer = bot_api("POST", REGISTER, BY_URL)
    assert answer.status_code == 409
    assert "of another kind" in answer.json["detail"]


def test_the_key_is_stored_sealed_and_shown_once(bot_api: Api, api: Api, store: Store) -> None:
    secret = bot_api("POST", REGISTER, BY_URL).json["signingKey"]["secret"]
    assert secret not in str(list(store.database["connections"].find()))
    assert secret not in str(list(store.database["audit_log"].find()))
    rotated = api("POST", "/api/services/email-service/keys/rotate").json
    again = api("POST", "/api/services/email-service/keys/rotate").json
    row = api("GET", "/api/admin/connections").json["connections"][0]
    assert [key["id"] for key in row["settings"]["keys"]] == [rotated["id"], again["id"]]
    assert secret != rotated["secret"] != again["secret"]
    assert api("DELETE", "/api/services/email-service/keys/previous").status_code == 200
    row = api("GET", "/api/admin/connections").json["connections"][0]
    assert [key["id"] for key in row["settings"]["keys"]] == [again["id"]]


# -- life -------------------------------------------------------------------------------------------------------------


def test_an_unchanged_registration_is_noted_as_a_sign_of_life_now_and_then(
    bot_api: Api, services: Services, clock: ManualClock, super_admin: Actor
) -> None:
    bot_api("POST", REGISTER, BY_URL)
    seen = services.registered.get(super_admin, "email-service").service.seen_at
    clock.advance(59 * 60)
    bot_api("POST", REGISTER, BY_URL)
    assert services.registered.get(super_admin, "email-service").service.seen_at == seen
    clock.advance(60)
    bot_api("POST", REGISTER, BY_URL)
    assert services.registered.get(super_admin, "email-service").service.seen_at == clock.now()


def test_a_removed_service_can_register_again_and_finds_what_admins_chose(bot_api: Api, api: Api, services: Services) -> None:
    bot_api("POST", REGISTER, BY_URL)
    job = registered(services, BY_URL["name"])
    api("POST", f"/api/admin/scheduler-jobs/{job.id}/enable")
    assert api("DELETE", "/api/services/email-service").json == {"retired": [BY_URL["name"]]}
    assert api("GET", "/api/services/email-service").status_code == 404
    assert api("GET", f"/api/admin/scheduler-jobs/{job.id}").status_code == 404
    answer = bot_api("POST", REGISTER, BY_URL)
    assert answer.json["updated"] == [BY_URL["name"]]
    back = registered(services, BY_URL["name"])
    assert (back.id, back.definition.enabled) == (job.id, True)


def test_a_service_shows_its_endpoints_until_it_is_removed(bot_api: Api, api: Api, services: Services, store: Store) -> None:
    bot_api("POST", REGISTER, BY_URL)
    endpoints, now, origin = EndpointStore(store.database), services.clock.now(), "http://email-service:7006"
    new = endpoints.get("email-service", origin)
    call = LastCall(at=now, succeeded=False, seconds=0.5, error="The service answered 503", execution_id="e1", job_name=BY_URL["name"])
    assert endpoints.put(new, replace(new, breaker=Breaker().after([False] * 5, now), last_calls=(call,), changed_at=now))
    shown = api("GET", "/api/services/email-service").json
    assert api("GET", "/api/services").json["services"] == [shown]
    assert [(item["origin"], item["circuit"], item["failuresInRow"]) for item in shown["endpoints"]] == [(origin, "open", 5)]
    last = shown["endpoints"][0]["lastCalls"]
    assert [(item["job"], item["executionId"], item["error"]) for item in last] == [(BY_URL["name"], "e1", "The service answered 503")]
    assert api("DELETE", "/api/services/email-service").status_code == 200
    bot_api("POST", REGISTER, BY_URL)
    assert api("GET", "/api/services/email-service").json["endpoints"] == []


def test_a_deleted_job_comes_back_when_it_is_registered_again(bot_api: Api, api: Api, services: Services) -> None:
    bot_api("POST", REGISTER, BY_URL)
    job = registered(services, BY_URL["name"])
    api("PUT", f"/api/admin/scheduler-jobs/{job.id}", {"priority": 9})
    assert api("DELETE", f"/api/admin/scheduler-jobs/{job.id}").status_code == 200
    assert bot_api("POST", REGISTER, BY_URL).json["updated"] == [BY_URL["name"]]
    assert registered(services, BY_URL["name"]).definition.priority == 9


def test_an_admin_who_is_kept_to_groups_sees_no_other_jobs_of_an_instance(bot_api: Api, services: Services, super_admin: Actor) -> None:
    assert bot_api("POST", REGISTER, BY_URL).status_code == 200
    beat = {"instance": "one", "jobs": ["weekly-trending-digest", "another"]}
    assert bot_api("POST", "/api/services/email-service/heartbeat", beat).status_code == 200
    (seen,) = services.registered.get(super_admin, "email-service").service.instances
    assert set(seen.jobs) == {"weekly-trending-digest", "another"}
    kept = replace(super_admin, groups=frozenset({"north"}))
    (seen,) = services.registered.get(kept, "email-service").service.instances
    assert seen.jobs == ()


def test_who_registers_first_over_a_foreign_connection_cannot_change_its_address(
    api: Api, bot_api: Api, services: Services, bot: Actor
) -> None:
    body = {"name": "email-service", "kind": "service", "settings": {"address": "https://email.example.com"}}
    assert api("POST", "/api/admin/connections", body).status_code in {200, 201}
    answer = bot_api("POST", REGISTER, {**BY_URL, "serviceUrl": "https://evil.example.com"})
    assert (answer.status_code, pointers(answer)) == (422, ["/serviceUrl"])
    manifest = {"version": "1", "address": "https://evil.example.com", "jobs": []}
    answer = bot_api("PUT", "/api/services/email-service/manifest", manifest)
    assert (answer.status_code, pointers(answer)) == (422, ["/address"])
    assert connection(services)["settings"]["address"] == "https://email.example.com"
    assert bot_api("POST", REGISTER, {**BY_URL, "serviceUrl": "https://email.example.com"}).status_code == 200
    assert bot_api("POST", REGISTER, {**BY_URL, "serviceUrl": "https://new.example.com"}).status_code == 200, "it is the owner now"


def test_who_registered_a_service_may_name_another_address_after_its_removal(bot_api: Api, services: Services) -> None:
    bot_api("POST", REGISTER, {**BY_URL, "serviceUrl": "https://old.example.com"})
    services.registered.remove(SYSTEM, "email-service")
    assert bot_api("POST", REGISTER, {**BY_URL, "serviceUrl": "https://new.example.com"}).status_code == 200
    assert connection(services)["settings"]["address"] == "https://new.example.com"
