"""Names on every way in: one spelling is kept, compared and looked up, and what nobody sees is refused at its field."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from app.audit.model import Actor
from app.errors import DuplicateName, ValidationFailed
from app.factory import Store
from app.jobs.filters import JobFilter
from app.services import Services
from migrations_scripts import m0016_one_spelling
from tests.conftest import Api

JOBS = "/api/admin/scheduler-jobs"
COMPOSED, DECOMPOSED = "\u00dcn\u00efcode", "U\u0308ni\u0308code"
HIDDEN = "pay\u00adroll"
TOLD = "must not contain the invisible character soft hyphen (U+00AD)"


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "a job", "template_type": "noop", **changes}


def pointers(answer: Any) -> dict[str, str]:
    return {one["pointer"]: one["detail"] for one in answer.json["errors"]}


def test_a_job_has_one_spelling_and_there_is_one_of_it(api: Api) -> None:
    made = api("POST", JOBS, body(name=f" {DECOMPOSED}\u00a0x ", tags=[DECOMPOSED], group=DECOMPOSED, concurrency={"group": DECOMPOSED}))
    job = made.json["job"]
    assert (job["name"], job["tags"], job["group"], job["concurrency"]["group"]) == (f"{COMPOSED} x", [COMPOSED], COMPOSED, COMPOSED)
    assert api("POST", JOBS, body(name=f"{COMPOSED} x")).status_code == 409
    assert api("POST", JOBS, body(name="twice", tags=[COMPOSED, DECOMPOSED])).json["job"]["tags"] == [COMPOSED]
    other = api("POST", JOBS, body(name="other")).json["job"]["_id"]
    assert api("PUT", f"{JOBS}/{other}", {"name": f"{DECOMPOSED} x"}).status_code == 409
    for query in ({"tag": DECOMPOSED}, {"group": DECOMPOSED}, {"search": DECOMPOSED}, {"search": COMPOSED.upper()}, {"tag": COMPOSED}):
        assert "a job" not in [one["name"] for one in api("GET", f"{JOBS}?{urlencode(query)}").json["jobs"]], query
        assert f"{COMPOSED} x" in [one["name"] for one in api("GET", f"{JOBS}?{urlencode(query)}").json["jobs"]], query


def test_a_name_with_emoji_or_in_persian_is_one(api: Api) -> None:
    for name in ("👩‍💻 deploys", "می‌خواهم", "🏴󠁧󠁢󠁳󠁣󠁴󠁿 report"):
        assert api("POST", JOBS, body(name=name)).json["job"]["name"] == name


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"name": HIDDEN}, "/name"),
        ({"tags": ["ok", HIDDEN]}, "/tags/1"),
        ({"group": HIDDEN}, "/group"),
        ({"concurrency": {"group": HIDDEN}}, "/concurrency/group"),
    ],
)
def test_what_nobody_sees_is_refused_where_it_stands(api: Api, change: dict[str, Any], at: str) -> None:
    for path in (JOBS, f"{JOBS}/validate"):
        answer = api("POST", path, body(**change))
        found = pointers(answer) if path == JOBS else {one["pointer"]: one["detail"] for one in answer.json["errors"]}
        assert found == {at: TOLD}
    job = api("POST", JOBS, body()).json["job"]["_id"]
    assert pointers(api("PUT", f"{JOBS}/{job}", change)) == {at: TOLD}


def test_other_things_with_names_hold_to_the_same_rule(services: Services, super_admin: Actor) -> None:
    refused: list[tuple[str, Any]] = []

    def tried(pointer: str, act: Any) -> None:
        with pytest.raises(ValidationFailed) as caught:
            act()
        refused.append((pointer, [(one.pointer, one.message) for one in caught.value.errors if one.message == TOLD]))

    me = services.accounts.all(super_admin)[0].id
    draft = {"name": HIDDEN, "description": "d", "category": "c"}
    job = services.jobs.create(super_admin, body(schedule={"type": "interval", "interval_seconds": 60}))[0].id
    tried("/name", lambda: services.accounts.add(super_admin, {"email": "a@example.com", "role": "admin", "name": HIDDEN}))
    tried("/groups/0", lambda: services.accounts.add(super_admin, {"email": "a@example.com", "role": "admin", "groups": [HIDDEN]}))
    tried("/name", lambda: services.accounts.change(super_admin, me, {"name": HIDDEN}))
    tried("/name", lambda: services.tokens.request(super_admin, me, {"name": HIDDEN, "scopes": ["read"]}))
    tried("/name", lambda: services.presets.save(super_admin, "noop", HIDDEN, {}))
    tried("/name", lambda: services.preferences.save_view(super_admin, HIDDEN, "q=x"))
    tried("/definition/name", lambda: services.templates.derive(super_admin, {"type": "hidden_one", "base": "noop", "definition": draft}))
    tried("/reason", lambda: services.maintenance.begin(super_admin, {"reason": HIDDEN}))
    tried("/reason", lambda: services.pausing.pause(super_admin, job, {"reason": HIDDEN}))
    assert [(pointer, [(pointer, TOLD)]) for pointer, _ in refused] == refused


def test_what_is_saved_under_a_name_is_saved_once(services: Services, super_admin: Actor) -> None:
    first = services.presets.save(super_admin, "noop", COMPOSED, {})
    assert (
        services.presets.save(super_admin, "noop", DECOMPOSED, {})["_id"]
        == first["_id"]
        == services.presets.id_of(super_admin, "noop", DECOMPOSED)
    )
    services.preferences.save_view(super_admin, COMPOSED, "q=a")
    services.preferences.save_view(super_admin, DECOMPOSED, "q=b")
    assert [view.name for view in services.preferences.of(super_admin).views] == [COMPOSED]
    services.preferences.drop_view(super_admin, DECOMPOSED)
    assert services.preferences.of(super_admin).views == ()
    smtp = {"host": "mail.example.com", "port": 25, "security": "none", "sender": "jobs@example.com"}
    assert services.connections.create(super_admin, name=" mail  out ", kind="smtp", settings=smtp)["name"] == "mail out"
    with pytest.raises(DuplicateName):
        services.connections.create(super_admin, name="mail out", kind="smtp", settings=smtp)


def test_jobs_of_a_file_and_those_they_run_after_are_found_however_they_are_spelled(services: Services, super_admin: Actor) -> None:
    text = f"jobwright: 1\njobs:\n- name: {COMPOSED}\n  template_type: noop\n- name: then\n  template_type: noop\n  depends_on: [{{job: {DECOMPOSED}, when: end}}]\n"
    services.exchange.apply(super_admin, text)
    again = services.exchange.plan(super_admin, text.replace(COMPOSED, DECOMPOSED))
    assert [(step.name, step.action.value) for step in again.steps] == [(COMPOSED, "unchanged"), ("then", "unchanged")]
    twice = services.exchange.plan(super_admin, f"{text}- name: {DECOMPOSED}\n  template_type: noop\n")
    assert [(one.pointer, str(one.message)) for one in twice.steps[2].errors] == [("/name", "is also the name of job 1 in the file")]
    job, then = services.directory.page(super_admin, JobFilter()).items
    job, then = (job, then) if job.definition.name == COMPOSED else (then, job)
    assert [one.job for one in then.definition.depends_on] == [job.id]
    later = services.jobs.create(super_admin, body(name="later", depends_on=[{"job": DECOMPOSED, "when": "end"}]))[0]
    assert [one.job for one in later.definition.depends_on] == [job.id]
    with pytest.raises(ValidationFailed, match="must not be the job itself"):
        services.jobs.update(super_admin, job.id, {"depends_on": [{"job": DECOMPOSED, "when": "end"}]})


def test_names_of_old_get_their_one_spelling_unless_another_has_it(services: Services, super_admin: Actor, store: Store) -> None:
    database, made = store.database, services.jobs.create
    free, taken, clean = (made(super_admin, body(name=name))[0].id for name in ("free", "taken", COMPOSED))
    jobs = database["dynamic_jobs"]
    old = {"tags": [DECOMPOSED, COMPOSED, "x\u00ad"], "group": DECOMPOSED, "concurrency": {"max_instances": 1, "group": DECOMPOSED}}
    jobs.update_one({"_id": free}, {"$set": {"name": f"{DECOMPOSED} \u00adfree", "search": DECOMPOSED, **old}})
    jobs.update_one({"_id": taken}, {"$set": {"name": DECOMPOSED, "search": DECOMPOSED, **old}})
    database["preferences"].insert_one({"_id": "p", "views": [{"name": DECOMPOSED, "query": "q=1"}, {"name": "a\u200b", "query": "q=2"}]})
    database["users"].update_one({"_id": super_admin.id}, {"$set": {"name": DECOMPOSED, "groups": [DECOMPOSED]}})
    preset = services.presets.save(super_admin, "noop", "p", {})
    database["template_presets"].delete_one({"_id": preset["_id"]})
    database["template_presets"].insert_one({**preset, "_id": "old", "name": DECOMPOSED})
    database["dynamic_jobs"].insert_one({"_id": "damaged", "name": 5, "tags": "no list", "retired": True})
    for _ in range(2):  # it may be killed half-way and begin again
        m0016_one_spelling.up(database)
        rows = {row["_id"]: row for row in jobs.find()}
        assert (rows[free]["name"], rows[taken]["name"], rows[clean]["name"]) == (f"{COMPOSED} free", DECOMPOSED, COMPOSED)
        for one in (free, taken):
            assert (rows[one]["tags"], rows[one]["group"], rows[one]["concurrency"]["group"]) == ([COMPOSED, "x"], COMPOSED, COMPOSED)
        assert [one["name"] for one in database["preferences"].find_one({"_id": "p"})["views"]] == [COMPOSED, "a"]  # type: ignore[index]
        assert services.presets.get(super_admin, "noop", services.presets.id_of(super_admin, "noop", COMPOSED))["name"] == COMPOSED
        assert database["template_presets"].count_documents({}) == 1
    assert services.directory.page(super_admin, JobFilter(search=COMPOSED)).total == 3
    assert services.jobs.get(super_admin, taken).definition.name == DECOMPOSED


@pytest.mark.parametrize("group", ["north ", " north", "\u3000north"])
def test_a_group_gives_rights_and_so_is_what_it_says(api: Api, group: str) -> None:
    assert pointers(api("POST", JOBS, body(group=group))) == {"/group": "must not begin or end with a space"}
