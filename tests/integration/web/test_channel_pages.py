"""The pages of channels and notifications, and what a job's form and the page of an execution say of them."""

from __future__ import annotations

from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.notification.delivery import DeliveryFilter
from app.services import Services
from app.validation.secret import MASK
from tests.conftest import Api
from tests.posting import post, text

URL = "http://127.0.0.1:1/hook"  # a private address, which is refused
KEY = "whsec_" + "A" * 43 + "="


def words(page: str) -> str:
    main = LexborHTMLParser(page).css_first("main")
    assert main is not None
    return " ".join(main.text().split())


def test_a_channel_is_created_tested_changed_and_deleted(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    assert "No channels yet" in words(text(browser_client.get("/channels")))
    assert "Webhook" in words(text(browser_client.get("/channels/new")))
    wrong = post(browser_client, "/channels/new?type=webhook", {"name": "-", "/url": "ftp://x"})
    assert wrong.status_code == 422
    made = post(browser_client, "/channels/new?type=webhook", {"name": "Ops", "enabled": "1", "language": "de", "/url": URL, "/key": KEY})
    assert made.status_code == 302
    (row,) = services.channels.all(super_admin)
    assert (row["name"], row["language"], row["enabled"], row["settings"]["key"]) == ("Ops", "de", True, MASK)
    page = f"/channels/{row['_id']}"
    assert KEY not in text(browser_client.get(page))
    tested = words(text(post(browser_client, page, {}, to=f"{page}/test")))
    assert "The test message could not be sent." in tested
    assert "JOBWRIGHT_ALLOWED_HOSTS" in tested
    log = words(text(browser_client.get("/deliveries")))
    assert "Test des Kanals Ops" in log
    assert "Refused" in log
    (delivery,), _ = services.deliveries.page(super_admin, DeliveryFilter(), limit=5)
    shown = words(text(browser_client.get(f"/deliveries/{delivery.id}")))
    assert "hat diesen Kanal getestet" in shown
    replayed = post(browser_client, page, {}, to=f"/deliveries/{delivery.id}/replay")
    assert replayed.status_code == 302
    assert "Waiting to be sent" in words(text(browser_client.get(f"/deliveries/{delivery.id}")))
    changed = post(browser_client, page, {"name": "Ops 2", "/url": URL})
    assert changed.status_code == 302, text(changed)
    (row,) = services.channels.all(super_admin)
    assert (row["name"], row["enabled"], row["settings"]["key"]) == ("Ops 2", True, MASK), "the box and the key stay as they are"
    services.jobs.create(super_admin, {"name": "Night", "template_type": "noop", "notifications": {"on_failure": ["channel:Ops 2"]}})
    assert "Used by Night." in words(text(browser_client.get(page)))
    assert "is used by Night" in words(text(post(browser_client, page, {}, to=f"{page}/delete")))
    assert "channel:Ops 2" in text(browser_client.get("/jobs/new?template=noop")), "the form offers it"


def test_an_admin_reads_channels_over_rest_without_their_settings(api: Api, admin_api: Api) -> None:
    body = {"name": "Ops", "type": "webhook", "settings": {"url": URL, "key": KEY}}
    made = api("POST", "/api/admin/channels", body)
    assert (made.status_code, made.json["channel"]["settings"]["key"]) == (201, MASK)
    (row,) = admin_api("GET", "/api/admin/channels").json["channels"]
    assert (row["name"], "settings" in row) == ("Ops", False)
    types = {row["type"]: row["settings_schema"]["required"] for row in admin_api("GET", "/api/admin/channels/types").json["types"]}
    assert types["webhook"] == ["url"]
    path = f"/api/admin/channels/{row['_id']}"
    assert admin_api("GET", path).status_code == 403
    wrong = api("PUT", path, {"name": "-", "settings": {"url": 5}, "enabled": "perhaps"})
    assert {error["pointer"] for error in wrong.json["errors"]} == {"/name", "/settings/url", "/enabled"}
    change = {"name": "Ops", "settings": {"url": URL, "key": MASK}, "language": "de"}
    changed = api("PUT", path, change, If_Match='"1"')
    assert (changed.status_code, changed.json.get("channel", {}).get("version")) == (200, 2), changed.json
    assert api("POST", f"{path}/test").json["result"] == "refused"
    (sent,) = admin_api("GET", "/api/admin/deliveries?limit=1&status=refused").json["deliveries"]
    assert sent["message"]["title"] == "Test des Kanals Ops"
    assert api("POST", f"/api/admin/deliveries/{sent['id']}/replay").json["delivery"]["status"] == "waiting"
    assert api("POST", f"/api/admin/deliveries/{sent['id']}/replay").status_code == 409
    assert admin_api("GET", f"/api/admin/deliveries/{sent['id']}").json["delivery"]["key"] == f"{sent['id']}-1"
    assert api("DELETE", path).status_code == 200


def test_notifications_are_filtered_and_shown_in_pages(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    made = services.channels.create(super_admin, name="Ops", type="webhook", settings={"url": URL})
    for _ in range(52):
        services.channels.test(super_admin, made["_id"])
    first = text(browser_client.get(f"/deliveries?status=refused&channel={made['_id']}&from=2026-01-01&job="))
    (older,) = [link.attributes["href"] or "" for link in LexborHTMLParser(first).css("a[href*='before=']")]
    assert first.count("Test of the channel Ops") == 50
    assert text(browser_client.get(older)).count("Test of the channel Ops") == 2
    for query in ("status=sent", "to=2020-01-01", "job=nothing", "before=x"):
        page = text(browser_client.get(f"/deliveries?{query}"))
        assert ("No notification matches" in page) == (query != "before=x")
    dashboard = words(text(browser_client.get("/")))
    assert "did not arrive" not in dashboard, "a test that failed is nobody's alarm"
