"""The pages on which super-admins manage templates, without JavaScript: what a browser posts is what the page holds."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.services import Services
from tests.conftest import csrf
from tests.posting import Page

DEFINITION = {
    "name": "Quick beat",
    "description": "A beat that is short",
    "category": "Checks",
    "icon": "zap",
    "parameters": {"outcome": {"value": "success"}, "memory_mb": {"hidden": True}, "seconds": {"narrow": {"maximum": 10}, "default": 1}},
}
TIGHTER = {**DEFINITION, "parameters": {**DEFINITION["parameters"], "seconds": {"narrow": {"maximum": 5}}}}  # type: ignore[dict-item]


@pytest.fixture
def derived(services: Services, super_admin: Actor) -> None:
    services.templates.derive(super_admin, {"type": "quick_beat", "base": "test_scheduler", "definition": DEFINITION})
    services.templates.publish(super_admin, "quick_beat")


def text(answer: Any, status: int = 200) -> str:
    page: str = answer.get_data(as_text=True)
    assert answer.status_code == status, LexborHTMLParser(page).body.text()[:2000]  # type: ignore[union-attr]
    return page


def fields_of(page: str) -> list[tuple[str, str]]:
    """What the page's main form would post."""
    form = LexborHTMLParser(page).css_first("#job-form")
    assert form is not None
    return Page(form.html or "").pairs()


def post(client: FlaskClient, address: str, **changes: str) -> Any:
    """Post a page's form as a browser would, with some fields filled otherwise."""
    page = text(client.get(address))
    pairs = [(name, value) for name, value in fields_of(page) if name not in changes]
    return client.post(address, data=_multi([*pairs, *changes.items()]))


