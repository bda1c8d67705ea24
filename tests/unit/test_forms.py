"""The form generator through real HTML: drawn, parsed, posted, read back."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.connections.vault import MASK
from app.errors import FieldError
from templates_lib.data_export.template import DataExport
from templates_lib.database_cleanup.template import DatabaseCleanup
from templates_lib.email_notification.template import EmailNotification
from templates_lib.webhook_trigger.template import WebhookTrigger
from web.forms import ABSENT, KEPT, Form, SchemaRefused
from web.forms.form import action_in


class Page(HTMLParser):
    """The controls of a form, and what a browser would post of them (HTML Living Standard, 4.10.21)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.controls: list[dict[str, Any]] = []
        self.ids: set[str] = set()
        self.described: list[str] = []
        self.labels: set[str] = set()
        self.text = ""
        self._open: dict[str, Any] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if "id" in found:
            assert found["id"] not in self.ids, f"id {found['id']} twice"
            self.ids.add(str(found["id"]))
        self.described += (found.get("aria-describedby") or "").split()
        if tag == "label" and "for" in found:
            self.labels.add(str(found["for"]))
        if tag in {"input", "textarea", "select", "button"}:
            self.controls.append({"tag": tag, "value": "", **found, "options": []})
        if tag == "textarea":
            self._open = self.controls[-1]
        if tag == "option":
            self.controls[-1]["options"].append((found.get("value"), "selected" in found))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._open is not None:
            # The newline right after <textarea> is not part of the value; a browser posts line breaks as CRLF.
            self._open["value"] = self._open["value"].removeprefix("\n").replace("\n", "\r\n")
            self._open = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open is not None:
            self._open["value"] += data

    def pairs(self) -> list[tuple[str, str]]:
        found = []
        for one in self.controls:
            if one["tag"] == "button" or (one.get("type") == "checkbox" and "checked" not in one):
                continue
            value = one["value"]
            if one["tag"] == "select":
                chosen = [value for value, selected in one["options"] if selected]
                value = chosen[-1] if chosen else one["options"][0][0]
            found.append((one["name"], value))
        return found

    def at(self, pointer: str, role: str = "value") -> dict[str, Any]:
        return next(one for one in self.controls if one.get("data-pointer") == pointer and one.get("data-role") == role)


def filled(form: Form, changes: dict[str, str], **render: Any) -> list[tuple[str, str]]:
    """The pairs of the drawn form with other texts at some pointers."""
    page = Page(form.render(**render))
    names = {}
    for pointer, text in changes.items():
        role = "json" if any(one.get("data-pointer") == pointer and one.get("data-role") == "json" for one in page.controls) else "value"
        names[page.at(pointer, role)["name"]] = text
    pairs = [(name, names.pop(name, value)) for name, value in page.pairs()]
    return pairs + list(names.items())


KIND_VALUES = [
    (DatabaseCleanup, {"connection": "db", "collection": "users", "condition": {"a": {"$lt": "1 day ago"}}, "dryRun": False, "batch_size": 5}),
    (EmailNotification, {
        "connection": "m", "recipients": ["a@example.com", "b@example.com"], "subject": "S \"quoted\" <b>", "body": "line 1\nline 2\n", "template": "notice",
        "individually": False, "attachments": [{"connection": "f", "path": "x"}, {"connection": "f", "path": "y", "filename": "z"}],
    }),
    (DataExport, {
        "connection": "db", "collection": "c", "filter": {}, "fields": ["a", "b.c"], "sort": [{"field": "a", "direction": "desc"}, {"field": "b"}], "limit": 7,
        "format": "xlsx", "destination": {"connection": "f", "path": "p"}, "compress": "gzip",
    }),
    (WebhookTrigger, {"url": "https://example.com/", "method": "PUT", "body": [1, {"ä": None}], "headers": [], "expected_status": [200, 204], "timeout": 2.5, "follow_redirects": True}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), KIND_VALUES)
