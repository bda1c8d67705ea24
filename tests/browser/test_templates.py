"""In a real Chromium: a template is derived beside its live form, published, its jobs moved and moved back; presets; dynamic values."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Watched, inaccessible, visit
from tests.support import Service

T = "/api/admin/job-templates"
DEFINITION: dict[str, Any] = {
    "name": "Short beat",
    "description": "A beat that is short",
    "category": "Checks",
    "icon": "zap",
    "help": "For **beats**.",
    "parameters": {
        "outcome": {"value": "success", "shown": True},
        "memory_mb": {"hidden": True},
        "seconds": {"narrow": {"maximum": 10}, "default": 1},
    },
}


def test_a_template_is_derived_published_and_its_jobs_are_moved_and_back(visitor: Watched, service: Service) -> None:
    page, js = visitor.page, visitor.javascript
    kind, name = f"beat_{'js' if js else 'plain'}", f"Beat {'js' if js else 'plain'}"
    page.goto(f"{service.address}/templates/test_scheduler")
    page.get_by_role("link", name="Derive").click()
    page.get_by_label("Type", exact=True).fill(kind)
    visitor.set("/name", name)
    page.get_by_role("button", name="Show the form").click()
    live = page.get_by_label("The form that its jobs will have")
    expect(live.get_by_role("textbox", name="Message")).to_be_disabled()
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Publish {name} as version 1")
    page.get_by_label("What changes").fill("The first")
    page.get_by_role("button", name="Publish version 1").click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()

    with service.api() as api:
        for job, seconds in (("one", 2), ("two", 60)):
            body = {"name": f"{name} {job}", "template_type": kind, "parameters": {"seconds": seconds}, "schedule": {"type": "manual"}}
            api.post("/api/admin/scheduler-jobs", json=body).raise_for_status()
        tighter = {**DEFINITION, "name": name}
        api.put(f"{T}/{kind}/draft", json=tighter).raise_for_status()
    page.goto(f"{service.address}/templates/{kind}")
    page.get_by_role("link", name="Check the effect on jobs, then publish").click()
    expect(page.get_by_text("2 jobs use this template: 1 stays valid, 1 needs input.")).to_be_visible()
    page.get_by_role("button", name="Publish version 2").click()
    expect(page.get_by_text("1 job moved to version 2")).to_be_visible()
    page.get_by_role("link", name="1 job uses another version").click()
    page.get_by_role("link", name="Fill in the values").click()
    expect(page.get_by_text("must be at most 10").first).to_be_visible()
    visitor.set("/seconds", "5")
    page.get_by_role("button", name="Move to version 2").click()
    expect(page.get_by_text("2 jobs use this template: 2 have this version.")).to_be_visible()
    page.goto(f"{service.address}/templates/{kind}")
    page.get_by_role("button", name="Roll back").first.click()
    expect(page.get_by_text("1 job restored")).to_be_visible()


def test_the_live_form_follows_what_is_typed(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/templates/test_scheduler/derive")
    visitor_js.set("/name", "Followed")
    page.locator("fieldset[data-pointer='/parameters/message']").get_by_label("Change this parameter").first.check()
    label = page.locator("[data-pointer='/parameters/message/title'][data-role=value]")
    label.fill("Words of the day")
    label.press("Tab")
    expect(page.get_by_label("The form that its jobs will have").get_by_role("textbox", name="Words of the day")).to_be_visible()


def test_what_an_expression_becomes_is_shown_while_it_is_typed(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/jobs/new?template=test_scheduler")
    visitor_js.set("/message", 'Since {{ now | add: "-1 day" | date }}')
    page.get_by_role("textbox", name="Message").press("Tab")
    expect(page.get_by_text(re.compile(r"now becomes Since 20\d\d-\d\d-\d\d"))).to_be_visible()
    visitor_js.set("/message", "{{ nwo }}")
    page.get_by_role("textbox", name="Message").press("Tab")
    expect(page.get_by_text("nwo is not known").first).to_be_visible()


def test_a_preset_is_saved_and_begins_another_job(visitor: Watched, service: Service) -> None:
    page, name = visitor.page, f"Preset {visitor.javascript}"
    address = f"{service.address}/jobs/new?template=test_scheduler"
    page.goto(address)
    visitor.set("/message", f"Hello {name}")
    page.get_by_text("Save these values as a preset").click()
    page.get_by_label("Name of the preset").fill(name)
    page.get_by_role("button", name="Save preset").click()
    expect(page.get_by_text(f"Preset {name} saved")).to_be_visible()
    expect(page.get_by_role("textbox", name="Message")).to_have_value(f"Hello {name}")
    page.goto(address)
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("textbox", name="Message")).to_have_value(f"Hello {name}")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_pages_of_templates_are_for_everybody(
    chromium: Browser, service: Service, scheme: Literal["light", "dark"], width: int
) -> None:
    watched = visit(chromium, service, width=width, color_scheme=scheme, bypass_csp=True)
    page = watched.page
    kind = f"axe_{scheme}_{width}"
    with service.api() as api:
        api.post(T, json={"type": kind, "base": "test_scheduler", "definition": DEFINITION}).raise_for_status()
        api.post(f"{T}/{kind}/publish").raise_for_status()
        body = {
            "name": kind,
            "template_type": kind,
            "parameters": {"seconds": 9, "message": "{{ now | date }}"},
            "schedule": {"type": "manual"},
        }
        job = api.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]
        tighter = {**DEFINITION["parameters"], "seconds": {"narrow": {"maximum": 5}}}
        api.put(f"{T}/{kind}/draft", json={**DEFINITION, "parameters": tighter}).raise_for_status()
        api.put(f"{T}/{kind}/presets/mine", json={"parameters": {"seconds": 2}}).raise_for_status()
    page.goto(f"{service.address}/templates/{kind}/publish")
    assert inaccessible(page) == []
    page.get_by_role("button", name="Publish version 2").click()
    paths = [
        "/",
        "/templates",
        "/templates?q=nothing",
        f"/templates/{kind}",
        f"/templates/{kind}/standing",
        f"/templates/{kind}/draft",
        "/templates/import",
        "/templates/report_generation/derive",
        f"/templates/{kind}/impact/2",
        f"/templates/{kind}/impact/2/{job}",
        f"/jobs/{job}",
        f"/jobs/{job}/run-with",
        f"/jobs/new?template={kind}",
        "/jobs/new?template=report_generation",
        "/connections/new?kind=file_store",
    ]
    for path in paths:
        page.goto(f"{service.address}{path}")
        assert inaccessible(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} is wider than the screen"
    watched.context.close()
    assert watched.complaints == []