def _multi(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def make(services: Services, actor: Actor, name: str, **parameters: Any) -> str:
    body = {"name": name, "template_type": "quick_beat", "parameters": parameters, "schedule": {"type": "manual"}}
    return services.jobs.create(actor, body)[0].id


def test_the_gallery_is_searched_and_told_by_category(
    browser_client: FlaskClient, derived: None, services: Services, super_admin: Actor
) -> None:
    make(services, super_admin, "a beat")
    page = LexborHTMLParser(text(browser_client.get("/templates")))
    categories = [(len(section.css(".card")) == 1, section.css_first("h2").text()) for section in page.css(".category")]
    assert categories == sorted(categories)  # by name, those with one template last
    assert {alone for alone, _ in categories} == {False, True}
    card = next(one for one in page.css(".card") if "Quick beat" in one.text())
    assert "1 job" in card.text()
    assert "derived" in card.text()
    found = LexborHTMLParser(text(browser_client.get("/templates?q=beat+short")))
    assert [one.text() for one in found.css(".card h3")] == ["Quick beat"]
    assert LexborHTMLParser(text(browser_client.get("/templates?q=no+such+thing"))).css_first(".empty") is not None
    risky = LexborHTMLParser(text(browser_client.get("/templates?risk=high")))
    assert "Email" not in [one.text() for one in risky.css(".card h3")]


def test_a_template_is_derived_in_the_browser(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    address = "/templates/test_scheduler/derive"
    wrong = text(post(browser_client, address, **{"f.mname": "Beat"}), 422)
    assert "lower-case letters" in wrong
    taken = text(post(browser_client, address, type="webhook_trigger", **{"f.mname": "Beat"}), 409)
    assert "This name is already used" in taken
    drawn = text(post(browser_client, address, type="beat", show="1", **{"f.mname": "Beat"}))
    assert LexborHTMLParser(drawn).css_first("#live-form .field") is not None
    saved = post(browser_client, address, type="beat", **{"f.mname": "Beat"})
    assert saved.headers["Location"] == "/templates/beat/publish"
    page = text(browser_client.get("/templates/beat/publish"))
    assert "No job uses Beat yet" in page
    published = browser_client.post("/templates/beat/publish", data={"csrf_token": csrf(page), "note": "first", "version": "1"})
    assert published.headers["Location"] == "/templates/beat"
    assert "version 1" in text(browser_client.get("/templates/beat"))
    assert services.catalogue.get("beat").name == "Beat"
    assert "Drafts" not in text(browser_client.get("/templates"))


def test_the_draft_begins_with_the_newest_version_and_two_editors_do_not_overwrite(
    browser_client: FlaskClient, derived: None, services: Services, super_admin: Actor
) -> None:
    address = "/templates/quick_beat/draft"
    first = text(browser_client.get(address))
    assert "Quick beat" in first
    services.templates.save_draft(super_admin, "quick_beat", TIGHTER)
    stale = browser_client.post(address, data=_multi(fields_of(first)))
    assert "Changed by someone else" in text(stale, 412)
    saved = post(browser_client, address, **{"f.mname": "Quicker"})
    assert saved.status_code == 302
    row = services.templates.get(super_admin, "quick_beat")
    assert row["draft"]["definition"]["name"] == "Quicker"
    assert row["draft"]["definition"]["parameters"]["seconds"] == {"narrow": {"maximum": 5}}
    page = text(browser_client.get(address))
    dropped = browser_client.post("/templates/quick_beat/draft/drop", data={"csrf_token": csrf(page)})
    assert dropped.headers["Location"] == "/templates/quick_beat"


def test_impact_moves_input_and_the_way_back(browser_client: FlaskClient, derived: None, services: Services, super_admin: Actor) -> None:
    short, long = make(services, super_admin, "short", seconds=2), make(services, super_admin, "long", seconds=9)
    services.templates.save_draft(super_admin, "quick_beat", TIGHTER)
    page = text(browser_client.get("/templates/quick_beat/publish"))
    assert "2 jobs use this template: 1 stays valid, 1 needs input." in " ".join(LexborHTMLParser(page).css_first(".lead").text().split())  # type: ignore[union-attr]
    data = {"csrf_token": csrf(page), "version": str(services.templates.get(super_admin, "quick_beat")["revision"]), "move": "on"}
    told = text(browser_client.post("/templates/quick_beat/publish", data=data, follow_redirects=True))
    assert "Version 2 of Quick beat published; 1 job moved" in told
    assert services.jobs.get(super_admin, short).template_version == 2
    assert "The current version is 2" in text(browser_client.get(f"/jobs/{long}"))

    address = f"/templates/quick_beat/impact/2/{long}"
    first = text(browser_client.get(address))
    assert "must be at most 5" in first
    again = text(post(browser_client, address), 422)
    assert "must be at most 5" in again
    assert services.jobs.get(super_admin, long).template_version == 1
    assert post(browser_client, address, **{"f.mseconds": "4"}).status_code == 302
    moved = text(browser_client.get("/templates/quick_beat/impact/2"))
    assert services.jobs.get(super_admin, long).definition.parameters["seconds"] == 4
    assert "2 have this version" in " ".join(moved.split())
    page = text(browser_client.get("/templates/quick_beat"))
    newest = services.moves.latest(super_admin, "quick_beat")[0]["_id"]
    back = browser_client.post(f"/templates/quick_beat/moves/{newest}/roll-back", data={"csrf_token": csrf(page)}, follow_redirects=True)
    assert "1 job restored" in text(back)
    assert services.jobs.get(super_admin, long).definition.parameters["seconds"] == 9
    chosen = browser_client.post("/templates/quick_beat/impact/1", data={"csrf_token": csrf(page), "job": [short]}, follow_redirects=True)
    assert "1 job moved" in text(chosen)
    assert services.jobs.get(super_admin, short).template_version == 1
    none = browser_client.post("/templates/quick_beat/impact/1", data={"csrf_token": csrf(page)}, follow_redirects=True)
    assert "No job moved" in text(none)
    for state in ("deprecated", "retired"):
        changed = browser_client.post(f"/templates/quick_beat/versions/2/{state}", data={"csrf_token": csrf(page)}, follow_redirects=True)
        assert f"Version 2 is {state}" in text(changed)


def test_standing_is_set_and_told_where_it_matters(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    address = "/templates/test_scheduler/standing"
    page = text(browser_client.get(address))
    pairs = [(name, value) for name, value in fields_of(page) if name not in {"f.menabled", "f.mneeds"}]
    sent = [*pairs, ("f.menabled", "false"), ("f.mnote", "Ask Ada"), ("f.mneeds", "gpu, site=berlin")]
    answer = browser_client.post(address, data=_multi(sent))
    assert answer.headers["Location"] == "/templates/test_scheduler"
    shown = text(browser_client.get("/templates/test_scheduler"))
    assert "The template is disabled" in shown
    assert "Ask Ada" in shown
    assert "New job" not in shown.partition('id="main"')[2].partition("</main>")[0]
    assert "Ask Ada" in text(browser_client.get("/jobs/new?template=test_scheduler"))
    assert "Ask Ada" in text(browser_client.get("/templates"))
    assert services.catalogue.standing("test_scheduler").needs == ("gpu", "site=berlin")
    pairs = [(name, value) for name, value in fields_of(text(browser_client.get(address))) if name != "f.mneeds"]
    browser_client.post(address, data=_multi([*pairs, ("f.mneeds", "")]))
    assert services.catalogue.standing("test_scheduler").needs == (), "an emptied field is empty"


def test_a_file_is_looked_at_before_it_is_taken(browser_client: FlaskClient, derived: None, services: Services, super_admin: Actor) -> None:
    answer = browser_client.get("/templates/quick_beat/export.json")
    file = answer.get_data()
    page = text(browser_client.get("/templates/import"))
    upload = {"csrf_token": csrf(page), "file": "", "upload": (io.BytesIO(file), "quick.json")}
    looked = text(browser_client.post("/templates/import", data=upload))
    assert "Signed by this installation" in looked
    assert "The file does not differ from the current version" in looked
    taken = browser_client.post("/templates/import", data={"csrf_token": csrf(page), "file": file.decode(), "take": "1"})
    assert taken.headers["Location"] == "/templates/quick_beat/publish"
    forged = {**json.loads(file), "base": "webhook_trigger"}
    refused = text(browser_client.post("/templates/import", data={"csrf_token": csrf(page), "file": json.dumps(forged)}), 422)
    assert "was changed after it was signed" in refused
    other = {"csrf_token": csrf(page), "file": '{"nope": 1}'}
    assert "The file is not an exported template" in text(browser_client.post("/templates/import", data=other), 422)
    unsigned = {name: value for name, value in json.loads(file).items() if name != "signature"}
    strange = {"csrf_token": csrf(page), "file": json.dumps({**unsigned, "base": "nothing"})}
    told = text(browser_client.post("/templates/import", data=strange))
    assert "Base template names &#39;nothing&#39;" in told
    assert "/base" not in told.partition('id="found"')[2].partition("</section>")[0]
    short = {"csrf_token": csrf(page), "file": json.dumps({name: value for name, value in unsigned.items() if name != "base_version"})}
    assert "Version of the base template is required" in text(browser_client.post("/templates/import", data=short), 422)
    binary = {"csrf_token": csrf(page), "file": "", "upload": (io.BytesIO(b"\xff\xfe"), "x.json")}
    assert "not a text in UTF-8" in text(browser_client.post("/templates/import", data=binary), 422)


def test_presets_are_saved_from_the_form_and_begin_another(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    address = "/jobs/new?template=test_scheduler"
    saved = text(post(browser_client, address, **{"p.mmessage": "Hello", "preset.name": "mine", "preset.save": "1", "preset.shared": "on"}))
    assert "Preset mine saved" in saved
    assert 'value="Hello"' in saved  # nothing that was typed is lost
    [preset] = services.presets.of(super_admin, "test_scheduler")
    assert (preset["parameters"]["message"], preset["shared"]) == ("Hello", True)
    assert f"preset={preset['_id']}" in text(browser_client.get(address))
    assert 'value="Hello"' in text(browser_client.get(f"{address}&preset={preset['_id']}"))
    assert "A preset needs a name" in text(post(browser_client, address, **{"preset.save": "1"}))
    assert browser_client.get(f"{address}&preset=none").status_code == 404

    job, _ = services.jobs.create(
        super_admin, {"name": "beat", "template_type": "test_scheduler", "parameters": {"message": "From a job"}, "overlap": "allow"}
    )
    assert 'value="From a job"' in text(browser_client.get(f"{address}&recent={job.id}"))
    run = services.runs.run_now(super_admin, job.id, overrides={"message": "From a run"})
    with_other = text(browser_client.get(f"/jobs/{job.id}/run-with"))
    assert f"recent={run.id}" in with_other
    assert 'value="From a run"' in text(browser_client.get(f"/jobs/{job.id}/run-with?recent={run.id}"))
    kept = text(post(browser_client, f"/jobs/{job.id}/run-with", **{"f.mmessage": "Again", "preset.name": "again", "preset.save": "1"}))
    assert "Preset again saved" in kept
    page = text(browser_client.get("/templates/test_scheduler"))
    for row in services.presets.of(super_admin, "test_scheduler"):
        browser_client.post(f"/templates/test_scheduler/presets/{row['_id']}/delete", data={"csrf_token": csrf(page)})
    assert services.presets.of(super_admin, "test_scheduler") == []


def test_values_of_another_job_keep_what_was_typed(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    parameters = {"message": "From a job"}
    job, _ = services.jobs.create(super_admin, {"name": "other", "template_type": "test_scheduler", "parameters": parameters})
    address = "/jobs/new?template=test_scheduler"
    assert f'value="begin recent={job.id}"' in text(browser_client.get(address))
    typed = {"d.mname": "typed by hand", "s.type": "cron", "s.expression": "7 7 * * *", "p.action": f"begin recent={job.id}"}
    page = text(post(browser_client, address, **typed))
    assert 'value="typed by hand"' in page
    assert 'value="7 7 * * *"' in page
    assert 'value="From a job"' in page
    assert f'name="begun" value="recent={job.id}"' in page


def test_what_was_copied_before_does_not_stay(browser_client: FlaskClient, services: Services, super_admin: Actor) -> None:
    def preset(name: str, value: dict[str, Any]) -> str:
        services.presets.save(super_admin, "test_scheduler", name, value, shared=False)
        rows = services.presets.of(super_admin, "test_scheduler")
        return str(next(row["_id"] for row in rows if row["name"] == name))

    slow, plain = preset("slow", {"message": "Slow", "log_lines": 77}), preset("plain", {"message": "Plain"})
    address = "/jobs/new?template=test_scheduler"
    first = text(post(browser_client, address, **{"p.action": f"begin preset={slow}"}))
    assert 'value="77"' in first
    changed = {"p.mmemory_mb": "5", "p.action": f"begin preset={plain}"}
    pairs = [(name, value) for name, value in fields_of(first) if name not in changed]
    second = text(browser_client.post(address, data=_multi([*pairs, *changed.items()])))
    assert 'value="Plain"' in second
    assert 'value="77"' not in second, "of the first preset"
    assert 'value="5"' in second, "typed by a person"


def test_a_page_in_german_has_one_table_of_parameters(browser_client: FlaskClient) -> None:
    german = {"Accept-Language": "de"}
    page = LexborHTMLParser(text(browser_client.get("/templates/report_generation", headers=german)))
    assert page.css_first(".parameter-help") is not None
    tables = [table.text() for table in page.css(".prose table")]
    assert tables, "the other tables stay"
    assert not any("parameter" in table.splitlines() or "intro" in table for table in tables)
    english = LexborHTMLParser(text(browser_client.get("/templates/report_generation", headers={"Accept-Language": "en"})))
    assert any("intro" in table.text() for table in english.css(".prose table"))
    assert english.css_first(".parameter-help") is None


def test_a_template_that_the_settings_switch_off_is_not_offered(browser_client: FlaskClient) -> None:
    assert "template=command" not in text(browser_client.get("/templates"))
    assert "JOBWRIGHT_COMMAND_PROGRAMS" in text(browser_client.get("/templates/command"))
