"""The list of jobs: what narrows it, views of one's own, and what is done to many at once; by pages and by REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.accounts.preferences import MOST_VIEWS
from app.audit.model import Actor
from app.bulk.service import BulkAction, BulkRequest, BulkResult, Effect
from app.errors import ApprovalNeeded, LimitReached, ValidationFailed
from app.factory import Store
from app.jobs.dispatch_store import DispatchStore
from app.jobs.filters import JobFilter
from app.jobs.records import RunEnd
from app.services import Services
from migrations_scripts import m0014_search
from tests.conftest import START, Api, csrf
from tests.integration.web.test_dashboard import ran

HOURLY = {"type": "cron", "expression": "0 * * * *"}


def make(services: Services, actor: Actor, name: str, **changes: Any) -> str:
    return services.jobs.create(actor, {"name": name, "template_type": "noop", "schedule": HOURLY, **changes})[0].id


def names(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"/jobs?{query}")
    assert answer.status_code == 200
    return [node.text() for node in LexborHTMLParser(answer.get_data(as_text=True)).css("table.jobs .name > a")]


@pytest.fixture
def many(services: Services, super_admin: Actor, store: Store) -> dict[str, str]:
    ids = {
        "good": make(services, super_admin, "good", tags=["a"], group="north"),
        "bad": make(services, super_admin, "bad", tags=["a", "b"]),
        "off": make(services, super_admin, "off", enabled=False),
        "held": make(services, super_admin, "held", group="south"),
    }
    services.pausing.pause(super_admin, ids["held"], {"reason": "stocktaking"})
    jobs = DispatchStore(store.database)
    jobs.note_runs([RunEnd(ids["good"], START, "success"), RunEnd(ids["bad"], START, "failed")])
    return ids


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["bad", "good", "held", "off"]),
        ("last=failed", ["bad"]),
        ("last=success", ["good"]),
        ("last=never", ["held", "off"]),
        ("state=paused", ["held"]),
        ("state=off", ["off"]),
        ("state=broken", []),
        ("tag=a", ["bad", "good"]),
        ("tag=b&last=failed", ["bad"]),
        ("group=south", ["held"]),
        ("owner=nobody", []),
        ("owner=admin%40example.com", ["bad", "good", "held", "off"]),
        ("last=nonsense&state=nonsense&page=x&sort=%24where", ["bad", "good", "held", "off"]),
    ],
)
def test_the_list_is_narrowed(browser_client: FlaskClient, many: dict[str, str], query: str, expected: list[str]) -> None:
    assert names(browser_client, query) == expected


def test_what_is_due_next_comes_first_and_what_never_is_last(services: Services, super_admin: Actor, many: dict[str, str]) -> None:
    late = make(services, super_admin, "late", schedule={"type": "cron", "expression": "0 0 1 1 *"})
    assert late

    def page(number: int, limit: int) -> list[str]:
        found = services.directory.page(super_admin, JobFilter(), sort="next_run_at", page=number, limit=limit)
        assert found.total == 5
        return [job.definition.name for job in found.items]

    whole = page(1, 10)
    assert set(whole[:2]) == {"bad", "good"}
    assert whole[2:] == ["late", "held", "off"]
    for limit in (1, 2, 3, 4):
        assert [name for number in range(1, 7) for name in page(number, limit)] == whole


def test_a_search_pages_as_the_list_does(services: Services, super_admin: Actor) -> None:
    for n in range(7):
        make(services, super_admin, f"job {n}")
    found = [services.directory.page(super_admin, JobFilter(search="JOB"), page=number, limit=3) for number in (1, 2, 3, 4)]
    assert [[job.definition.name[-1] for job in page.items] for page in found] == [list("012"), list("345"), ["6"], []]
    assert {page.total for page in found} == {7}


def test_rest_narrows_as_the_page_does(api: Api, many: dict[str, str]) -> None:
    def found(query: str) -> list[str]:
        return [job["name"] for job in api("GET", f"/api/admin/scheduler-jobs?{query}").get_json()["jobs"]]

    assert found("last_status=failed") == ["bad"]
    assert found("paused=true") == ["held"]
    assert found("paused=false&enabled=true&broken=false") == ["bad", "good"]
    assert found("last_status=never&owner=admin@example.com") == ["held", "off"]
    assert api("GET", "/api/admin/scheduler-jobs?last_status=running").status_code == 422


def test_a_job_whose_template_is_gone_is_broken(browser_client: FlaskClient, many: dict[str, str], store: Store) -> None:
    store.database["dynamic_jobs"].update_one({"_id": many["good"]}, {"$set": {"template_type": "old_kind"}})
    store.database["dynamic_jobs"].update_one({"_id": many["bad"]}, {"$set": {"schedule_error": "no zone"}})
    assert names(browser_client, "state=broken") == ["bad", "good"]


def test_an_older_run_that_ends_later_does_not_hide_a_newer_one(
    services: Services, many: dict[str, str], store: Store, super_admin: Actor
) -> None:
    jobs, later = DispatchStore(store.database), START + timedelta(minutes=5)
    jobs.note_runs([RunEnd(many["good"], later, "failed")])
    jobs.note_runs([RunEnd(many["good"], START, "success")])
    assert (services.jobs.get(super_admin, many["good"]).last_status, services.jobs.get(super_admin, many["good"]).last_run_at) == (
        "failed",
        later,
    )
    jobs.note_runs([RunEnd(many["good"], later + timedelta(minutes=1), None)])
    assert services.jobs.get(super_admin, many["good"]).last_status == "failed", "a run that is tried again has not ended"
    services.jobs.update(super_admin, many["good"], {"description": "x"})
    assert services.jobs.get(super_admin, many["good"]).last_status == "failed", "a change of the definition leaves it"
    jobs.note_runs([])


def test_rows_say_how_often_and_how_long(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    job = make(services, super_admin, "j")
    for n in range(25):
        at = START - timedelta(minutes=n)
        store.database["job_executions"].insert_one(
            {
                "_id": f"e{n}",
                "job_id": job,
                "status": "failed" if n == 3 else "success",
                "reason": None,
                "queued_at": at,
                "started_at": at,
                "completed_at": at,
                "duration_seconds": 4.0,
            }
        )
    row = LexborHTMLParser(browser_client.get("/jobs").get_data(as_text=True)).css_first("table.jobs tbody tr")
    assert row is not None
    assert [node.text().strip() for node in row.css("td.num")] == ["95 %", "4.00 s"]
    ticks = row.css(".tick")
    assert len(ticks) == 20
    assert ticks[16].attributes["href"] == "/executions/e3", "the oldest first"


# -- views ------------------------------------------------------------------------------------------------------------


def test_a_view_is_saved_shown_and_removed(browser_client: FlaskClient, many: dict[str, str]) -> None:
    page = browser_client.get("/jobs?last=failed&tag=a&q=&page=2").get_data(as_text=True)
    token = csrf(page)
    answer = browser_client.post("/jobs/views", data={"csrf_token": token, "name": " Night  watch ", "query": "last=failed&tag=a&page=2"})
    assert answer.headers["Location"] == "/jobs?last=failed&tag=a"
    page = browser_client.get("/jobs?last=failed&tag=a").get_data(as_text=True)
    chosen = LexborHTMLParser(page).css_first(".views [aria-current]")
    assert chosen is not None
    assert chosen.text().strip() == "Night watch"
    browser_client.post("/jobs/views/remove", data={"csrf_token": token, "name": "Night watch"})
    assert "Night watch" not in browser_client.get("/jobs").get_data(as_text=True).partition('id="main"')[2].partition("<table")[0].replace(
        "removed", ""
    )


@pytest.mark.parametrize(
    ("name", "query"),
    [("", "tag=a"), ("x" * 61, "tag=a"), ("a\u202eb", "tag=a"), ("fine", ""), ("fine", "page=2"), ("fine", "q=" + "x" * 1100)],
)
def test_views_that_make_no_sense_are_refused(services: Services, super_admin: Actor, name: str, query: str) -> None:
    with pytest.raises(ValidationFailed):
        services.preferences.save_view(super_admin, name, query)
    assert services.preferences.of(super_admin).views == ()


def test_views_are_ones_own_and_bounded(services: Services, super_admin: Actor, admin: Actor) -> None:
    for n in range(MOST_VIEWS):
        services.preferences.save_view(super_admin, f"view {n}", f"tag=t{n}")
    with pytest.raises(LimitReached):
        services.preferences.save_view(super_admin, "one more", "tag=x")
    services.preferences.save_view(super_admin, "view 3", "tag=other")
    mine = {view.name: view.query for view in services.preferences.of(super_admin).views}
    assert (len(mine), mine["view 3"]) == (MOST_VIEWS, "tag=other")
    assert services.preferences.of(admin).views == ()


# -- many at once -----------------------------------------------------------------------------------------------------


def test_what_will_happen_is_told_and_then_what_did(
    browser_client: FlaskClient, services: Services, super_admin: Actor, many: dict[str, str]
) -> None:
    token = csrf(browser_client.get("/jobs").get_data(as_text=True))
    form = {"csrf_token": token, "action": "disable", "job": list(many.values())}
    page = browser_client.post("/jobs/bulk", data=form).get_data(as_text=True)
    assert "Disable 3 jobs" in page
    assert "It is already disabled." in page
    assert services.jobs.get(super_admin, many["good"]).definition.enabled, "nothing has happened yet"
    fields = {node.attributes["name"]: node.attributes["value"] for node in LexborHTMLParser(page).css("form input[type=hidden]")}
    versions = {name: value for name, value in fields.items() if name and name.startswith("v:")}
    assert len(versions) == 3
    services.jobs.update(super_admin, many["bad"], {"description": "changed meanwhile"})
    done = browser_client.post("/jobs/bulk", data={"csrf_token": token, "action": "disable", "confirm": "1", **versions}).get_data(
        as_text=True
    )
    assert "2 jobs disabled" in done
    assert "1 job could not be changed." in done
    assert "The job has changed since you looked." in done
    states = {name: services.jobs.get(super_admin, job).definition.enabled for name, job in many.items()}
    assert states == {"good": False, "bad": True, "off": False, "held": False}


def test_all_of_a_list_are_the_list_and_no_more(
    browser_client: FlaskClient, services: Services, super_admin: Actor, many: dict[str, str]
) -> None:
    token = csrf(browser_client.get("/jobs").get_data(as_text=True))
    page = browser_client.post("/jobs/bulk", data={"csrf_token": token, "action": "tag", "all": "1", "query": "tag=a"}).get_data(
        as_text=True
    )
    assert [node.text() for node in LexborHTMLParser(page).css("tbody .name a")] == ["bad", "good"]
    wrong = browser_client.post(
        "/jobs/bulk", data={"csrf_token": token, "action": "tag", "confirm": "1", f"v:{many['bad']}": "1", "tag": " "}
    )
    assert (wrong.status_code, "The tag is required" in wrong.get_data(as_text=True)) == (422, True)
    assert "Select jobs first" in browser_client.post(
        "/jobs/bulk", data={"csrf_token": token, "action": "tag"}, follow_redirects=True
    ).get_data(as_text=True)
    assert browser_client.post("/jobs/bulk", data={"csrf_token": token, "action": "drop table"}).status_code == 302


@pytest.mark.parametrize(
    ("wanted", "name", "effect"),
    [
        (BulkRequest(action=BulkAction.ENABLE), "good", Effect.STAYS),
        (BulkRequest(action=BulkAction.ENABLE), "off", Effect.CHANGES),
        (BulkRequest(action=BulkAction.PAUSE, reason="x"), "off", Effect.CANNOT),
        (BulkRequest(action=BulkAction.PAUSE, reason="x"), "held", Effect.CHANGES),
        (BulkRequest(action=BulkAction.RESUME), "good", Effect.STAYS),
        (BulkRequest(action=BulkAction.RESUME), "held", Effect.CHANGES),
        (BulkRequest(action=BulkAction.TAG, tag="a"), "good", Effect.STAYS),
        (BulkRequest(action=BulkAction.TAG, tag="c"), "good", Effect.CHANGES),
        (BulkRequest(action=BulkAction.UNTAG, tag="c"), "good", Effect.STAYS),
        (BulkRequest(action=BulkAction.UNTAG, tag="a"), "good", Effect.CHANGES),
        (BulkRequest(action=BulkAction.RUN), "good", Effect.CHANGES),
        (BulkRequest(action=BulkAction.DELETE), "good", Effect.CHANGES),
    ],
)
def test_what_is_foreseen_comes_true(
    services: Services, super_admin: Actor, many: dict[str, str], wanted: BulkRequest, name: str, effect: Effect
) -> None:
    only = JobFilter(ids=[many[name]])
    (item,) = services.bulk.plan(super_admin, wanted, only).items
    assert item.effect is effect
    (done,) = services.bulk.carry_out(super_admin, wanted, only).items
    assert done.result is {Effect.STAYS: BulkResult.STAYED, Effect.CHANGES: BulkResult.DONE, Effect.CANNOT: BulkResult.FAILED}[effect]


def test_a_running_job_is_not_run_beside_itself(services: Services, super_admin: Actor, many: dict[str, str]) -> None:
    services.runs.run_now(super_admin, many["good"])
    outcome = services.bulk.plan(super_admin, BulkRequest(action=BulkAction.RUN), JobFilter(ids=list(many.values())))
    assert {one.name: (one.effect, one.detail) for one in outcome.items}["good"] == (Effect.CANNOT, "It is already running.")
    done = services.bulk.carry_out(super_admin, BulkRequest(action=BulkAction.RUN), JobFilter(ids=list(many.values())))
    assert done.counts == {"done": 3, "failed": 1}


def test_what_destroys_waits_for_approval(services: Services, super_admin: Actor, admin: Actor) -> None:
    job = make(services, super_admin, "dangerous", template_type="misbehave", parameters={"how": "raise"})
    plain = make(services, admin, "plain")
    query = JobFilter(ids=[job, plain])
    assert {one.name: one.effect for one in services.bulk.plan(admin, BulkRequest(action=BulkAction.DELETE), query).items} == {
        "dangerous": Effect.ASKS,
        "plain": Effect.CHANGES,
    }
    done = {one.name: one for one in services.bulk.carry_out(admin, BulkRequest(action=BulkAction.DELETE), query).items}
    assert (done["plain"].result, done["dangerous"].result) == (BulkResult.DONE, BulkResult.WAITS)
    assert services.approvals.get(super_admin, done["dangerous"].detail)["operation"] == "job.delete"
    assert services.jobs.get(super_admin, job)


def test_rest_does_many_and_says_what_became_of_each(api: Api, services: Services, super_admin: Actor, many: dict[str, str]) -> None:
    def bulk(body: Any) -> Any:
        return api("POST", "/api/admin/scheduler-jobs/bulk", body)

    plan = bulk({"action": "disable", "filter": {"tag": "a"}, "dry_run": True}).get_json()
    assert plan["counts"] == {"changes": 2}
    assert services.jobs.get(super_admin, many["good"]).definition.enabled
    done = bulk({"action": "disable", "filter": {"tag": "a"}}).get_json()
    assert [(one["name"], one["result"]) for one in done["items"]] == [("bad", "done"), ("good", "done")]
    paused = bulk({"action": "pause", "job_ids": [many["held"]], "reason": "more of it", "until": "2026-03-03T00:00:00+01:00"})
    assert paused.get_json()["counts"] == {"done": 1}
    pause = services.jobs.get(super_admin, many["held"]).paused
    assert pause is not None
    assert (pause.reason, pause.until) == ("more of it", START.replace(day=2, hour=23))
    for wrong in (
        {"action": "disable"},
        {"action": "disable", "filter": {}, "job_ids": ["x"]},
        {"action": "shred", "filter": {}},
        {"action": "pause", "reason": 5, "filter": {}},
        {"action": "tag", "filter": {}},
        {"action": "disable", "filter": {"$where": "1"}},
        {"action": "pause", "reason": "x", "until": "tomorrow", "filter": {}},
        [],
        {"action": "pause", "reason": "x", "until": "2016-12-31T23:59:60Z", "filter": {}},
        {"action": "pause", "reason": "x", "until": "0001-01-01T00:00:00+14:00", "filter": {}},
    ):
        answer = bulk(wrong)
        assert (answer.status_code, answer.content_type) == (422, "application/problem+json"), wrong


# -- undo -------------------------------------------------------------------------------------------------------------


def test_a_switch_and_a_deletion_are_taken_back(
    browser_client: FlaskClient, services: Services, super_admin: Actor, many: dict[str, str]
) -> None:
    token = csrf(browser_client.get("/jobs").get_data(as_text=True))
    page = browser_client.post(f"/jobs/{many['good']}/disable", data={"csrf_token": token}, follow_redirects=True).get_data(as_text=True)
    undo = LexborHTMLParser(page).css_first("#toasts form")
    assert undo is not None
    assert undo.attributes["action"] == f"/jobs/{many['good']}/enable"
    part = browser_client.post(f"/jobs/{many['bad']}/disable", headers={"HX-Request": "true", "X-CSRFToken": token}).get_data(as_text=True)
    assert '<div id="toasts" hx-swap-oob="beforeend">' in part
    assert "Job bad disabled" in part

    before = services.jobs.get(super_admin, many["held"])
    page = browser_client.post(f"/jobs/{many['held']}/delete", data={"csrf_token": token}, follow_redirects=True).get_data(as_text=True)
    assert names(browser_client) == ["bad", "good", "off"]
    undo = LexborHTMLParser(page).css_first("#toasts form")
    assert undo is not None
    browser_client.post(undo.attributes["action"] or "", data={"csrf_token": token})
    after = services.jobs.get(super_admin, many["held"])
    assert after.definition == before.definition
    assert after.next_run_at is not None
    assert after.version > before.version


def test_a_deleted_job_comes_back_once_on_a_free_seat_under_a_free_name(
    api: Api, services: Services, super_admin: Actor, admin: Actor
) -> None:
    job = make(services, super_admin, "j")
    services.jobs.delete(super_admin, job)
    other = make(services, super_admin, "j")
    path = f"/api/admin/scheduler-jobs/{job}/undelete"
    assert api("POST", path).status_code == 409
    services.jobs.update(super_admin, other, {"name": "k"})
    answer = api("POST", path)
    assert (answer.status_code, answer.get_json()["job"]["enabled"]) == (200, True)
    assert api("POST", path).status_code == 409, "it is back"
    assert api("POST", "/api/admin/scheduler-jobs/none/undelete").status_code == 404
    assert services.jobs.get(super_admin, job).definition.name == "j"
    dangerous = make(services, super_admin, "d", template_type="misbehave", parameters={"how": "raise"})
    services.jobs.delete(super_admin, dangerous)
    with pytest.raises(ApprovalNeeded):
        services.jobs.undelete(admin, dangerous)
    services.templates.set_standing(super_admin, "misbehave", {"enabled": False, "note": "not now"})
    assert not services.jobs.undelete(super_admin, dangerous).definition.enabled, "what is switched off is not switched on this way"


def test_the_way_back_counts_against_the_limits(services: Services, super_admin: Actor, store: Store) -> None:
    job = make(services, super_admin, "j")
    services.jobs.delete(super_admin, job)
    most = services.settings.max_jobs
    store.database["dynamic_jobs"].insert_many([{"_id": f"x{n}", "name": f"x{n}", "retired": False, "seat": n} for n in range(most)])
    with pytest.raises(LimitReached):
        services.jobs.undelete(super_admin, job)


def test_a_search_looks_at_name_description_and_tags_and_not_at_case(services: Services, super_admin: Actor, store: Store) -> None:
    make = lambda name, **fields: services.jobs.create(super_admin, {"name": name, "template_type": "noop", **fields})[0]
    street, tagged = make("Straße fegen", description="Every 2nd (odd) week"), make("Other", tags=["Gehweg"])
    found = lambda text, sort="name": [
        one.definition.name for one in services.directory.page(super_admin, JobFilter(search=text), sort=sort).items
    ]
    assert found("STRASSE") == found("2ND (ODD") == ["Straße fegen"]
    assert found("gehweg") == ["Other"]
    assert found("e") == ["Other", "Straße fegen"]
    assert sorted(found("e", "-created_at")) == ["Other", "Straße fegen"]
    assert found(".*") == []
    services.jobs.update(super_admin, tagged.id, {"name": "Renamed", "tags": ["Bahn"]})
    assert (found("gehweg"), found("bahn"), found("renamed")) == ([], ["Renamed"], ["Renamed"])
    services.jobs.delete(super_admin, street.id)
    assert found("fegen") == []
    services.jobs.undelete(super_admin, street.id)
    assert found("fegen") == ["Straße fegen"]
    store.database["dynamic_jobs"].update_many({}, {"$unset": {"search": ""}})
    store.database["dynamic_jobs"].drop_index("searched")
    m0014_search.up(store.database)
    assert found("STRASSE") == ["Straße fegen"], "jobs of old are found, too"


def test_a_failing_job_says_why_and_can_be_run_again(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    job_id = make(services, super_admin, "weekly", group="north")
    ran(store, services, super_admin, job_id, "failed", START - timedelta(hours=2))
    run = f"{job_id}{(START - timedelta(hours=2)).isoformat()}failed"
    row = LexborHTMLParser(browser_client.get("/jobs").get_data(as_text=True)).css_first(f"#job-{job_id}")
    assert row is not None
    why, group = row.css_first(".why"), row.css_first(".group-tag")
    assert why is not None
    assert (why.text(), why.attributes["href"]) == ("no route to host", f"/executions/{run}")
    assert group is not None
    assert (" ".join(group.text().split()), group.attributes["href"]) == ("north", "/jobs?group=north")
    assert [form.attributes["action"] for form in row.css(".row-end form")] == [f"/jobs/{job_id}/run", f"/executions/{run}/retry"]
    ran(store, services, super_admin, job_id, "success", START - timedelta(hours=1))
    row = LexborHTMLParser(browser_client.get("/jobs").get_data(as_text=True)).css_first(f"#job-{job_id}")
    assert row is not None
    assert row.css(".why") == []
    assert len(row.css(".row-end form")) == 1


def test_an_empty_list_says_what_is_good(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    make(services, super_admin, "a job")
    for query, words in (
        ("last=failed", "Nothing is failing"),
        ("state=broken", "No job is broken"),
        ("state=paused", "No job is paused"),
    ):
        found = LexborHTMLParser(browser_client.get(f"/jobs?{query}").get_data(as_text=True)).css_first(".empty.good h2")
        assert found is not None, query
        assert found.text().strip() == words
    assert "No job matches" in browser_client.get("/jobs?q=zzz").get_data(as_text=True)


def test_the_palette_offers_what_to_do_with_a_job(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    job_id = make(services, super_admin, "Ping shop")

    def lines(query: str, **headers: str) -> list[tuple[str, str, bool]]:
        page = LexborHTMLParser(browser_client.get(f"/palette?q={query}", headers=headers).get_data(as_text=True))
        return [
            (" ".join(name.text().split()), line.attributes.get("data-href") or "", "data-posts" in line.attributes)
            for line in page.css("li")
            if (name := line.css_first(".palette-name")) is not None
        ]

    assert lines("run+ping")[0] == ("Run Ping shop now", f"/jobs/{job_id}/run", True)
    assert [name for name, *_ in lines("ping")][:2] == ["Ping shop", "Run Ping shop now"], "the job itself stands first"
    services.pausing.pause(super_admin, job_id, {"reason": "x"})
    assert ("Resume Ping shop", f"/jobs/{job_id}/resume", True) in lines("resume+ping")
    assert ("Ping shop jetzt starten", f"/jobs/{job_id}/run", True) in lines("ping", **{"Accept-Language": "de"})