def test_each_kinds_value_survives_edit_and_save_unchanged(kind: Any, value: dict[str, Any]) -> None:
    form = Form(kind.parameters_schema, options=lambda source: ["db", "m", "f"])
    submission = form.read(Page(form.render(value)).pairs())
    assert submission.errors == ()
    # Booleans that were absent are shown as a switch and read as what it shows.
    read = {key: item for key, item in submission.value.items() if key in value or item is not False}
    assert read == value
    assert json.dumps(read, sort_keys=True) == json.dumps(value, sort_keys=True)


def test_a_fresh_form_shows_defaults_and_an_edited_one_does_not() -> None:
    form = Form(DatabaseCleanup.parameters_schema)
    fresh = form.read(Page(form.render()).pairs()).value
    assert fresh == {"dryRun": True, "batch_size": 1000, "max_deletes": 100_000}
    edited = form.read(Page(form.render({"connection": "x"})).pairs()).value
    assert edited == {"connection": "x", "dryRun": False}


def test_every_control_is_named_for_people_and_scripts() -> None:
    for kind, value in KIND_VALUES:
        page = Page(Form(kind.parameters_schema).render(value))
        assert set(page.described) <= page.ids
        for one in page.controls:
            if one.get("type") in {"hidden", "checkbox"} or one["tag"] == "button":
                continue
            assert one.get("data-pointer", "").startswith("/")
            assert one["data-role"] in {"value", "json"}
            assert one.get("id") in page.labels or one.get("aria-label"), one


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"/batch_size": "12,5"}, "/batch_size", "12.5"), ({"/batch_size": "many"}, "/batch_size", "whole number"), ({"/batch_size": "1e999"}, "/batch_size", "larger"),
        ({"/batch_size": "0"}, "/batch_size", "at least 1"), ({"/batch_size": "1.5"}, "/batch_size", "whole number"), ({"/batch_size": "NaN"}, "/batch_size", "whole number"),
        ({"/condition": '{"a": }'}, "/condition", "line 1, column 7"), ({"/condition": "[1]"}, "/condition", "object"), ({"/condition": '{"a": NaN}'}, "/condition", "NaN"),
        ({"/condition": ""}, "/condition", "is required"), ({"/collection": ""}, "/collection", "is required"), ({"/collection": "a$b"}, "/collection", "without $"),
    ],
)  # fmt: skip
def test_wrong_text_is_explained_at_its_field_and_kept(changes: dict[str, str], pointer: str, words: str) -> None:
    form = Form(DatabaseCleanup.parameters_schema, options=lambda source: ["db"])
    good = {"connection": "db", "collection": "users", "condition": {"a": 1}}
    submission = form.read(filled(form, changes, value=good))
    assert not submission.valid
    assert [(error.pointer, words in error.message) for error in submission.errors] == [(pointer, True)]
    page = Page(form.render(submission=submission))
    control = page.at(pointer, "json" if pointer == "/condition" else "value")
    assert control["value"].replace("\r\n", "\n") == changes[pointer]
    assert control["aria-invalid"] == "true"
    assert f"{control['id']}-error" in control["aria-describedby"].split()
    assert words in page.text


def test_rows_are_added_moved_and_removed_with_what_was_typed() -> None:
    form = Form(EmailNotification.parameters_schema)
    value = {"recipients": ["a@example.com", "b@example.com", "c@example.com"], "subject": "half"}
    pairs = filled(form, {"/recipients/1": "typed"}, value=value)
    press = lambda action: form.apply(form.read([*pairs, ("f.action", action)]), action).value
    name = next(
        one["value"] for one in Page(form.render(value)).controls if one.get("data-role") == "add" and one["data-pointer"] == "/recipients"
    ).split()[1]
    assert press(f"add {name}")["recipients"] == ["a@example.com", "typed", "c@example.com", ""]
    assert press(f"remove {name} 1")["recipients"] == ["a@example.com", "c@example.com"]
    assert press(f"up {name} 1")["recipients"] == ["typed", "a@example.com", "c@example.com"]
    assert press(f"down {name} 0")["recipients"] == ["typed", "a@example.com", "c@example.com"]
    for nonsense in (f"up {name} 0", f"down {name} 2", f"remove {name} 99", "remove f.99 0", "explode f.1", "add", ""):
        assert press(nonsense)["recipients"] == ["a@example.com", "typed", "c@example.com"]
    after = form.apply(form.read(pairs), f"remove {name} 0")
    page = Page(form.render(submission=after))
    assert page.at("/recipients/0")["value"] == "typed"
    assert action_in([("f.action", "x")]) == "x"
    assert action_in([("g.action", "x")]) is None


