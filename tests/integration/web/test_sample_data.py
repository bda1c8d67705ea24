"""The empty dashboard and its three steps; sample data by the press of a button, over REST and by command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services
from app.jobtemplates.catalogue import Catalogue
from app.samples.jobs import NAMES
from app.services import Services
from tests.commands import jobwright
from tests.conftest import Api, csrf
from tests.support import KEY, KINDS


@pytest.fixture
def services(sample_services: Services) -> Services:
    return sample_services


def page(client: FlaskClient, address: str = "/") -> LexborHTMLParser:
    answer = client.get(address)
    assert answer.status_code == 200
    return LexborHTMLParser(answer.get_data(as_text=True))


def steps(found: LexborHTMLParser) -> dict[str, bool]:
    """The steps by their titles, and whether each is done."""
    return {
        item.css_first("strong").text(): "done" in (item.attributes.get("class") or "")
        for item in found.css(".first-steps li")
        if item.css_first("strong") is not None
    }


def test_the_steps_tick_themselves_off(browser_client: FlaskClient, services: Services, super_admin: Actor, tmp_path: Path) -> None:
    found = page(browser_client)
    assert list(steps(found).values()) == [False, False, False]
    assert found.css_first("#dashboard") is None, "no empty headings"
    services.connections.create(super_admin, name="files", kind="file_store", settings={"path": str(tmp_path)})
    assert list(steps(page(browser_client)).values()) == [True, False, False]
    job, _ = services.jobs.create(super_admin, {"name": "mine", "template_type": "noop"})
    found = page(browser_client)
    assert list(steps(found).values()) == [True, True, False]
    assert found.css_first("form[action='/sample-data/create']") is None, "a job of one's own is better"
    assert found.css_first("#dashboard") is not None
    services.jobs.update(super_admin, job.id, {"schedule": {"type": "cron", "expression": "0 3 * * *"}})
    assert steps(page(browser_client)) == {}


def test_one_press_makes_it_and_one_removes_it(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    assert page(browser_client).css_first("form[action='/sample-data/create']") is not None
    token = csrf(browser_client.get("/").get_data(as_text=True))
    assert browser_client.post("/sample-data/create").status_code == 400, "not without the token of the form"
    assert browser_client.post("/sample-data/create", data={"csrf_token": token}).status_code == 302
    found = page(browser_client)
    assert "This installation contains sample data" in found.css_first("main").text()
    assert sorted(services.directory.names(super_admin, limit=10)) == sorted(NAMES)
    asked = page(browser_client, "/sample-data").css_first("main").text()
    assert all(name in asked for name in NAMES), "it says what goes before it goes"
    assert browser_client.post("/sample-data/remove", data={"csrf_token": token}).status_code == 302
    assert services.directory.names(super_admin, limit=10) == []
    assert "Sample data removed" in page(browser_client).css_first("body").text()


def test_the_page_says_what_is_missing_where_there_can_be_none(
    store: Store, settings: Settings, catalogue: Catalogue, clock: ManualClock, browser_client: FlaskClient, app: Flask, mongod: str
) -> None:
    app.extensions["jobwright"] = build_services(replace(settings, mongodb_uri=mongod), store, clock=clock, catalogue=catalogue)
    found = page(browser_client)
    assert found.css_first(".first-steps") is not None
    assert found.css_first("form[action='/sample-data/create']") is None
    found = page(browser_client, "/sample-data")
    assert "Set JOBWRIGHT_SAMPLE_URI" in found.css_first("main").text()
    assert found.css_first("form[action='/sample-data/create']") is None


def test_over_rest(api: Api) -> None:
    address = "/api/admin/sample-data"
    assert api("GET", address).json == {"exists": False, "jobs": [], "users": []}
    made = api("PUT", address).json
    assert (made["exists"], made["state"], len(made["jobs"])) == (True, "ready", len(NAMES))
    assert api("PUT", address).json["at"] == made["at"], "made once"
    assert api("DELETE", address).json["exists"] is False
    assert api("DELETE", address).status_code == 200


def test_by_command(services: Services, store: Store, mongod: str, tmp_path: Path) -> None:
    environment = {
        "MONGODB_URI": mongod,
        "JOBWRIGHT_SAMPLE_URI": mongod,
        "JOBWRIGHT_DATABASE": store.database.name,
        "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"),
        "JOBWRIGHT_SECRET_KEY": KEY,
        "PYTHONPATH": str(KINDS),
    }
    assert sorted(jobwright(environment, "sample", "create", check=True).stdout.splitlines()) == sorted(NAMES)
    assert services.samples.exists()
    refused = jobwright(environment, "sample", "remove")
    assert refused.returncode != 0, "without an answer nothing is removed"
    assert services.samples.exists()
    assert set(NAMES) <= set(jobwright(environment, "sample", "remove", "--yes", check=True).stdout.splitlines())
    assert not services.samples.exists()
    assert jobwright(environment, "sample", "remove", check=True).stdout == "There is no sample data.\n"
