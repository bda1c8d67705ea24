"""What leads people on: help from the documentation, the palette, nodes and settings, times in the viewer's zone; and how heavy pages are."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.accounts.signin import Visitor
from app.audit.model import SYSTEM, Actor
from app.errors import ValidationFailed
from app.factory import Store, create_app
from app.scheduling.node_store import Heartbeat, NodeStore
from app.services import Services
from tests.builders.queue import Queue
from tests.conftest import START, csrf
from tests.posting import text
from tests.support import KEY
from web.setup import STATIC
from web.views.help import DOCS, TOPICS, topic_of, topics, topics_in

MOST_BYTES = 60_000  # of our own styles and scripts together, compressed


# -- help -------------------------------------------------------------------------------------------------------------


def test_each_topic_is_a_page_and_its_links_lead_to_topics(browser_client: FlaskClient) -> None:
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in Path(DOCS).rglob("*.md")}
    assert set(topics()) == {name for name in pages if not name.startswith(("README", "decisions/", "de/"))}
    for name in topics():
        answer = browser_client.get(f"/help/{name}")
        assert answer.status_code == 200
        page = LexborHTMLParser(text(answer))
        assert len(page.css("h1.shown")) == 1
        for link in page.css(".prose a"):
            target = link.attributes["href"] or ""
            assert ".md" not in target, f"{name} → {target}"
            if target.startswith("/help/"):
                assert target.removeprefix("/help/").partition("#")[0] in topics(), f"{name} → {target}"
        for picture in page.css(".prose img"):
            assert picture.attributes["alt"], f"{name}: a picture has no words"
            with browser_client.get(picture.attributes["src"] or "") as sent:
                assert sent.mimetype == "image/png", name
    assert browser_client.get("/help/pictures/nothing.png").status_code == 404
    assert browser_client.get("/help").status_code == 200
    assert browser_client.get("/help/how-to/nothing").status_code == 404
    assert browser_client.get("/help/decisions/0001-one-way-house").status_code == 404


@pytest.mark.parametrize(("path", "topic"), TOPICS)
def test_each_page_has_a_topic(path: str, topic: str) -> None:
    assert topic in topics()
    assert topic_of(path) == topic


# -- palette ----------------------------------------------------------------------------------------------------------


def test_titles_are_in_the_viewers_language() -> None:
    english, german = topics_in("en"), topics_in("de")
    same = {name for name, topic in german.items() if topic.title == english[name].title}
    assert same <= {"reference/rest", "reference/templates/webhook_trigger"}, "REST and Webhook are called so in each language"
    assert {topic.language for topic in german.values()} == {"en", "de"}


@pytest.mark.parametrize("spoken", ["en", "de"])
def test_the_form_of_a_job_leads_to_the_help_on_mail(browser_client: FlaskClient, spoken: str) -> None:
    speaks = {"Accept-Language": spoken}
    assert 'href="/help/how-to/notify"' in text(browser_client.get("/jobs/new?template=noop", headers=speaks))
    assert "JOBWRIGHT_NOTIFY_CONNECTION" in text(browser_client.get("/help/how-to/notify", headers=speaks))


def found(client: FlaskClient, query: str) -> list[tuple[str, str]]:
    page = LexborHTMLParser(text(client.get("/palette", query_string={"q": query})))
    return [(node.css_first(".muted").text(), node.attributes["data-href"] or "") for node in page.css("li[data-href]")]  # type: ignore[union-attr]


def test_the_palette_finds_pages_jobs_templates_and_topics(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = services.jobs.create(super_admin, {"name": "Audit <the> books", "template_type": "noop"})[0]
    services.preferences.save_view(super_admin, "Audit, failing", "last=failed")
    rows = found(browser_client, "audit")
    assert ("Page", "/audit") in rows
    assert ("Job", f"/jobs/{job.id}") in rows
    assert ("View", "/jobs?last=failed") in rows
    assert ("New job", "/jobs/new?template=database_cleanup") in found(browser_client, "cleanup DATABASE")
    assert ("Help", "/help/how-to/operate") in found(browser_client, "production")
    assert found(browser_client, "zzzz") == []
    assert ("Page", "/") in found(browser_client, "")
    assert found(browser_client, ".*") == []


def test_the_palette_and_the_settings_are_for_who_may_see_them(services: Services, admin: Actor) -> None:
    client = create_app(services).test_client()
    with client.session_transaction() as session:
        session["s"] = services.signin.admit(services.accounts.get(replace(SYSTEM), admin.id), Visitor("192.0.2.1"), "t").secret
    pages = [href for kind, href in found(client, "") if kind == "Page"]
    assert "/jobs" in pages
    assert not {"/users", "/audit", "/maintenance"} & set(pages)
    assert "JOBWRIGHT_SECRET_KEY" not in text(client.get("/system"))


# -- nodes and settings -----------------------------------------------------------------------------------------------


def test_nodes_and_settings_are_shown_and_secrets_are_not(browser_client: FlaskClient, store: Store) -> None:
    assert "No node is online, so no job starts" in text(browser_client.get("/system"))
    NodeStore(store.database).beat("n1", Heartbeat(host="alpha", clock=START, tick_age_seconds=0.2))
    store.database["nodes"].update_one({"_id": "n1"}, {"$set": {"seen_at": START - timedelta(minutes=5)}})
    page = text(browser_client.get("/system"))
    assert "No node is online, so no job starts" in page
    nodes = text(browser_client.get("/nodes"))
    assert "offline" in nodes
    assert "300.0 s" in nodes
    assert KEY not in page
    rows = {node.css_first("code").text(): node.text(separator=" ") for node in LexborHTMLParser(page).css("table.settings tbody tr")}  # type: ignore[union-attr]
    assert "not set" not in rows["JOBWRIGHT_SECRET_KEY"]
    assert "not set" in rows["JOBWRIGHT_OIDC_CLIENT_SECRET"]


def test_every_live_status_is_counted(store: Store) -> None:
    executions = Queue(store.database)
    assert executions.statistics.counts_by_status() == {"queued": 0, "running": 0, "retrying": 0}
    store.database["job_executions"].insert_many([{"_id": f"e{n}", "job_id": "j", "live": True, "status": "queued"} for n in range(3)])
    assert executions.statistics.counts_by_status() == {"queued": 3, "running": 0, "retrying": 0}


# -- the viewer's zone ------------------------------------------------------------------------------------------------


def test_times_are_in_the_zone_of_the_account_else_of_the_browser(
    browser_client: FlaskClient, services: Services, super_admin: Actor
) -> None:
    def clock() -> str:
        match = re.search(r'class="clock"[^>]*>([^<]+)<', text(browser_client.get("/jobs")))
        assert match is not None
        return match[1]

    assert clock() == "12:00 UTC"
    browser_client.set_cookie("jobwright_zone", "Asia/Kolkata")
    assert clock() == "17:30 IST"
    browser_client.set_cookie("jobwright_zone", "../../etc/passwd")
    assert clock() == "12:00 UTC"
    token = csrf(text(browser_client.get("/account")))
    assert browser_client.post("/account/reading", data={"csrf_token": token, "zone": "America/New_York"}).status_code == 302
    browser_client.set_cookie("jobwright_zone", "Asia/Kolkata")
    assert clock() == "07:00 EST"
    wrong = browser_client.post("/account/reading", data={"csrf_token": token, "zone": "Mars/Olympus"})
    assert (wrong.status_code, "is not an IANA time zone" in text(wrong), 'value="Mars/Olympus"' in text(wrong)) == (422, True, True)
    assert clock() == "07:00 EST"
    browser_client.post("/account/reading", data={"csrf_token": token, "zone": ""})
    assert clock() == "17:30 IST"
    with pytest.raises(ValidationFailed):
        services.preferences.set_reading(super_admin, "x" * 500, "")


# -- weight -----------------------------------------------------------------------------------------------------------


def test_our_own_styles_and_scripts_are_light() -> None:
    ours = [path for path in STATIC.rglob("*") if path.suffix in {".css", ".js"} and "vendor" not in path.parts]
    assert len(ours) >= 5
    assert sum(len(gzip.compress(path.read_bytes(), 6)) for path in ours) <= MOST_BYTES


def test_no_page_has_a_style_or_a_script_of_its_own() -> None:
    pages = list((STATIC.parent / "templates").rglob("*.html"))
    assert len(pages) > 40
    for path in pages:
        html = path.read_text("utf-8")
        assert " style=" not in html, path
        assert not re.search(r"<script(?![^>]* src=)", html), path
        assert not re.search(r"\son[a-z]+=\"", html), path