def test_removing_the_last_row_makes_an_optional_list_absent_and_a_required_one_empty() -> None:
    schema = {"type": "object", "additionalProperties": False, "required": ["must"],
              "properties": {name: {"type": "array", "items": {"type": "string"}} for name in ("must", "may")}}  # fmt: skip
    form = Form(schema)
    submission = form.read(Page(form.render({"must": ["x"], "may": ["y"]})).pairs())
    for name in ("f.0", "f.1"):
        submission = form.apply(submission, f"remove {name} 0")
    assert submission.value == {"must": []}
    assert form.read(Page(form.render({"must": [], "may": []})).pairs()).value == {"must": [], "may": []}


def test_a_secret_is_never_echoed_and_stays_unless_typed_anew() -> None:
    assert KEPT == MASK
    form = Form(
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["s"],
            "properties": {"s": {"type": "string", "writeOnly": True, "minLength": 8}},
        }
    )
    shown = form.render({"s": dict(KEPT)})
    assert 'value=""' not in shown
    assert "unchanged" in shown
    kept = form.read(Page(shown).pairs())
    assert (kept.value, kept.errors) == ({"s": KEPT}, ())
    assert form.read(filled(form, {"/s": "new secret"}, value={"s": dict(KEPT)})).value == {"s": "new secret"}
    wrong = form.read(filled(form, {"/s": "short"}, value={"s": dict(KEPT)}))
    assert not wrong.valid
    assert "short" not in form.render(submission=wrong)
    assert [error.message for error in form.read(Page(form.render()).pairs()).errors] == ["is required"]


def test_hostile_texts_are_texts() -> None:
    evil = '"><script>alert(1)</script>'
    schema = {
        "type": "object", "additionalProperties": False, "title": evil,
        "properties": {evil: {"type": "string", "title": evil, "description": f"{evil} [x](javascript:alert(1)) <img src=x onerror=y>", "default": evil, "x-placeholder": evil},
                       "e": {"enum": [evil, 1, None, {"a": evil}]}, "b": {"type": "boolean", "title": evil}},
    }  # fmt: skip
    html = Form(schema).render()
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert Form(schema).read(Page(html).pairs()).value == {evil: evil}


def test_names_of_any_kind_are_ordinary() -> None:
    names = ["a.b", "a/b", "a~b", "[0]", 'q"q', " ", "", "__proto__", "🙂", "d.state", "f.action"]
    schema = {"type": "object", "additionalProperties": False, "properties": {name: {"type": "string"} for name in names}}
    value = {name: f"value of {name!r}" for name in names}
    form = Form(schema)
    assert form.read(Page(form.render(value)).pairs()).value == value


def test_choices_keep_the_type_of_their_values() -> None:
    options = ["1", 1, True, None, {"a": [1]}, 1.5, ""]
    form = Form({"type": "object", "additionalProperties": False, "properties": {"e": {"enum": options}}})
    for option in options:
        read = form.read(Page(form.render({"e": option})).pairs()).value
        assert json.dumps(read) == json.dumps({"e": option})
    for nonsense in ("7", "-1", "x", "٣"):
        assert form.read(filled(form, {"/e": nonsense})).value == {}


def test_a_live_choice_keeps_a_value_that_is_no_longer_offered() -> None:
    form = Form(DatabaseCleanup.parameters_schema, options=lambda source: ["new"])
    page = Page(form.render({"connection": "gone"}))
    assert ("connection", "gone") in [("connection", value) for name, value in page.pairs() if name == "f.0"]
    assert "gone (not there)" in page.text


