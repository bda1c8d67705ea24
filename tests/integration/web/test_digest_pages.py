"""The pages of digests, the part of the account, and REST."""

from __future__ import annotations

from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.factory import Store
from app.queue.model import Status
from app.services import Services
from tests.builders.queue import execution_document
from tests.conftest import Api
from tests.posting import post, text

TEAM = {"name": "Ops", "to": ["ops@example.com"], "every": "daily", "at": "07:00", "timezone": "Europe/Berlin"}


def words(page: str) -> str:
    main = LexborHTMLParser(page).css_first("main")
    assert main is not None
    return " ".join(main.text().split())


def test_a_digest_is_created_previewed_changed_and_deleted(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    assert "No digests yet" in words(text(browser_client.get("/digests")))
    form = text(browser_client.get("/digests/new"))
    assert "Every week" in words(form)
    wrong = post(browser_client, "/digests/new", {"/name": "", "/to": "nobody", "/at": "7"})
    assert wrong.status_code == 422
    assert "such as 07:00" in words(text(wrong))
    fields = {"/name": "Ops", "/to": "ops@example.com", "/at": "07:30", "/timezone": "Europe/Berlin"}
    made = post(browser_client, "/digests/new", fields)
    assert made.status_code == 302, words(text(made))
    (digest,) = services.digests.all(super_admin)
    assert (digest.name, digest.to, digest.at, digest.enabled) == ("Ops", ("ops@example.com",), "07:30", True)
    listed = words(text(browser_client.get("/digests")))
    assert "Every day at 07:30" in listed
    assert "all jobs" in listed
    page = f"/digests/{digest.id}"
    assert "Nothing failed" in words(text(browser_client.get(f"{page}/preview")))
    job, _ = services.jobs.create(super_admin, {"name": "<b>Night</b>", "template_type": "noop"})
    document = execution_document(job, now=services.clock.now(), status=Status.FAILED)
    store.database["job_executions"].insert_one({**document, "live": False})
    shown = text(browser_client.get(f"{page}/preview"))
    assert "<b>Night</b>" not in shown
    assert "<b>Night</b>: 1 failed run" in words(shown)
    changed = post(browser_client, page, {"/name": "Ops 2"})
    assert changed.status_code == 302, words(text(changed))
    assert services.digests.get(super_admin, digest.id).name == "Ops 2"
    assert post(browser_client, page, {}, to=f"{page}/delete").status_code == 302
    assert services.digests.all(super_admin) == []


def test_my_own_digest(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    assert "Set up digest" in words(text(browser_client.get("/account")))
    page = words(text(browser_client.get("/digests/mine")))
    assert super_admin.email in page
    assert "JOBWRIGHT_NOTIFY_CONNECTION" in page, "mail cannot be sent yet"
    assert "Nothing failed" in words(text(browser_client.get("/digests/mine/preview")))
    saved = post(browser_client, "/digests/mine", {"/every": "1", "/at": "06:45"})
    assert saved.status_code == 302, words(text(saved))
    mine = services.digests.mine(super_admin)
    assert mine is not None
    assert (mine.enabled, mine.at) == (True, "06:45")
    before = mine.next_at
    assert "Change digest" in words(text(browser_client.get("/account")))
    post(browser_client, "/account", {"zone": "America/New_York"}, to="/account/reading")
    mine = services.digests.mine(super_admin)
    assert mine is not None
    assert mine.next_at != before, "it follows the time zone"
    assert post(browser_client, "/digests/mine", {"/at": "25:00"}).status_code == 422
    post(browser_client, "/digests/mine", {"/every": "0"})
    assert "Set up digest" in words(text(browser_client.get("/account")))


def test_digests_over_rest(api: Api, admin_api: Api) -> None:
    made = api("POST", "/api/admin/digests", TEAM)
    assert made.status_code == 201, made.json
    digest = made.json["digest"]
    assert (digest["name"], digest["language"], digest["groups"]) == ("Ops", "", [])
    path = f"/api/admin/digests/{digest['id']}"
    assert api("POST", "/api/admin/digests", TEAM).status_code in {409, 422}
    assert api("POST", "/api/admin/digests", {**TEAM, "name": "B", "at": "7"}).json["errors"][0]["pointer"] == "/at"
    changed = admin_api("PUT", path, {**TEAM, "only_if_any": True}, If_Match=made.headers["ETag"])
    assert changed.status_code == 200, changed.json
    assert api("PUT", path, TEAM, If_Match=made.headers["ETag"]).status_code in {409, 412}
    preview = api("GET", f"{path}/preview").json
    assert (preview["would_send"], preview["parts"], preview["runs"]) == (False, [], 0)
    assert [row["id"] for row in api("GET", "/api/admin/digests").json["digests"]] == [digest["id"]]
    assert api("GET", "/api/admin/digests/none").status_code == 404
    assert api("DELETE", path).status_code == 200
    assert api("GET", path).status_code == 404
