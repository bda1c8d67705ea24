"""The form generator in a real Chromium: the sample with every construct, filled with and without JavaScript, and by keyboard alone."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched, inaccessible, visit
from tests.support import Service

WANTED = {
    "name": "  Ünï 🙂 <b>",
    "slug": "nightly",
    "note": "line one\nline two",
    "nickname": None,
    "secret": "long enough",
    "id": "made by the server",
    "count": 4321,
    "ratio": 4.02,
    "limit": None,
    "agreed": True,
    "maybe": False,
    "nothing": None,
    "size": {"width": 4},
    "level": 2,
    "version": "v1",
    "days": ["Tue", "Fri"],
    "mail": "a@example.com",
    "site": "https://example.com/",
    "day": "2026-03-29",
    "moment": "2026-03-29T02:30:00Z",
    "color": "#0000ff",
    "cron": "0 2 * * 0",
    "zone": "Europe/Berlin",
    "wait": "PT5M",
    "contact": {"via": "phone", "number": "+49 30", "hours": "9 to 5"},
    "target": {"country": "US", "state": "CA"},
    "steps": [{"do": "copy", "to": "/x", "tags": ["a", "b"]}, {"do": "delete"}],
    "pair": ["left", 2],
    "grid": [[1, 2], []],
    "labels": {"env": "prod"},
    "any": {"x": "y"},
    "either": 5,
    "tree": {"label": "root", "children": [{"label": "leaf"}]},
    "raw": {"$gt": [1]},
    "mixed": "",
    "summer": True,
}


class Filler:
    """A person who knows pointers and roles only."""

    def __init__(self, watched: Watched) -> None:
        self.page, self.scripted = watched.page, watched.javascript

    def at(self, pointer: str, role: str = "value") -> Any:
        return self.page.locator(f"[data-pointer='{pointer}'][data-role='{role}']")

    def text(self, pointer: str, text: str, role: str = "value") -> None:
        self.at(pointer, role).fill(text)

    def choose(self, pointer: str, words: str, role: str = "value") -> None:
        """A select that redraws the form: without JavaScript its "Update" is pressed."""
        control = self.at(pointer, role)
        redraws = control.get_attribute("data-redraw") is not None
        if role == "state":
            self.hover(pointer)
        self.settle(lambda: control.select_option(label=words), redraws)
        if redraws and not self.scripted and self.at(pointer, "update").count():
            self.at(pointer, "update").first.click()

    def hover(self, pointer: str) -> None:
        self.page.locator(f".field:has([data-pointer='{pointer}'])").last.hover()

    def switch(self, pointer: str, role: str = "value") -> None:
        control = self.at(pointer, role)
        redraws = control.get_attribute("data-redraw") is not None
        self.settle(control.check, redraws)
        if redraws and not self.scripted:
            self.at(pointer, "update").first.click()

    def press(self, pointer: str, role: str) -> None:
        self.settle(self.at(pointer, role).last.click, True)

    def settle(self, act: Any, redraws: bool) -> None:
        if redraws and self.scripted:
            with self.page.expect_response(lambda answer: "f.action=check" not in (answer.request.post_data or "f.action=check")):
                act()
            expect(self.page.locator(".htmx-request, .htmx-swapping, .htmx-settling, [aria-busy=true]")).to_have_count(0)
        else:
            act()


def fill_everything(f: Filler) -> None:
    f.switch("/target", "state")
    f.choose("/target/country", "US")
    if not f.scripted:
        f.page.get_by_role("button", name="Show value").last.click()
    f.choose("/target/state", "CA")
    f.choose("/contact", "By phone", "branch")
    f.text("/contact/number", "+49 30")
    f.press("/steps", "add")
    f.choose("/steps/0/do", "copy")
    f.choose("/steps/1/do", "delete")
    f.press("/steps/0/tags", "add")
    f.press("/steps/0/tags", "add")
    f.text("/steps/0/tags/0", "b")
    f.text("/steps/0/tags/1", "a")
    f.settle(f.page.get_by_role("button", name="Move entry 2 up").click, True)
    f.text("/steps/0/to", "/x")
    for _ in range(2):
        f.press("/pair", "add")
    f.text("/pair/0", "left")
    f.text("/pair/1", "2")
    for _ in range(2):
        f.press("/grid", "add")
    for number in ("1", "2"):
        f.press("/grid/0", "add")
        f.text(f"/grid/0/{int(number) - 1}", number)
    f.choose("/any", "Object", "type")
    f.press("/any", "add")
    f.text("/any/", "x", "key")
    f.text("/any/", "y")
    f.choose("/either", "Whole number", "type")
    f.text("/either", "5")
    f.switch("/labels", "state")
    f.press("/labels", "add")
    f.text("/labels/", "env", "key")
    f.text("/labels/", "prod")
    f.switch("/tree", "state")
    f.text("/tree/label", "root")
    f.press("/tree/children", "add")
    f.text("/tree/children/0/label", "leaf")
    f.text("/zone", "Europe/Berlin")
    if not f.scripted:
        f.page.get_by_role("button", name="Show value").last.click()
    else:
        f.settle(lambda: f.at("/zone").press("Tab"), True)
    f.choose("/summer", "Yes")
    for pointer, text in {
        "/name": "  Ünï 🙂 <b>",
        "/slug": "nightly",
        "/note": "line one\nline two",
        "/secret": "long enough",
        "/count": "4321",
        "/ratio": "4.02",
        "/mail": "a@example.com",
        "/site": "https://example.com/",
        "/day": "2026-03-29",
        "/moment": "2026-03-29T02:30:00Z",
        "/color": "#0000ff",
        "/cron": "0 2 * * 0",
        "/wait": "PT5M",
    }.items():
        f.text(pointer, text)
    f.text("/raw", '{"$gt": [1]}', "json")
    for pointer in ("/nickname", "/limit", "/nothing"):
        f.choose(pointer, "Null", "state")
    f.choose("/mixed", "As entered", "state")
    f.switch("/agreed")
    f.choose("/maybe", "No")
    f.choose("/size", '{"width": 4}')
    f.page.get_by_label("High").check()
    for day in ("Tue", "Fri"):
        f.page.get_by_label(day).check()


def answer(page: Page) -> Any:
    return json.loads(page.locator("[aria-label='The value as JSON']").inner_text())


def test_every_construct_is_filled_and_read_back_as_it_was_meant(visitor: Watched, service: Service) -> None:
    page, filler = visitor.page, Filler(visitor)
    page.goto(f"{service.address}/templates/preview")
    fill_everything(filler)
    filler.settle(page.get_by_role("button", name="Show value").last.click, True)
    expect(page.get_by_text("Valid", exact=True)).to_be_visible()
    assert answer(page) == WANTED
    expect(page.get_by_text("must be entered again, because secrets are never sent back")).to_be_visible()
    filler.settle(page.get_by_role("button", name="Show value").last.click, True)
    expect(page.get_by_text("Valid", exact=True)).to_be_visible()
    assert answer(page) == {name: value for name, value in WANTED.items() if name != "secret"}
    filler.settle(page.get_by_role("button", name="Edit as JSON").click, True)
    assert json.loads(page.locator("#f").input_value())["tree"] == WANTED["tree"]
    filler.settle(page.get_by_role("button", name="Edit as a form").click, True)
    expect(filler.at("/tree/children/0/label")).to_have_value("leaf")


def test_mistakes_are_told_as_one_leaves_a_field_and_where_they_are(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/templates/preview")
    at = lambda pointer, role="value": page.locator(f"[data-pointer='{pointer}'][data-role={role}]")
    at("/count").fill("1,5")
    at("/count").press("Tab")
    expect(page.get_by_text("must use a point as the decimal separator: 1.5")).to_be_visible()
    expect(at("/count")).to_have_attribute("aria-invalid", "true")
    expect(at("/ratio")).to_be_focused()
    expect(page.get_by_text("is required")).to_have_count(0)  # nobody has been at the others yet
    at("/grid", "add").click()
    expect(at("/grid/0", "add")).to_be_visible()
    expect(page.locator("[id='f.mcount-messages']")).to_have_text(
        "must use a point as the decimal separator: 1.5"
    )  # a form drawn anew tells it again
    at("/count").fill("15")
    at("/count").press("Tab")
    expect(page.locator("[id='f.mcount-messages']")).to_be_empty()
    at("/contact", "branch").focus()
    before = page.evaluate("scrollY")
    at("/contact", "branch").select_option(label="By phone")
    expect(at("/contact/number")).to_be_visible()
    expect(at("/contact", "branch")).to_be_focused()
    assert abs(page.evaluate("scrollY") - before) < 400
    page.get_by_role("button", name="Show value").last.click()
    expect(page.locator("#form-errors")).to_be_focused()
    page.locator("#form-errors a", has_text="Contact › Number").click()
    expect(at("/contact/number")).to_be_focused()


def test_focus_and_a_typed_secret_outlive_the_buttons(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/templates/preview")
    at = lambda pointer, role="value": page.locator(f"[data-pointer='{pointer}'][data-role={role}]")
    at("/secret").fill("long enough")
    at("/steps", "add").press("Enter")
    expect(at("/steps/1/do")).to_be_focused()
    at("/steps/1/do").select_option(label="move")
    page.get_by_role("button", name="Move step 2 up").press("Enter")
    expect(at("/steps/0/do").locator("option:checked")).to_have_text("move")
    page.get_by_role("button", name="Remove step 2").press("Enter")
    expect(at("/steps/1/do")).to_have_count(0)
    expect(at("/steps", "add")).to_be_focused()
    expect(at("/secret")).to_have_value("long enough")
    with page.expect_response(lambda answer: "f.action=check" in (answer.request.post_data or "")):
        at("/note").fill("x")
        at("/note").press("Tab")
    at("/count").fill("1,5")
    at("/count").press("Tab")
    expect(page.locator("[id='f.mcount-messages']")).not_to_be_empty()  # so that a check's answer has come, and told nothing of the secret
    expect(page.get_by_text("must be entered again")).to_have_count(0)
    at("/secret").fill("short")
    at("/secret").press("Tab")
    expect(page.locator("[id='f.msecret-messages']")).to_have_text("must have at least 8 characters")


def test_what_is_done_while_the_server_draws_is_not_lost(visitor_js: Watched, service: Service) -> None:
    """A press that begins before the new form and ends after it counts, what is typed meanwhile stays, and what it asks for comes."""
    page = visitor_js.page
    page.goto(f"{service.address}/templates/preview")
    at = lambda pointer, role="value": page.locator(f"[data-pointer='{pointer}'][data-role={role}]")
    held: list[Any] = []
    page.route(
        "**/templates/preview", lambda route: held.append(route) if not held and route.request.resource_type == "xhr" else route.continue_()
    )
    page.evaluate("document.addEventListener('htmx:afterRequest', () => { document.body.dataset.answered = '' })")
    with page.expect_request(lambda request: request.resource_type == "xhr"):
        at("/contact", "branch").select_option(label="By phone")
    at("/slug").fill("typed-meanwhile")
    at("/count").fill("1,5")
    at("/zone").fill("Europe/Berlin")
    friday = page.get_by_label("Fri")
    friday.scroll_into_view_if_needed()
    box = friday.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    (drawing,) = held
    drawing.continue_()
    expect(page.locator("body[data-answered]")).to_have_count(1)
    expect(at("/contact/number")).to_have_count(0)  # the old form is still under the hand
    page.mouse.up()
    expect(at("/contact/number")).to_be_visible()
    expect(friday).to_be_checked()
    expect(at("/slug")).to_have_value("typed-meanwhile")
    expect(page.locator("[id='f.mcount-messages']")).to_have_text("must use a point as the decimal separator: 1.5")
    expect(at("/summer")).to_be_visible()  # a zone asks whether it has a summer time


def test_the_focus_stays_on_the_button_that_somebody_moved_to(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/templates/preview")
    at = lambda pointer, role="value": page.locator(f"[data-pointer='{pointer}'][data-role={role}]")
    at("/steps", "add").press("Enter")
    expect(at("/steps/1/do")).to_be_focused()
    held: list[Any] = []
    page.route(
        "**/templates/preview", lambda route: held.append(route) if not held and route.request.resource_type == "xhr" else route.continue_()
    )
    with page.expect_request(lambda request: request.resource_type == "xhr"):
        page.get_by_role("button", name="Move step 2 up").press("Enter")
    page.get_by_role("button", name="Remove step 2").focus()
    old = page.locator("#preview-form").element_handle()
    held[0].continue_()
    page.wait_for_function("form => !form.isConnected", arg=old)
    expect(page.get_by_role("button", name="Remove step 1")).to_be_focused()  # the same step, which is the first now


def test_a_long_list_is_searched(visitor_js: Watched, service: Service) -> None:
    page = visitor_js.page
    page.goto(f"{service.address}/templates/preview")
    schema = {"type": "object", "properties": {"e": {"title": "Pick", "enum": [f"option {n}" for n in range(5000)]}}}
    page.get_by_label("JSON Schema (draft-04 to 2020-12)").fill(json.dumps(schema))
    page.get_by_role("button", name="Draw the form").click()
    page.get_by_label("Pick: search").fill("4321")
    expect(page.locator("[data-pointer='/e'][data-role=value] option")).to_have_count(2)
    page.get_by_role("button", name="Show value").last.click()
    expect(page.locator("[aria-label='The value as JSON']")).to_contain_text("option 4321")


def test_the_largest_form_is_filled_by_keyboard_alone(visitor_js: Watched, service: Service) -> None:
    """Tab from control to control; type, arrow keys, space. Nothing is clicked."""
    page = visitor_js.page
    page.goto(f"{service.address}/templates/preview")
    typed = {"/name": "Keys", "/count": None, "/ratio": "0.5", "/contact/address": "a@example.com", "/any": "text", "/cron": "0 2 * * 0"}
    chosen = {"/size": 1, "/steps/0/do": 2}
    page.locator("#schema").focus()
    page.keyboard.press("Tab")
    seen: list[str] = []
    for _ in range(160):
        page.keyboard.press("Tab")
        now = page.evaluate(
            "({pointer: document.activeElement.dataset.pointer ?? '', role: document.activeElement.dataset.role ?? '', words: document.activeElement.textContent.trim()})"
        )
        if now["words"] == "Show value" and seen:
            break
        pointer = now["pointer"]
        if now["role"] != "value" or pointer in seen:
            continue
        seen.append(pointer)
        if typed.get(pointer):
            page.keyboard.type(typed[pointer])
        for _ in range(chosen.get(pointer, 0)):
            page.keyboard.press("ArrowDown")
        if pointer == "/agreed":
            page.keyboard.press("Space")
    assert set(typed) | set(chosen) | {"/agreed"} <= set(seen)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Valid", exact=True)).to_be_visible()
    found = answer(page)
    assert (found["name"], found["agreed"], found["size"], found["steps"], found["any"]) == (
        "Keys",
        True,
        "small",
        [{"do": "move"}],
        "text",
    )


def test_axe_finds_nothing_in_a_form_full_of_mistakes(chromium: Any, service: Service) -> None:
    watched = visit(chromium, service, width=390, bypass_csp=True)
    page, filler = watched.page, Filler(watched)
    page.goto(f"{service.address}/templates/preview")
    fill_everything(filler)
    filler.text("/name", "x")
    filler.text("/ratio", "1,5")
    filler.settle(page.get_by_role("button", name="Show value").last.click, True)
    expect(page.locator("#form-errors")).to_be_visible()
    found = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.wait_for_timeout(500)  # colours that fade from one theme to the other have no contrast of their own
        found += [f"{theme}: {problem}" for problem in inaccessible(page)]
    sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    watched.context.close()
    assert found == []
    assert sideways <= 0


LONG = "w" * 400
LONG_WORDS = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "title": LONG, "description": LONG, "default": LONG, "examples": [LONG]},
        "several": {"type": "string", "description": f"{LONG}\n\n- {LONG}\n- `{LONG}`\n\n> {LONG}", "x-widget": "textarea"},
        "choice": {"enum": [LONG, "b"], "default": LONG, "title": LONG},
        "radio": {"enum": [LONG, "b"], "x-widget": "radio"},
        "checks": {"type": "array", "uniqueItems": True, "items": {"enum": [LONG, "b"]}, "default": [LONG]},
        "fixed": {"const": LONG},
        "switch": {"type": "boolean", "default": True, "title": LONG},
        "mixed": {"type": ["string", "integer"], "title": LONG, "default": 5},
        "union": {
            "oneOf": [{"type": "string", "title": LONG, "description": LONG}, {"type": "integer", "title": f"{LONG}2"}],
            "default": LONG,
        },
        "group": {"type": "object", "title": LONG, "default": {}, "properties": {LONG: {"type": "string"}}, "description": LONG},
        "optional": {"type": "object", "title": LONG, "properties": {"a": {}}},
        "map": {"type": "object", "title": LONG, "additionalProperties": {"type": "string"}, "default": {LONG: LONG}},
        "rows": {
            "type": "array",
            "title": LONG,
            "items": {"type": "object", "properties": {LONG: {"enum": [LONG, "b"]}}},
            "default": [{LONG: LONG}],
        },
        "json": {"x-widget": "json", "default": {LONG: LONG}},
        "wrong": {"type": "integer", "default": LONG, "x-section": LONG[:200]},
        "shown": {"type": "string", "readOnly": True, "default": LONG},
    },
    "required": ["fixed", "switch"],
}


def test_a_long_word_anywhere_in_a_form_does_not_widen_the_page(chromium: Any, service: Service) -> None:
    wide = {}
    for width in (360, 1280):
        watched = visit(chromium, service, width=width)
        page = watched.page
        page.goto(f"{service.address}/templates/preview")
        page.locator("[name=schema]").fill(json.dumps(LONG_WORDS))
        page.locator("[name=draw]").click()
        expect(page.locator("[data-pointer='/shown'][data-role=value]")).to_be_visible()
        page.get_by_role("button", name="Show value").last.click()
        expect(page.locator("#form-errors")).to_be_visible()
        wide[width] = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        watched.context.close()
    assert wide == {360: 0, 1280: 0}