def test_errors_of_others_are_shown_at_the_nearest_control() -> None:
    form = Form(EmailNotification.parameters_schema)
    page = Page(form.render({"recipients": ["a"]}, errors=[FieldError("/recipients/0", "first"), FieldError("/nowhere/deep", "lost")]))
    assert "first" in page.text
    assert "lost" in page.text


@pytest.mark.parametrize("schema", [5, {"type": "object", "properties": {"a": 5}, "additionalProperties": False}])
def test_what_is_no_schema_is_refused_readably(schema: Any) -> None:
    with pytest.raises(SchemaRefused) as caught:
        Form(schema)
    assert caught.value.reason == "is no schema"


def test_schemas_without_end_are_refused() -> None:
    deep: Any = {"type": "string"}
    for _ in range(40):
        deep = {"type": "object", "properties": {"a": deep}, "additionalProperties": False}
    with pytest.raises(SchemaRefused, match="levels deep"):
        Form(deep)
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(2001)}, "additionalProperties": False}
    with pytest.raises(SchemaRefused, match="more than 2000"):
        Form(wide)


def test_what_has_no_control_is_typed_as_json() -> None:
    for schema in ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["string", "null"]}, {}, True, {"type": "object"}, {"type": "array"},
                   {"type": "array", "prefixItems": [{}]}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}):  # fmt: skip
        form = Form(schema)
        for value in ("text", None, 5):
            read = form.read(Page(form.render(value)).pairs())
            assert read.value == value


scalars = st.one_of(
    st.fixed_dictionaries({"type": st.just("string")}), st.fixed_dictionaries({"type": st.sampled_from(["integer", "number", "boolean"])}),
    st.fixed_dictionaries({"enum": st.lists(st.one_of(st.text(max_size=5), st.integers(), st.none()), min_size=1, max_size=4)}),
)  # fmt: skip


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.text(max_size=6), inner, min_size=1, max_size=3).flatmap(
        lambda members: st.sets(st.sampled_from(sorted(members))).map(
            lambda needed: {"type": "object", "properties": members, "required": sorted(needed), "additionalProperties": False}
        )
    )


schemas = objects(
    st.recursive(scalars, lambda inner: st.one_of(objects(inner), inner.map(lambda one: {"type": "array", "items": one})), max_leaves=6)
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00"), max_size=8)


def value_for(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a form can tell apart: an optional empty text is absent, a switch is on or off."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema["type"]
    if kind == "object":
        return st.fixed_dictionaries(
            {name: value_for(member) for name, member in schema["properties"].items() if name in schema["required"]},
            optional={name: value_for(member) for name, member in schema["properties"].items() if name not in schema["required"]},
        )
    if kind == "array":
        return st.lists(value_for(schema["items"]), max_size=3)
    return {"string": TEXT, "integer": st.integers(), "boolean": st.booleans(), "number": st.floats(allow_nan=False, allow_infinity=False)}[
        kind
    ]


@settings(max_examples=150, deadline=None)
@given(schemas.flatmap(lambda schema: st.tuples(st.just(schema), value_for(schema))))
def test_any_value_of_any_schema_survives_the_browser(case: tuple[dict[str, Any], Any]) -> None:
    schema, value = case
    form = Form(schema)
    submission = form.read(Page(form.render(value)).pairs())
    assert submission.value is not ABSENT
    assert json.dumps(submission.value, sort_keys=True) == json.dumps(value, sort_keys=True)
    assert submission.errors == ()


def test_an_empty_required_field_is_missing_where_empty_cannot_be_meant() -> None:
    members = {
        "url": {"type": "string", "format": "uri"},
        "code": {"type": "string", "pattern": "^a+$"},
        "note": {"type": "string", "pattern": "^a*$"},
    }
    form = Form({"type": "object", "additionalProperties": False, "required": list(members), "properties": members})
    submission = form.read(Page(form.render()).pairs())
    assert submission.value == {"note": ""}
    assert [(error.pointer, error.message) for error in submission.errors] == [("/code", "is required"), ("/url", "is required")]
