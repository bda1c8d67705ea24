"""Notes on jobs, and what a job needs: by pages and by REST."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.errors import Forbidden, LimitReached, NotFound, ValidationFailed
from app.factory import Store
from app.jobs import notes as module
from app.services import Services
from tests.conftest import Api, ManualClock, csrf

JOBS = "/api/admin/scheduler-jobs"


def make(services: Services, actor: Actor, name: str = "j", **changes: Any) -> str:
    body = {"name": name, "template_type": "test_scheduler", "schedule": {"type": "manual"}, **changes}
    return services.jobs.create(actor, body)[0].id


def text(answer: Any, status: int = 200) -> str:
    page: str = answer.get_data(as_text=True)
    assert answer.status_code == status, page[:2000]
    return page


def test_notes_stand_newest_first_and_are_audited(
    services: Services, super_admin: Actor, admin: Actor, clock: ManualClock, store: Store
) -> None:
    job = make(services, super_admin)
    first = services.notes.add(super_admin, job, "  Ask the shop team.\r\nThey know.  ")
    clock.advance(1)
    second = services.notes.add(admin, job, "x" * module.LONGEST)
    assert first.text == "Ask the shop team.\nThey know."
    assert [one.id for one in services.notes.of(admin, job)] == [second.id, first.id]
    assert services.notes.of(admin, make(services, super_admin, "other")) == []
    with pytest.raises(Forbidden):
        services.notes.drop(admin, job, first.id)
    services.notes.drop(admin, job, second.id)
    with pytest.raises(NotFound):
        services.notes.drop(admin, job, second.id)
    services.jobs.delete(super_admin, job)
    services.jobs.undelete(super_admin, job)
    assert [one.id for one in services.notes.of(admin, job)] == [first.id]
    services.notes.drop(super_admin, job, first.id)
    events = store.database["audit_log"].find({"target.id": job, "action": {"$in": ["job.note", "job.unnote"]}}, sort=[("seq", 1)])
    assert [(event["action"], event["actor"]["email"]) for event in events] == [
        ("job.note", super_admin.email),
        ("job.note", admin.email),
        ("job.unnote", admin.email),
        ("job.unnote", super_admin.email),
    ]


@pytest.mark.parametrize("wrong", ["", " \n\t ", "x" * (module.LONGEST + 1)])
def test_what_is_no_note_is_refused(services: Services, super_admin: Actor, wrong: str) -> None:
    with pytest.raises(ValidationFailed, match="/text"):
        services.notes.add(super_admin, make(services, super_admin), wrong)


def test_notes_are_bounded_and_kept_to_groups(services: Services, super_admin: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    job = make(services, super_admin, group="north")
    kept = [services.notes.add(super_admin, job, str(n)) for n in range(2)]
    with pytest.raises(LimitReached):
        services.notes.add(super_admin, job, "one more")
    stranger = replace(super_admin, id="s", role="admin", groups=frozenset({"south"}))
    for ask in (
        lambda: services.notes.of(stranger, job),
        lambda: services.notes.add(stranger, job, "x"),
        lambda: services.notes.drop(stranger, job, kept[0].id),
    ):
        with pytest.raises(NotFound):
            ask()
    other = make(services, super_admin, "other")
    with pytest.raises(NotFound):
        services.notes.drop(super_admin, other, kept[0].id)


def test_notes_over_rest(api: Api, admin_api: Api, services: Services, super_admin: Actor) -> None:
    path = f"{JOBS}/{make(services, super_admin)}/notes"
    made = api("POST", path, {"text": "<b>careful</b>"})
    assert (made.status_code, made.json["note"]["text"], made.json["note"]["by"]) == (201, "<b>careful</b>", super_admin.email)
    for body in ({}, {"text": 7}, {"text": "a", "more": 1}, [], {"text": ""}):
        assert admin_api("POST", path, body).status_code == 422, body
    assert admin_api("DELETE", f"{path}/{made.json['note']['_id']}").status_code == 403
    assert [one["text"] for one in admin_api("GET", path).json["notes"]] == ["<b>careful</b>"]
    assert api("DELETE", f"{path}/{made.json['note']['_id']}").status_code == 204
    assert api("DELETE", f"{path}/{made.json['note']['_id']}").status_code == 404
    assert api("GET", f"{JOBS}/nothing/notes").status_code == 404


def test_notes_are_written_on_the_page(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job = make(services, super_admin)
    page = text(browser_client.get(f"/jobs/{job}"))
    posted = browser_client.post(f"/jobs/{job}/notes", data={"csrf_token": csrf(page), "text": "<script>alert(1)</script>\nsecond line"})
    assert posted.headers["Location"].endswith(f"/jobs/{job}#notes")
    found = LexborHTMLParser(text(browser_client.get(f"/jobs/{job}")))
    note = found.css_first(".note-text")
    assert note is not None
    assert note.text() == "<script>alert(1)</script>\nsecond line"
    long = "y" * (module.LONGEST + 1)
    again = text(browser_client.post(f"/jobs/{job}/notes", data={"csrf_token": csrf(page), "text": long}), 422)
    assert "must have 1 to 4,000 characters" in again
    assert long in again, "nothing that was typed is lost"
    (kept,) = services.notes.of(super_admin, job)
    gone = browser_client.post(f"/jobs/{job}/notes/{kept.id}/delete", data={"csrf_token": csrf(page)})
    assert gone.status_code == 302
    assert "Note deleted" in text(browser_client.get(f"/jobs/{job}"))
    assert services.notes.of(super_admin, job) == []


def test_a_job_says_what_it_needs_and_what_is_wrong_with_it(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    shop = services.connections.create(super_admin, name="shop", kind="mongodb", settings={"uri": "mongodb://localhost", "database": "d"})
    services.connections.create(super_admin, name="files", kind="file_store", settings={"path": "/srv/x"})
    parameters = {"connection": "shop", "collection": "orders", "destination": {"connection": "files", "path": "x.csv"}}
    job = make(services, super_admin, template_type="data_export", parameters=parameters)
    needs = services.parameters.needs(services.jobs.get(super_admin, job))
    assert [(one.name, one.kind.type, one.wrong) for one in needs] == [("shop", "mongodb", ""), ("files", "file_store", "")]
    page = text(browser_client.get(f"/jobs/{job}"))
    assert f'href="/connections/{shop["_id"]}"' in page
    settings = {"uri": "mongodb://localhost", "database": "d", "collections": ["users"]}
    services.connections.update(super_admin, shop["_id"], name="shop", settings=settings)
    (narrow, _) = services.parameters.needs(services.jobs.get(super_admin, job))
    assert (narrow.name, narrow.wrong) == ("shop", "the connection 'shop' does not allow 'orders'; a super-admin can change that")
    store.database["connections"].delete_one({"name": "shop"})
    (gone, _) = services.parameters.needs(services.jobs.get(super_admin, job))
    assert (gone.id, gone.wrong) == ("", "is not the name of a connection of the kind MongoDB: 'shop'")
    assert "is not the name of a connection of the kind MongoDB" in text(browser_client.get(f"/jobs/{job}"))
    store.database["dynamic_jobs"].update_one({"_id": job}, {"$set": {"template_type": "gone_kind"}})
    assert services.parameters.needs(services.jobs.get(super_admin, job)) == []
    text(browser_client.get(f"/jobs/{job}"))
