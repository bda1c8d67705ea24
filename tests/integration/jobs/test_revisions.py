"""Versions of a job: what each change was, the way back, and two changes at once; by pages and by REST."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor, AuditFilter
from app.errors import ApprovalNeeded, DuplicateName, NotFound, StaleVersion, ValidationFailed
from app.factory import Store
from app.jobs.model import Job
from app.services import Services
from tests.conftest import Api, csrf
from tests.posting import Page, text

HOURLY = {"type": "cron", "expression": "0 * * * *"}


@pytest.fixture
def job(services: Services, super_admin: Actor) -> Job:
    body = {"name": "Night", "template_type": "noop", "schedule": HOURLY, "parameters": {"secret": "canary-secret"}}
    first = services.jobs.create(super_admin, body)[0]
    services.jobs.update(super_admin, first.id, {"description": "second", "schedule": {"type": "cron", "expression": "30 * * * *"}})
    services.pausing.pause(super_admin, first.id, {"reason": "x"})
    services.pausing.resume(super_admin, first.id)
    return services.jobs.set_enabled(super_admin, first.id, enabled=False)


def test_each_change_is_a_version(services: Services, super_admin: Actor, job: Job) -> None:
    rows = services.jobs.revisions(super_admin, job.id)
    assert [(one.version, [row["field"] for row in one.diff], one.first, one.paused) for one in rows] == [
        (5, ["/enabled"], False, None),
        (4, [], False, False),
        (3, [], False, True),
        (2, ["/description", "/schedule/expression"], False, None),
        (1, [], True, None),
    ]
    assert [one.version for one in services.jobs.revisions(super_admin, job.id, limit=2)] == [5, 4]
    assert [one.version for one in services.jobs.revisions(super_admin, job.id, before=4, limit=2)] == [3, 2]
    assert "canary" not in repr(rows)


def test_a_version_is_restored_and_that_too_is_taken_back(services: Services, super_admin: Actor, job: Job, store: Store) -> None:
    sealed = store.database["dynamic_jobs"].find_one({"_id": job.id})["parameters"]["secret"]  # type: ignore[index]
    back = services.jobs.restore(super_admin, job.id, 1, version=5)
    assert (back.version, back.definition.description, back.definition.schedule.trigger.expression) == (6, "", "0 * * * *")
    assert not back.definition.enabled, "it stays switched off"
    assert back.definition.parameters["secret"] == sealed
    again = services.jobs.restore(super_admin, job.id, 5)
    assert (again.version, again.definition) == (7, job.definition)
    assert services.jobs.restore(super_admin, job.id, 5).version == 7, "nothing to do is no change"
    events = services.audit.history(AuditFilter(kind="job", target_id=job.id), limit=2)
    assert [(event["action"], bool(event["diff"])) for event in events] == [("job.restore", True), ("job.restore", True)]
    with pytest.raises(StaleVersion):
        services.jobs.restore(super_admin, job.id, 2, version=3)
    with pytest.raises(NotFound):
        services.jobs.restore(super_admin, job.id, 99)


def test_what_was_right_then_is_judged_as_of_now(services: Services, super_admin: Actor, admin: Actor, job: Job, store: Store) -> None:
    services.jobs.update(super_admin, job.id, {"name": "Day"})
    services.jobs.create(super_admin, {"name": "Night", "template_type": "noop"})
    with pytest.raises(DuplicateName):
        services.jobs.restore(super_admin, job.id, 2)
    store.database["job_revisions"].update_one(
        {"job_id": job.id, "version": 2}, {"$set": {"definition.name": "Day", "definition.parameters": {"seconds": "many"}}}
    )
    with pytest.raises(ValidationFailed) as failed:
        services.jobs.restore(super_admin, job.id, 2)
    assert [one.pointer for one in failed.value.errors] == ["/parameters/seconds"]
    body = {"name": "d", "template_type": "misbehave", "parameters": {"how": "raise"}}
    dangerous = services.jobs.create(super_admin, body)[0]
    services.jobs.update(super_admin, dangerous.id, {"description": "x"})
    with pytest.raises(ApprovalNeeded):
        services.jobs.restore(admin, dangerous.id, 1)


def test_pages_and_rest_show_and_restore(browser_client: FlaskClient, api: Api, services: Services, super_admin: Actor, job: Job) -> None:
    page = text(browser_client.get(f"/jobs/{job.id}/revisions"))
    assert "canary" not in page
    assert [node.text().split()[1] for node in LexborHTMLParser(page).css(".revisions h2")] == ["5", "4", "3", "2", "1"]
    assert "Older" not in page
    token = csrf(page)
    answer = browser_client.post(f"/jobs/{job.id}/revisions/1/restore", data={"csrf_token": token, "version": "5"}, follow_redirects=True)
    undo = LexborHTMLParser(text(answer)).css_first("#toasts form")
    assert undo is not None
    browser_client.post(undo.attributes["action"] or "", data={"csrf_token": token})
    assert services.jobs.get(super_admin, job.id).definition == job.definition
    assert browser_client.post(f"/jobs/{job.id}/revisions/1/restore", data={"csrf_token": token, "version": "5"}).status_code == 412

    found = api("GET", f"/api/admin/scheduler-jobs/{job.id}/revisions?limit=1").get_json()["revisions"]
    assert [one["version"] for one in found] == [7]
    path = f"/api/admin/scheduler-jobs/{job.id}/revisions/1/restore"
    assert api("POST", path, If_Match='"1"').status_code == 412
    answer = api("POST", path, If_Match='"7"')
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"8"')


def test_rest_makes_copies_and_says_figures(api: Api, services: Services, super_admin: Actor, job: Job) -> None:
    path = f"/api/admin/scheduler-jobs/{job.id}"
    answer = api("POST", f"{path}/clone", {"name": "Copy"})
    copy = answer.get_json()["job"]
    assert (answer.status_code, copy["name"], copy["enabled"], copy["schedule"]["expression"]) == (201, "Copy", False, "30 * * * *")
    assert "secret" not in copy["parameters"]
    assert answer.headers["Location"].endswith(copy["_id"])
    assert api("POST", f"{path}/clone", {"name": "Copy"}).status_code == 409
    assert api("POST", f"{path}/clone", {}).get_json()["errors"][0]["pointer"] == "/name"
    assert api("GET", f"{path}/stats").get_json() == {
        "executions": 0,
        "by_status": {},
        "success": None,
        "median_seconds": None,
        "p95_seconds": None,
        "items": None,
    }


def _multi(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def merge_fields(html: str) -> dict[str, list[str]]:
    """What the merge page would send, untouched."""
    form = LexborHTMLParser(html).css_first("main form.full")
    assert form is not None
    pairs = [(node.attributes["name"] or "", node.attributes.get("value") or "") for node in form.css("input[type=hidden]")]
    pairs += [(node.attributes["name"] or "", node.text().removeprefix("\n")) for node in form.css("textarea")]
    pairs += [(node.attributes["name"] or "", node.attributes["value"] or "") for node in form.css("input[type=radio][checked]")]
    return _multi(pairs)


@pytest.mark.parametrize(("side", "tags"), [("mine", ("c",)), ("theirs", ("b",))])
def test_two_changes_are_put_together(
    browser_client: FlaskClient, services: Services, super_admin: Actor, side: str, tags: tuple[str, ...]
) -> None:
    made = services.jobs.create(
        super_admin, {"name": "j", "template_type": "noop", "tags": ["a"], "parameters": {"secret": "canary-secret"}}
    )[0]
    path = f"/jobs/{made.id}/edit"
    pairs = _multi(Page(text(browser_client.get(path))).pairs())
    services.jobs.update(super_admin, made.id, {"priority": 9, "tags": ["b"]})
    pairs["d.mdescription"] = ["mine"] if "d.mdescription" in pairs else pytest.fail(f"{sorted(pairs)}")
    tag = next(name for name, values in pairs.items() if values == ["a"] and name.startswith("d."))
    pairs[tag] = ["c"]
    answer = browser_client.post(path, data=pairs)
    page = text(answer)
    assert (answer.status_code, "Someone else changed this job" in page, "canary" in page) == (412, True, False)
    sections = {
        node.css_first("h2").text(): node.text() for node in LexborHTMLParser(page).css("form.full section") if node.css_first("h2")
    }  # type: ignore[union-attr]
    assert "Tags" in sections["Both of you changed this field"]
    assert "Description" in sections["Only you changed"]
    assert "Priority" in sections["Only the other person changed"]
    fields = merge_fields(page)
    fields["merge:/tags"] = [side]
    assert browser_client.post(path, data=fields).status_code == 302
    found = services.jobs.get(super_admin, made.id)
    assert (found.definition.description, found.definition.priority, found.definition.tags, found.version) == ("mine", 9, tags, 3)
    assert found.definition.parameters["secret"] == made.definition.parameters["secret"]


def test_a_third_change_meanwhile_is_shown_too(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    made = services.jobs.create(super_admin, {"name": "j", "template_type": "noop"})[0]
    path = f"/jobs/{made.id}/edit"
    pairs = _multi(Page(text(browser_client.get(path))).pairs())
    services.jobs.update(super_admin, made.id, {"priority": 9})
    pairs["d.mdescription"] = ["mine"]
    fields = merge_fields(text(browser_client.post(path, data=pairs)))
    services.jobs.update(super_admin, made.id, {"timeout_seconds": 77})
    again = browser_client.post(path, data=fields)
    assert (again.status_code, ">Timeout</dt>" in text(again)) == (412, True)
    assert browser_client.post(path, data=merge_fields(text(again))).status_code == 302
    found = services.jobs.get(super_admin, made.id).definition
    assert (found.description, found.priority, found.timeout_seconds) == ("mine", 9, 77)


def test_a_version_that_never_was_is_told(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    made = services.jobs.create(super_admin, {"name": "j", "template_type": "noop"})[0]
    pairs = _multi(Page(text(browser_client.get(f"/jobs/{made.id}/edit"))).pairs())
    answer = browser_client.post(f"/jobs/{made.id}/edit", data={**pairs, "version": ["77"]})
    assert (answer.status_code, "What you have typed is below." in text(answer)) == (412, True)
