"""Job types: what exists from the start, what a super-admin installs, over REST and on the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import SYSTEM, Actor, AuditFilter
from app.clock import ManualClock
from app.config import Settings
from app.errors import Forbidden, ValidationFailed
from app.factory import Store, build_services
from app.integrations.job_types.service import Installation
from app.integrations.job_types.types import JOB_TYPES
from app.jobs.filters import EVERY_JOB
from app.jobtemplates.catalogue import Catalogue
from app.services import Services
from tests.conftest import Api, csrf

TYPES = "/api/admin/job-types"
OF_DATABASE = ["cleanup_old_data", "archive_old_jobs"]
NAMES = [kind.name for kind in JOB_TYPES]


@pytest.fixture
def shop(services: Services, super_admin: Actor) -> str:
    """The connection `default` of the kind MongoDB."""
    settings = {"uri": "mongodb://127.0.0.1:1/shop", "database": "shop"}
    services.connections.create(super_admin, name="default", kind="mongodb", settings=settings)
    return "default"


def names(services: Services, actor: Actor) -> list[str]:
    return sorted(job.definition.name for job in services.directory.part(actor, EVERY_JOB, skip=0, limit=100)[0])


# -- from the start ---------------------------------------------------------------------------------------------------


def test_the_types_of_a_service_with_an_address_exist_from_the_start(services: Services, super_admin: Actor) -> None:
    """The settings of these tests have the address of the crawler."""
    services.job_types.install_at_start()
    assert names(services, super_admin) == ["crawl_pending"]
    job = services.directory.named(super_admin, "crawl_pending")
    assert (job.definition.enabled, job.next_run_at, job.created_by) == (False, None, SYSTEM.email)
    parameters = {"service": "crawler-service", "path": "/api/crawl/batch", "job_name": "crawl_pending"}
    assert job.definition.parameters.items() >= parameters.items()
    assert job.definition.parameters["config"] == {"batchSize": 100, "crawlStatus": "pending"}
    connection = services.connections.all(super_admin)[0]
    assert (connection["name"], connection["kind"], connection["settings"]["address"]) == (
        "crawler-service",
        "service",
        "http://crawler:7004",
    )
    assert connection["settings"]["hosts"] == ["crawler:7004"], "the host may be private: the operator has named it"
    services.job_types.install_at_start()
    assert services.directory.named(super_admin, "crawl_pending").version == 1


def test_a_type_that_was_deleted_does_not_come_back_at_the_next_start(services: Services, super_admin: Actor) -> None:
    services.job_types.install_at_start()
    services.runs.delete_job(super_admin, services.directory.named(super_admin, "crawl_pending").id)
    services.job_types.install_at_start()
    assert names(services, super_admin) == []
    outcomes = {outcome.name: outcome.result for outcome in services.job_types.install(super_admin)}
    assert outcomes["crawl_pending"] is Installation.CREATED, "a person may install it again"


def test_a_job_that_has_the_name_already_stays(services: Services, super_admin: Actor) -> None:
    job, _ = services.jobs.create(super_admin, {"name": "crawl_pending", "template_type": "noop"})
    services.job_types.install_at_start()
    assert services.jobs.get(super_admin, job.id).definition.template_type == "noop"
    assert services.connections.all(super_admin) == [], "nor is a connection made for it"


def test_a_type_that_cannot_be_made_does_not_stop_the_start(
    store: Store, settings: Settings, clock: ManualClock, catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    full = build_services(replace(settings, max_jobs=0), store, clock=clock, catalogue=catalogue)
    full.job_types.install_at_start()
    assert "job_types.not_installed" in caplog.text
    full.samples.close()


# -- installed by a super-admin ---------------------------------------------------------------------------------------


def test_what_a_type_lacks_is_said(services: Services, super_admin: Actor) -> None:
    missing = {standing.type.name: standing.missing for standing in services.job_types.standing(super_admin)}
    assert list(missing) == NAMES
    assert missing["crawl_pending"] == ""
    assert missing["weekly_digest"] == "Set EMAIL_SERVICE_URL to the address of the service, or create the connection email-service."
    assert missing["update_metrics"].startswith("Set DISCOVERY_SERVICE_URL ")
    assert missing["cleanup_old_data"] == "Create a MongoDB connection with the name default first."
    outcomes = {outcome.name: outcome for outcome in services.job_types.install(super_admin)}
    assert [name for name, outcome in outcomes.items() if outcome.result is Installation.CREATED] == ["crawl_pending"]
    assert outcomes["weekly_digest"].detail == missing["weekly_digest"]


def test_every_type_is_installed_with_one_action(services: Services, super_admin: Actor, shop: str) -> None:
    for name in ("email-service", "discovery-service"):
        settings = {"address": f"https://{name}.example.com", "hosts": [], "keys": []}
        services.connections.create(super_admin, name=name, kind="service", settings=settings)
    outcomes = services.job_types.install(super_admin)
    assert [(outcome.name, outcome.result) for outcome in outcomes] == [(name, Installation.CREATED) for name in NAMES]
    jobs = {name: services.directory.named(super_admin, name).definition for name in NAMES}
    assert [name for name, job in jobs.items() if job.enabled and job.schedule.trigger.type != "manual"] == [], "people enable them"
    cleanup = jobs["cleanup_old_data"]
    assert (cleanup.template_type, cleanup.parameters["connection"]) == ("database_cleanup", shop)
    assert (cleanup.parameters["condition"], cleanup.parameters["dryRun"]) == ({"created_at": {"$lt": "2 years ago"}}, False)
    assert jobs["archive_old_jobs"].parameters["condition"]["completed_at"] == {"$lt": "90 days ago"}
    assert {job.parameters.get("path") for job in jobs.values() if job.parameters.get("service") == "email-service"} == {"/api/send"}
    assert services.audit.history(AuditFilter(action="job.create"))[0]["actor"]["email"] == super_admin.email


def test_an_edited_job_stays_as_it_is(services: Services, super_admin: Actor) -> None:
    services.job_types.install(super_admin, ["crawl_pending"])
    job = services.directory.named(super_admin, "crawl_pending")
    parameters = {**job.definition.parameters, "config": {"batchSize": 20}}
    services.jobs.update(super_admin, job.id, {"parameters": parameters, "enabled": True})
    (outcome,) = services.job_types.install(super_admin, ["crawl_pending"])
    assert (outcome.result, outcome.job_id) == (Installation.EXISTS, job.id)
    now = services.jobs.get(super_admin, job.id).definition
    assert (now.parameters["config"], now.enabled) == ({"batchSize": 20}, True)


def test_where_default_is_of_another_kind_the_one_of_the_kind_is_used(services: Services, super_admin: Actor) -> None:
    services.connections.create(super_admin, name="default", kind="file_store", settings={"path": "/nowhere"})
    assert services.job_types.install(super_admin, OF_DATABASE)[0].result is Installation.FAILED
    settings = {"uri": "mongodb://127.0.0.1:1/shop", "database": "shop"}
    services.connections.create(super_admin, name="default-mongodb", kind="mongodb", settings=settings)
    assert [outcome.result for outcome in services.job_types.install(super_admin, OF_DATABASE)] == [Installation.CREATED] * 2
    job = services.directory.named(super_admin, "cleanup_old_data")
    assert job.definition.parameters["connection"] == "default-mongodb"


def test_a_connection_of_another_kind_with_the_name_of_the_service_is_told(services: Services, super_admin: Actor) -> None:
    services.connections.create(super_admin, name="crawler-service", kind="file_store", settings={"path": "/nowhere"})
    (outcome,) = services.job_types.install(super_admin, ["crawl_pending"])
    assert (outcome.result, "of another kind" in outcome.detail) == (Installation.FAILED, True)


def test_only_super_admins_install(services: Services, admin: Actor, super_admin: Actor) -> None:
    with pytest.raises(Forbidden):
        services.job_types.standing(admin)
    with pytest.raises(Forbidden):
        services.job_types.install(admin)
    with pytest.raises(ValidationFailed) as failed:
        services.job_types.install(super_admin, ["crawl_pending", "unknown"])
    assert failed.value.errors[0].pointer == "/names"
    assert names(services, super_admin) == [], "nothing is installed then"


# -- over REST --------------------------------------------------------------------------------------------------------


def test_rest_lists_and_installs(api: Api, shop: str) -> None:
    listed = {row["name"]: row for row in api("GET", TYPES).json["job_types"]}
    assert list(listed) == NAMES
    assert listed["crawl_pending"] == {
        "name": "crawl_pending",
        "description": "Crawl up to 100 pending pages",
        "template_type": "service_job",
        "service": "crawler-service",
        "path": "/api/crawl/batch",
        "cron": "*/15 * * * *",
        "job_id": None,
    }
    assert "EMAIL_SERVICE_URL" in listed["weekly_digest"]["missing"]
    answer = api("POST", f"{TYPES}/install", {"names": ["cleanup_old_data", "weekly_digest"]})
    digest, cleanup = answer.json["results"]
    assert (answer.status_code, cleanup["result"], digest["result"], digest["job_id"]) == (200, "created", "failed", None)
    assert api("GET", TYPES).json["job_types"][NAMES.index("cleanup_old_data")]["job_id"] == cleanup["job_id"]
    results = {row["name"]: row["result"] for row in api("POST", f"{TYPES}/install").json["results"]}
    assert (results["cleanup_old_data"], results["crawl_pending"], results["archive_old_jobs"]) == ("exists", "created", "created")
    run = api("POST", "/api/jobs/trigger", {"jobType": "crawl_pending"})
    assert (run.status_code, run.json["jobType"]) == (202, "crawl_pending")


@pytest.mark.parametrize("body", [{"names": ["unknown"]}, {"names": "crawl_pending"}, {"names": [5]}, {"other": 1}, [], "text"])
def test_rest_refuses_wrong_names(api: Api, body: Any) -> None:
    answer = api("POST", f"{TYPES}/install", body)
    assert answer.status_code in {400, 422}
    assert answer.json["errors"] if answer.status_code == 422 else answer.json["detail"]


# -- on the page ------------------------------------------------------------------------------------------------------


def page(client: FlaskClient, language: str = "en") -> LexborHTMLParser:
    answer = client.get("/job-types", headers={"Accept-Language": language})
    assert answer.status_code == 200
    return LexborHTMLParser(answer.get_data(as_text=True))


def rows(tree: LexborHTMLParser) -> dict[str, str]:
    """The words of each row, by the name of the job type."""
    return {row.css_first("code").text(): " ".join(row.text().split()) for row in tree.css("tbody tr")}


def install(client: FlaskClient, **fields: str) -> str:
    token = csrf(client.get("/job-types").get_data(as_text=True))
    answer = client.post("/job-types/install", data={"csrf_token": token, **fields}, follow_redirects=True)
    assert answer.status_code == 200
    return str(answer.get_data(as_text=True))


def test_the_page_shows_each_type_and_installs_one_or_all(
    browser_client: FlaskClient, services: Services, super_admin: Actor, shop: str
) -> None:
    shown = rows(page(browser_client))
    assert list(shown) == NAMES
    assert "Ready to install" in shown["crawl_pending"]
    assert "Set EMAIL_SERVICE_URL" in shown["weekly_digest"]
    assert page(browser_client).css_first("header .primary").text(strip=True) == "Install 3 job types"
    assert "1 job created." in install(browser_client, name="crawl_pending")
    job = services.directory.named(super_admin, "crawl_pending")
    assert page(browser_client).css_first(f'a[href="/jobs/{job.id}"]').text() == "crawl_pending"
    assert "Installed" in rows(page(browser_client))["crawl_pending"]
    assert "2 jobs created." in install(browser_client)
    assert page(browser_client).css_first("header .primary") is None, "nothing is left that could be installed"
    assert names(services, super_admin) == sorted([*OF_DATABASE, "crawl_pending"])
    assert "Set EMAIL_SERVICE_URL" in install(browser_client, name="weekly_digest"), "an old page may still have the button"


def test_the_page_speaks_german(browser_client: FlaskClient, shop: str) -> None:
    tree = page(browser_client, "de")
    assert tree.css_first("h1").text() == "Job-Typen"
    assert "3 Job-Typen installieren" in tree.css_first("header.head").text()
    assert "Setzen Sie EMAIL_SERVICE_URL" in rows(tree)["weekly_digest"]


def test_the_gallery_leads_super_admins_to_the_page(browser_client: FlaskClient) -> None:
    gallery = LexborHTMLParser(browser_client.get("/templates").get_data(as_text=True))
    assert gallery.css_first('a[href="/job-types"]') is not None
