"""The form generator through real HTML: drawn, parsed, posted, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import FieldError
from app.validation.secret import MASK
from app.validation.words import locales, words_of
from templates_lib.data_export.template import DataExport
from templates_lib.database_cleanup.template import DatabaseCleanup
from templates_lib.email_notification.template import EmailNotification
from templates_lib.webhook_trigger.template import WebhookTrigger
from tests.posting import Control, Page, Pairs
from web.forms import ABSENT, Form, SchemaRefused, Submission, action_in

EVERYTHING = json.loads((Path(__file__).parents[4] / "web/views/samples/1-everything.json").read_text("utf-8"))


def obj(**properties: Any) -> dict[str, Any]:
    """A closed object schema; a name that ends with `_` is required."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name.rstrip("_"): schema for name, schema in properties.items()},
        "required": [name.rstrip("_") for name in properties if name.endswith("_")],
    }


def page_of(form: Form, value: Any = ABSENT) -> Page:
    return Page(form.render(value))


def there_and_back(schema: Any, value: Any) -> Submission:
    form = Form(schema)
    return form.read(page_of(form, value).pairs(), stored=value)


def typed(form: Form, value: Any, **texts: str) -> Submission:
    """The form of `value` with other texts in some members, sent."""
    page = page_of(form, value)
    for name, text in texts.items():
        page.editor(f"/{name}").value = text
    return form.read(page.pairs())


def press(form: Form, pairs: Pairs, button: Control) -> Submission:
    submission = form.read([*pairs, (button["name"], button["value"])])
    return form.apply(submission, button["value"])


KIND_VALUES = [
    (
        DatabaseCleanup,
        {"connection": "db", "collection": "users", "condition": {"a": {"$lt": "1 day ago"}}, "dryRun": False, "batch_size": 5},
    ),
    (
        EmailNotification,
        {
            "connection": "m",
            "recipients": ["a@example.com", "b@example.com"],
            "subject": 'S "quoted" <b>',
            "body": "line 1\nline 2\n",
            "template": "notice",
            "individually": False,
            "attachments": [{"connection": "f", "path": "x"}, {"connection": "f", "path": "y", "filename": "z"}],
        },
    ),
    (
        DataExport,
        {
            "connection": "db",
            "collection": "c",
            "filter": {},
            "fields": ["a", "b.c"],
            "sort": [{"field": "a", "direction": "desc"}, {"field": "b"}],
            "limit": 7,
            "format": "xlsx",
            "destination": {"connection": "f", "path": "p"},
            "compress": "gzip",
        },
    ),
    (
        WebhookTrigger,
        {
            "url": "https://example.com/",
            "method": "PUT",
            "body": [1, {"ä": None}],
            "headers": [],
            "expected_status": [200, 204],
            "timeout": 2.5,
            "follow_redirects": True,
        },
    ),
]


@pytest.mark.parametrize(("kind", "value"), KIND_VALUES)
def test_each_kinds_value_survives_edit_and_save_unchanged(kind: Any, value: dict[str, Any]) -> None:
    submission = there_and_back(kind.parameters_schema, value)
    assert submission.errors == ()
    assert json.dumps(submission.value, sort_keys=True) == json.dumps(value, sort_keys=True)


def test_a_fresh_form_shows_defaults_and_an_edited_one_does_not() -> None:
    form = Form(DatabaseCleanup.parameters_schema)
    fresh = form.read(page_of(form).pairs()).value
    assert fresh == {"dryRun": True, "batch_size": 1000, "max_deletes": 100_000}
    assert form.read(page_of(form, {"connection": "x"}).pairs()).value == {"connection": "x"}


def test_the_order_of_members_and_of_what_is_stored_does_not_matter() -> None:
    schema = obj(a={"type": "string", "x-order": 2}, b={"type": "string", "x-order": 1}, c={"type": "string"})
    page = page_of(Form(schema), {"c": "1", "a": "2", "b": "3"})
    assert [one["data-pointer"] for one in page.controls if one.get("data-role") == "value"] == ["/b", "/a", "/c"]


# -- absent, null, empty and false ----------------------------------------------------------------------------------------

DIFFERENT = [
    {},
    {"x": None},
    {"x": ""},
    {"x": " "},
    {"x": []},
    {"x": {}},
    {"x": False},
    {"x": 0},
    {"x": "0"},
    {"x": "null"},
    {"x": [None]},
    {"x": [[]]},
    {"x": [{}]},
]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": ["string", "null"]},
        {"type": "string"},
        {"type": "integer"},
        {"type": ["array", "null"]},
        {"type": "object"},
        {"type": ["object", "null"]},
        {"type": "boolean"},
        {"enum": ["", None, False, 0]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "null"},
        {"type": "array", "items": {"enum": ["a"]}, "uniqueItems": True},
        {"const": 1},
        {"type": "string", "minLength": 1, "format": "date"},
        {"type": "string", "x-widget": "textarea"},
        {"x-widget": "json"},
        {"oneOf": [{"type": "object", "properties": {"a": {}}}, {"type": "array"}]},
        {"type": "string", "format": "color"},
        {"type": ["boolean", "null"]},
        {"type": ["number", "object"]},
    ],
)
@pytest.mark.parametrize("required", [[], ["x"]])
@pytest.mark.parametrize("value", DIFFERENT)
def test_absent_null_and_every_kind_of_empty_differ(schema: Any, required: list[str], value: Any) -> None:
    whole = {"type": "object", "properties": {"x": schema}, "required": required}
    submission = there_and_back(whole, value)
    assert json.dumps(submission.value) == json.dumps(value)
    assert {error.pointer for error in submission.errors} <= {"/x", "/x/0"}


def test_a_person_can_mean_each_of_them() -> None:
    form = Form(
        obj(x={"type": ["string", "null"]}, s={"type": "string"}, n={"type": ["integer", "null"]}, l={"type": "array", "items": {}})
    )
    for state, value in (("absent", {}), ("null", {"x": None}), ("value", {"x": ""})):
        page = page_of(form, {"x": "before"})
        page.editor("/x").value = ""
        page.at("/x", "state").value = state
        assert form.read(page.pairs()).value == value
    page = page_of(form, {})
    page.at("/s", "state").value = "value"
    page.at("/n", "state").value = "null"
    page.at("/l", "state").value = "value"
    assert form.read(page.pairs()).value == {"s": "", "n": None, "l": []}
    assert typed(form, {}, x="just typed", n="7").value == {"x": "just typed", "n": 7}, "who types means a value"
    assert typed(form, {"n": 5, "s": "a"}, n="", s="").value == {"s": ""}, "a cleared number is none; a cleared text is empty"


def test_an_empty_required_text_is_missing_until_empty_is_said() -> None:
    members = {"url_": {"type": "string", "format": "uri"}, "code_": {"type": "string", "pattern": "^a+$"}, "note_": {"type": "string"}}
    form = Form(obj(**members))
    page = page_of(form)
    submission = form.read(page.pairs())
    assert [(error.pointer, error.message) for error in submission.errors] == [
        (f"/{name}", "is required") for name in ("code", "note", "url")
    ]
    page.at("/note", "state").value = "value"
    assert form.read(page.pairs()).value == {"note": ""}
    assert page.all("/url", "state") == [], "where empty cannot be meant there is nothing to choose"


# -- texts and numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "  lead and trail  ",
        "a\tb",
        "line\nline\n",
        "\n\nlead",
        "\r\n",
        "cr\r",
        "nul\x00",
        "\ud800",
        "\U0001f642" * 3,
        "</textarea>",
        "&lt;",
        "\x01\x7f\x85\u2028",
        "é\u0301",
    ],
)
@pytest.mark.parametrize("more", [{}, {"x-widget": "textarea"}, {"format": "email"}, {"format": "uri"}, {"maxLength": 3}])
def test_texts_survive(text: str, more: dict[str, Any]) -> None:
    assert there_and_back(obj(s={"type": "string", **more}), {"s": text}).value == {"s": text}


@pytest.mark.parametrize(
    ("posted", "kind", "value"),
    [
        ("9007199254740993", "integer", 2**53 + 1),
        ("-0", "number", -0.0),
        ("1e-7", "number", 1e-7),
        ("1e3", "integer", 1000),
        (" 12 ", "integer", 12),
        ("4.0", "integer", 4.0),
        ("1E+2", "number", 100.0),
        ("123456789012345678901234567890", "integer", 123456789012345678901234567890),
        ("5e-324", "number", 5e-324),
        ("0e5", "number", 0.0),
    ],
)
def test_numbers_keep_their_value(posted: str, kind: str, value: Any) -> None:
    submission = typed(Form(obj(n={"type": kind})), {}, n=posted)
    assert submission.valid
    assert repr(submission.value["n"]) == repr(value)
    assert there_and_back(obj(n={"type": kind}), {"n": value}).value == {"n": value}


@pytest.mark.parametrize(
    ("posted", "kind", "words"),
    [
        ("NaN", "number", "must be a number"),
        ("Infinity", "number", "must be a number"),
        ("1e400", "number", "too large"),
        ("-1e400", "number", "too large"),
        ("1e-400", "number", "too close to zero"),
        ("1,5", "number", "decimal separator: 1.5"),
        ("1.5", "integer", "whole number"),
        ("many", "integer", "whole number"),
        ("٣", "integer", "whole number"),
        ("0x10", "integer", "whole number"),
        ("+5", "number", "must be a number"),
        ("9" * 5000, "integer", "too many digits"),
        ("01", "integer", "whole number"),
        ("1_000", "integer", "whole number"),
        ("4.025", "number", "multiple of 0.01"),
    ],
)
def test_what_is_no_number_is_explained_and_kept(posted: str, kind: str, words: str) -> None:
    form = Form(obj(n={"type": kind, "multipleOf": 0.01} if kind == "number" else {"type": kind}))
    submission = typed(form, {"n": 1}, n=posted)
    assert [error.pointer for error in submission.errors] == ["/n"]
    assert words in submission.errors[0].message
    assert Page(form.render(submission=submission)).editor("/n").value == posted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": }', "line 1, column 7"),
        ("[1", "is not valid JSON"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1, "a": 2}', "the name a twice"),
        ("1e999", "too large"),
        ("[" * 2000, "100 levels"),
        ("9" * 5000, "too large"),
        ("[" * 101 + "]" * 101, "100 levels"),
    ],
)
def test_wrong_json_is_explained_and_kept(text: str, words: str) -> None:
    form = Form(obj(j={"x-widget": "json"}))
    submission = typed(form, {}, j=text)
    assert [(error.pointer, words in error.message) for error in submission.errors] == [("/j", True)]
    page = Page(form.render(submission=submission))
    assert page.editor("/j").value == text
    assert page.editor("/j")["aria-invalid"] == "true"
    assert page.editor("/j")["aria-describedby"].split() == ["f.mj-messages"]


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"batch_size": "0"}, "/batch_size", "at least 1"),
        ({"condition": "[1]"}, "/condition", "object"),
        ({"condition": ""}, "/condition", "is required"),
        ({"collection": ""}, "/collection", "is required"),
        ({"collection": "a$b"}, "/collection", "without $"),
        ({"connection": ""}, "/connection", "is required"),
    ],
)
def test_wrong_values_are_explained_at_their_field_and_kept(changes: dict[str, str], pointer: str, words: str) -> None:
    form = Form(DatabaseCleanup.parameters_schema, options=lambda source: ["db"])
    submission = typed(form, {"connection": "db", "collection": "users", "condition": {"a": 1}}, **changes)
    assert [(error.pointer, words in error.message) for error in submission.errors] == [(pointer, True)]
    page = Page(form.render(submission=submission))
    assert page.editor(pointer).value == next(iter(changes.values()))
    assert page.editor(pointer)["aria-invalid"] == "true"
    assert set(page.described) <= set(page.ids)
    line = form.present(submission=submission).summary[0]
    assert (line.pointer, line.href.removeprefix("#") in page.ids, line.message) == (pointer, True, submission.errors[0].message)


# -- choices --------------------------------------------------------------------------------------------------------------


def test_choices_keep_the_type_of_their_values() -> None:
    options = ["1", 1, True, None, {"a": [1]}, 1.5, ""]
    form = Form(obj(e={"enum": options}))
    for option in options:
        assert json.dumps(there_and_back(obj(e={"enum": options}), {"e": option}).value) == json.dumps({"e": option})
    for nonsense in ("7", "-1", "x", "٣", "k"):
        assert typed(form, {}, e=nonsense).value == {}


def test_a_value_that_is_not_offered_is_shown_and_kept() -> None:
    form = Form(obj(e={"enum": ["a", "b"]}))
    page = page_of(form, {"e": {"other": 1}})
    assert "(not offered)" in page.text
    submission = form.read(page.pairs())
    assert submission.value == {"e": {"other": 1}}
    assert [error.message for error in submission.errors] == ["must be one of a, b"]


def test_five_thousand_options_have_a_search_and_post_an_index() -> None:
    form = Form(obj(e={"enum": [f"option {n}" for n in range(5000)]}))
    page = page_of(form, {"e": "option 4321"})
    assert any(one.get("type") == "search" for one in page.controls)
    assert page.editor("/e").value == "4321"
    assert form.read(page.pairs()).value == {"e": "option 4321"}


def test_a_set_of_given_values_is_check_boxes_while_their_order_is_the_schemas() -> None:
    schema = obj(d={"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True})
    form = Form(schema)
    page = page_of(form, {"d": ["a", "c"]})
    assert [(one.get("type"), one.checked) for one in page.all("/d", "value")] == [
        ("checkbox", True),
        ("checkbox", False),
        ("checkbox", True),
    ]
    page.all("/d", "value")[1].checked = True
    assert form.read(page.pairs()).value == {"d": ["a", "b", "c"]}
    for value in (["c", "a"], ["a", "a"], ["z"]):
        assert there_and_back(schema, {"d": value}).value == {"d": value}, "another order is shown as rows"
    for one in page.all("/d", "value"):
        one.checked = False
    assert form.read(page.pairs()).value == {"d": []}


def test_live_options_cascade_and_keep_what_is_no_longer_offered() -> None:
    asked = []

    def provider(source: Any) -> list[Any]:
        asked.append(dict(source))
        return {"connections": ["db1", ("db2", "Second")], "collections": [f"{source.get('connection')}.users"]}.get(source["from"], [])

    schema = obj(
        connection={"type": "string", "x-options": {"from": "connections", "kind": "mongodb"}},
        collection={"type": "string", "x-options": {"from": "collections", "free": True, "depends": {"connection": "connection"}}},
    )
    form = Form(schema, options=provider)
    page = page_of(form, {"connection": "gone", "collection": "typed"})
    assert "gone (not found)" in page.text
    assert form.read(page.pairs()).value == {"connection": "gone", "collection": "typed"}
    assert "data-redraw" in page.editor("/connection").attributes
    page.editor("/connection").choose("Second")
    again = Page(form.render(submission=form.apply(form.read(page.pairs()), "update f.mconnection")))
    assert [node.attributes["value"] for node in again.tree.css("datalist option")] == ["db2.users"]
    assert {"from": "collections", "connection": "db2"} in asked


# -- objects, maps and lists ----------------------------------------------------------------------------------------------

NAMES = [
    "a.b",
    "a/b",
    "a~b",
    "[0]",
    'q"q',
    " ",
    "",
    "__proto__",
    "🙂",
    "d",
    "s",
    "o",
    "r0",
    "ma",
    "f.action",
    "-2d-",
    "x\ny",
    "x\ry",
    "key",
    "constructor",
]


def test_names_of_any_kind_are_ordinary() -> None:
    value = {name: f"value of {name!r}" for name in NAMES}
    assert (
        there_and_back(
            {"type": "object", "additionalProperties": False, "properties": {name: {"type": "string"} for name in NAMES}}, value
        ).value
        == value
    )
    assert there_and_back({"type": "object", "additionalProperties": {"type": "string"}}, value).value == value


def test_entries_of_a_map_are_added_named_and_removed() -> None:
    form = Form(
        obj(
            m={
                "type": "object",
                "additionalProperties": {"type": "integer"},
                "propertyNames": {"pattern": "^[a-z]+$"},
                "x-item-title": "Label",
            }
        )
    )
    page = page_of(form, {"m": {"a": 1}})
    page = Page(form.render(submission=press(form, page.pairs(), page.at("/m", "add"))))
    assert page.rows == ["0", "1"]
    page.at("/m/", "key").value = "B2"
    page.editor("/m/").value = "2"
    submission = form.read(page.pairs())
    assert submission.value == {"m": {"a": 1, "B2": 2}}
    assert [(error.pointer, error.message) for error in submission.errors] == [
        ("/m/B2", "has a name that is not allowed: it must match the pattern ^[a-z]+$")
    ]
    page = Page(form.render(submission=submission))
    assert press(form, page.pairs(), page.at("/m", "remove")).value == {"m": {"a": 1}}
    for key, words in (("", "must have a name"), ("a", "must have a name of its own: a is used twice")):
        page.at("/m/B2", "key").value = key
        submission = form.read(page.pairs())
        assert words in [error.message for error in submission.errors]
        assert words in Page(form.render(submission=submission)).text


def test_an_optional_object_has_a_switch_and_a_union_inside_keeps_its_branch() -> None:
    form = Form(obj(o=obj(a_={"type": "string", "default": "x"}, b={"type": "integer"})))
    page = page_of(form, {})
    assert [one for one in page.controls if one.get("data-pointer") == "/o/a"] == []
    page.at("/o", "state").checked = True
    submission = form.apply(form.read(page.pairs()), page.at("/o", "update")["value"])
    assert submission.value == {"o": {"a": "x"}}, "what the switch brings along has its defaults"
    page = Page(form.render(submission=submission))
    page.at("/o", "state").checked = False
    assert form.read(page.pairs()).value == {}


def test_rows_are_added_moved_and_removed_with_what_was_typed() -> None:
    form = Form(EmailNotification.parameters_schema)
    value = {"recipients": ["a@example.com", "b@example.com", "c@example.com"], "subject": "half"}
    page = page_of(form, value)
    page.editor("/recipients/1").value = "typed"
    name = page.at("/recipients", "add")["value"].split()[1]
    apply = lambda action: form.apply(form.read([*page.pairs(), ("f.action", action)]), action)
    rows = lambda action: apply(action).value["recipients"]
    assert rows(f"add {name}") == ["a@example.com", "typed", "c@example.com", ""]
    assert rows(f"remove {name} 1") == ["a@example.com", "c@example.com"]
    assert rows(f"up {name} 1") == rows(f"down {name} 0") == ["typed", "a@example.com", "c@example.com"]
    for nonsense in (
        f"up {name} 0",
        f"down {name} 2",
        f"remove {name} 99",
        "remove f.99 0",
        f"explode {name}",
        "add",
        "",
        "add f.mrecipients.r0",
    ):
        assert rows(nonsense) == ["a@example.com", "typed", "c@example.com"]
    assert Page(form.render(submission=apply(f"remove {name} 0"))).editor("/recipients/0").value == "typed"
    assert action_in([("f.action", "x")]) == "x"
    assert action_in([("g.action", "x")]) is None


def test_wrong_text_in_a_row_survives_the_move_of_another() -> None:
    form = Form(obj(n={"type": "array", "items": {"type": "integer"}}))
    page = page_of(form, {"n": [1, 2, 3]})
    page.editor("/n/1").value = "two"
    submission = form.apply(form.read(page.pairs()), "up f.mn 2")
    page = Page(form.render(submission=submission))
    assert [page.editor(f"/n/{index}").value for index in range(3)] == ["1", "3", "two"]


def test_removing_the_last_row_makes_an_optional_list_absent_and_a_required_one_empty() -> None:
    form = Form(obj(must_={"type": "array", "items": {"type": "string"}}, may={"type": "array", "items": {"type": "string"}}))
    submission = form.read(page_of(form, {"must": ["x"], "may": ["y"]}).pairs())
    for name in ("f.mmust", "f.mmay"):
        submission = form.apply(submission, f"remove {name} 0")
    assert submission.value == {"must": []}


def test_the_entries_of_a_tuple_have_their_own_schemas_and_no_more_than_those() -> None:
    form = Form(obj(t_={"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False}))
    page = page_of(form)
    page.editor("/t/0").value, page.editor("/t/1").value = "5", "5"
    assert form.read(page.pairs()).value == {"t": ["5", 5]}
    assert page.all("/t", "add") == []
    submission = there_and_back(obj(t_={"prefixItems": [{"type": "string"}], "items": False}), {"t": ["a", 1]})
    assert [(error.pointer, error.message) for error in submission.errors] == [("/t/1", "is not allowed: the list has too many entries")]


def test_four_hundred_rows_come_back() -> None:
    schema = {"type": "array", "items": obj(a={"type": "string"}, n={"type": "integer"})}
    value = [{"a": f"row {n}", "n": n} for n in range(400)]
    assert there_and_back(schema, value).value == value


# -- unions, conditions, references -----------------------------------------------------------------------------------

UNION = obj(
    c_={
        "oneOf": [
            obj(via_={"const": "mail"}, name={"type": "string"}, address_={"type": "string", "format": "email"}),
            obj(
                via_={"const": "phone"}, name={"type": "string"}, number_={"type": "string"}, hours={"type": "string", "default": "9 to 5"}
            ),
        ]
    }
)


def test_a_union_opens_at_the_branch_of_the_value_and_tells_that_branchs_errors() -> None:
    form = Form(UNION)
    page = page_of(form, {"c": {"via": "phone", "number": "1"}})
    assert page.at("/c", "branch").value == "1"
    submission = form.read(page_of(form, {"c": {"via": "mail", "address": "nobody"}}).pairs())
    assert [(error.pointer, error.message) for error in submission.errors] == [("/c/address", "must be an e-mail address")]
    submission = form.read(page_of(form, {"c": {"via": "phone"}}).pairs())
    assert [(error.pointer, error.message) for error in submission.errors] == [("/c/number", "is required")]


def test_another_branch_carries_along_what_it_has_too() -> None:
    form = Form(UNION)
    page = page_of(form, {"c": {"via": "mail", "address": "a@example.com", "name": "Ada"}})
    page.at("/c", "branch").choose("phone")
    saved = form.read(page.pairs())
    assert saved.value == {"c": {"via": "phone", "name": "Ada", "hours": "9 to 5"}}, "saved at once, without an update"
    assert [error.pointer for error in saved.errors] == ["/c/number"]
    page = Page(form.render(submission=form.apply(saved, page.at("/c", "update")["value"])))
    assert page.editor("/c/name").value == "Ada"
    assert page.all("/c/address", "value") == []


def test_a_union_with_null_is_a_state_not_a_branch() -> None:
    form = Form(obj(x={"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]}))
    page = page_of(form, {"x": None})
    assert page.all("/x", "branch") == []
    assert page.at("/x", "state").value == "null"
    assert [error.message for error in typed(form, {"x": "ok"}, x="y").errors] == ["must have at least 2 characters"]


def test_the_type_is_chosen_where_it_is_open() -> None:
    form = Form(obj(x={"type": ["string", "integer", "array", "null"]}, any={}))
    page = page_of(form, {"x": "5"})
    page.at("/x", "type").value = "integer"
    assert form.read(page.pairs()).value == {"x": 5}, "a text that reads as a number is one"
    page.at("/x", "type").value = "array"
    assert form.read(page.pairs()).value == {"x": [5]}
    page = page_of(form, {"any": {"a": [1]}})
    page.at("/any", "type").value = "json"
    page = Page(form.render(submission=form.apply(form.read(page.pairs()), "update f.many")))
    assert json.loads(page.editor("/any").value) == {"a": [1]}
    assert form.read(page.pairs()).value == {"any": {"a": [1]}}


def test_conditions_draw_what_they_ask_for_and_keep_what_they_no_longer_name() -> None:
    form = Form(
        {
            "type": "object",
            "required": ["country"],
            "properties": {"country": {"enum": ["DE", "US"]}},
            "if": {"properties": {"country": {"const": "US"}}},
            "then": {"properties": {"state": {"enum": ["NY", "CA"]}}, "required": ["state"]},
            "else": {"properties": {"state": {"enum": ["BE", "BY"]}, "land": {"default": "Hessen"}}},
        }
    )
    page = page_of(form, {"country": "US", "state": "NY"})
    page.editor("/country").choose("DE")
    assert form.read(page.pairs()).value == {"country": "DE", "state": "NY"}, "an option is read by the list that the person saw"
    submission = form.apply(form.read(page.pairs()), "update f")
    page = Page(form.render(submission=submission))
    assert "NY (not offered)" in page.text.replace('"', "")
    assert submission.value == {"country": "DE", "state": "NY", "land": "Hessen"}


def test_dependencies_draw_what_they_ask_for() -> None:
    form = Form(
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "dependentRequired": {"a": ["c"]},
            "dependentSchemas": {"b": {"properties": {"d": {"type": "integer"}}}},
        }
    )
    assert [one for one in page_of(form, {}).controls if one.get("data-pointer") in {"/c", "/d"}] == []
    page = page_of(form, {"a": "x", "b": "y"})
    assert page.editor("/d")["inputmode"] == "numeric"
    submission = form.read(page.pairs())
    assert [(error.pointer, error.message) for error in submission.errors] == [("/c", "is required when a is set")]


def test_all_of_is_one_form() -> None:
    form = Form(
        {
            "allOf": [
                {"properties": {"a": {"type": "integer", "minimum": 3}}},
                {"properties": {"a": {"maximum": 5}, "b": {"type": "string"}}, "required": ["b"]},
            ]
        }
    )
    page = page_of(form, {"a": 9, "b": "x"})
    assert "3 to 5" in page.text
    assert [error.message for error in form.read(page.pairs()).errors] == ["must be at most 5"]


def test_a_recursive_schema_is_drawn_as_deep_as_its_value() -> None:
    schema = {
        "$ref": "#/$defs/n",
        "$defs": {
            "n": {
                "type": "object",
                "required": ["l"],
                "properties": {
                    "l": {"type": "string"},
                    "next": {"$ref": "#/$defs/n"},
                    "c": {"type": "array", "items": {"$ref": "#/$defs/n"}},
                },
            }
        },
    }
    value: dict[str, Any] = {"l": "end"}
    for depth in range(12):
        value = {"l": str(depth), "next": value, "c": [{"l": "leaf"}]}
    assert there_and_back(schema, value).value == value
    for depth in range(70):
        value = {"l": str(depth), "next": value}
    assert there_and_back(schema, value).value == value, "deeper than any form: JSON below"


def test_what_may_never_be_there_is_not_drawn_but_shown_where_it_is() -> None:
    schema = {"type": "object", "properties": {"a": False, "b": {"type": "string"}}}
    assert [one for one in page_of(Form(schema), {}).controls if one.get("data-pointer") == "/a"] == []
    submission = there_and_back(schema, {"a": 1})
    assert [(error.pointer, error.message) for error in submission.errors] == [("/a", "is not allowed here (not)")]
    closed = there_and_back({"properties": {"a": {}}, "unevaluatedProperties": False}, {"a": 1, "b": 2})
    assert [(error.pointer, error.message) for error in closed.errors] == [("/b", "is not a known field")]


def test_the_whole_form_is_edited_as_json_and_back_without_loss() -> None:
    value = {"connection": "db", "collection": "users", "condition": {"a": 2**60}, "extra": [None]}
    form = Form(DatabaseCleanup.parameters_schema)
    submission = form.apply(form.read(page_of(form, value).pairs()), "json f")
    page = Page(form.render(submission=submission))
    assert json.loads(page.editor("").value) == value
    page.editor("").value = page.editor("").value.replace('"users"', '"wrong')
    submission = form.apply(form.read(page.pairs()), page.at("", "update")["value"])
    assert Page(form.render(submission=submission)).editor("").value == page.editor("").value, (
        "what is not valid JSON stays as it was typed"
    )
    page.editor("").value = page.editor("").value.replace('"wrong', '"others"')
    back = Page(form.render(submission=form.apply(form.read(page.pairs()), page.at("", "update")["value"])))
    assert back.editor("/collection").value == "others"
    assert form.read(back.pairs()).value == {**value, "collection": "others"}


@pytest.mark.parametrize(
    ("schema", "words", "first"),
    [
        ({"type": "array", "title": "Only jobs of these groups", "items": {"type": "string", "title": "Group"}}, "Add group", "Group 1"),
        ({"type": "array", "title": "Addresses of hosts", "items": {"type": "string"}}, "Add entry", "Entry 1"),
        ({"type": "array", "items": {"$ref": "#/$defs/user"}}, "Add account", "Account 1"),
        ({"type": "array", "items": {"type": "string", "title": "Group"}, "x-item-title": "Team"}, "Add team", "Team 1"),
        ({"type": "array", "items": {"type": "string"}, "x-add-text": "Invite a person"}, "Invite a person", "Entry 1"),
        ({"type": "array", "items": {"type": "string", "title": "URL"}}, "Add URL", "URL 1"),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string", "title": "Tail"}}, "Add tail", "Entry 1"),
        ({"additionalProperties": {"type": "string", "title": "Header"}}, "Add header", "Header 1"),
        ({"patternProperties": {"^x": {"type": "string", "title": "Extra"}}}, "Add extra", "Extra 1"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "Add entry", "Entry 1"),
    ],
)
def test_the_button_that_adds_an_entry_never_makes_a_word_out_of_a_title(schema: dict[str, Any], words: str, first: str) -> None:
    form = Form({**obj(rows=schema), "$defs": {"user": {"type": "string", "title": "Account"}}})
    value = {"rows": ["a"] if schema.get("type") == "array" else {"x1": "a"}}
    page = page_of(form, value)
    assert page.at("/rows", "add").text == words
    assert first in str(form.render(value))


# -- secrets, what is read only ------------------------------------------------------------------------------------------


def test_a_secret_is_never_echoed_and_stays_unless_typed_anew() -> None:
    form = Form(obj(s_={"type": "string", "writeOnly": True, "minLength": 8}))
    for stored in (dict(MASK), "canary secret"):
        shown = form.render({"s": stored})
        assert "canary" not in shown
        assert "unchanged" in shown
        kept = form.read(Page(shown).pairs())
        assert (kept.value, kept.errors) == ({"s": MASK}, ())
    assert typed(form, {"s": dict(MASK)}, s="new secret").value == {"s": "new secret"}
    wrong = typed(form, {"s": dict(MASK)}, s="short")
    assert not wrong.valid
    assert "short" not in form.render(submission=wrong)
    assert [error.message for error in form.read(page_of(form).pairs()).errors] == ["is required"]
    optional = Form(obj(s={"type": "string", "format": "password"}))
    page = page_of(optional, {"s": dict(MASK)})
    page.at("/s", "state").value = "absent"
    assert optional.read(page.pairs()).value == {}


def test_what_is_read_only_stays_as_it_was_stored_whatever_is_posted() -> None:
    form = Form(
        obj(
            id={"type": "string", "readOnly": True},
            name={"type": "string"},
            rows={"type": "array", "items": obj(n={"readOnly": True}, t={"type": "string"})},
        )
    )
    stored = {"id": "x1", "name": "a", "rows": [{"n": 1, "t": "one"}, {"n": 2, "t": "two"}]}
    page = page_of(form, stored)
    assert [one for one in page.controls if one.get("name") == "f.mid"] == []
    assert form.read(page.pairs(), stored=stored).value == stored
    forged = [*page.pairs(), ("f.mid", "forged"), ("f.mid.d", "string v")]
    assert form.read(forged, stored=stored).value == stored
    assert form.read([("f.d", "object v"), ("f.mname.d", "string v"), ("f.mname", "b")], stored=stored).value["id"] == "x1"
    moved = form.apply(form.read(page.pairs(), stored=stored), "up f.mrows 1").value
    assert moved["rows"] == [{"n": 2, "t": "two"}, {"n": 1, "t": "one"}]
    page = Page(form.render(submission=form.apply(form.read(page.pairs(), stored=stored), "remove f.mrows 0")))
    assert form.read(page.pairs(), stored=stored).value["rows"] == [{"n": 2, "t": "two"}], "a row is known by its id"


# -- the page -------------------------------------------------------------------------------------------------------------


def test_every_control_is_named_for_people_and_scripts() -> None:
    for schema, value in [*((kind.parameters_schema, value) for kind, value in KIND_VALUES), (EVERYTHING, ABSENT)]:
        page = page_of(Form(schema), value)
        assert set(page.described) <= set(page.ids)
        roles = {"value", "state", "branch", "type", "key", "json", "add", "remove", "up", "down", "update"}
        for one in page.controls:
            if one.get("type") == "hidden" or one.get("type") == "search":
                continue
            assert one["data-role"] in roles
            assert one["data-pointer"] == "" or one["data-pointer"].startswith("/")
            if one.tag != "button" and one.get("type") not in {"checkbox", "radio"}:
                assert one.get("id") in page.labels or one.get("aria-label"), one


def test_hostile_texts_are_texts() -> None:
    evil = '"><script>alert(1)</script>'
    schema = {
        "type": "object",
        "title": evil,
        "properties": {
            evil: {
                "type": "string",
                "title": evil,
                "description": f"{evil} [x](javascript:alert(1)) <img src=x onerror=y>",
                "default": evil,
                "x-placeholder": evil,
                "examples": [evil],
                "x-section": evil,
            },
            "e": {"enum": [evil, 1, None, {"a": evil}]},
            "b": {"type": "boolean", "title": evil},
            "p": {"type": "string", "pattern": f"^{evil}$"},
            "u": {"oneOf": [{"title": evil, "type": "object"}, {"title": "x", "type": "array"}]},
            "m": {"additionalProperties": True, "x-item-title": evil},
        },
    }
    html = Form(schema).render({evil: "x", "e": evil, "p": evil, evil + "2": evil, "m": {evil: evil}}, errors=[FieldError("/e", evil)])
    tree = Page(html).tree
    assert tree.css("script, img, [onerror]") == []
    assert [node.attributes.get("href") for node in tree.css("a")] == []
    form = Form(schema)
    assert form.read(page_of(form).pairs()).value == {evil: evil}


def test_errors_of_others_are_shown_at_the_nearest_control() -> None:
    form = Form(EmailNotification.parameters_schema)
    shown = form.present({"recipients": ["a"]}, errors=[FieldError("/recipients/0", "first"), FieldError("/nowhere/deep", "lost")])
    assert [(line.label, line.message) for line in shown.summary] == [("nowhere › deep", "lost"), ("Recipients › 1", "first")]
    assert Page(shown.controls).text.count("lost") == 1


def test_hints_order_group_widen_and_hide() -> None:
    schema = obj(
        a={"enum": ["x", "y"]},
        b={"type": "string", "x-section": "More", "x-width": "half"},
        c={"type": "string", "x-visible-if": {"a": ["x"]}},
    )
    form = Form(schema, hints={"/b": {"x-help": "*Helped*", "x-widget": "textarea"}})
    page = page_of(form, {"a": "y", "c": "kept"})
    hidden = page.tree.css_first("[data-visible-if]")
    assert "hidden" in hidden.attributes
    assert json.loads(hidden.attributes["data-visible-if"]) == {"f.ma": ["0"]}
    assert form.read(page.pairs()).value == {"a": "y", "c": "kept"}, "hidden is not gone"
    assert page.editor("/b").tag == "textarea"
    assert page.tree.css_first("details.section summary").text() == "More"
    assert "open" not in page.tree.css_first("details.section").attributes
    assert "open" in Page(form.render({}, errors=[FieldError("/b", "wrong")])).tree.css_first("details.section").attributes
    assert page.tree.css_first("em").text() == "Helped"
    for hints in ({"/b": {"x-widget": "nonsense"}}, {"/b": {"x-rows": 1}}):
        with pytest.raises(SchemaRefused, match="is not a valid hint"):
            Form(schema, hints=hints)
    with pytest.raises(SchemaRefused, match="is not a valid hint"):
        Form(obj(a={"x-options": {}}))
    Form(obj(a={"x-foo": {}, "x-ms-thing": 1}))


def test_a_pattern_goes_to_the_browser_only_where_it_means_the_same() -> None:
    cases = {
        "^[a-z]+$": "[a-z]+",
        "^\\d{3}$": "\\d{3}",
        "[a-z]": None,
        "^a|b$": None,
        "^(?!x)a$": None,
        "^[&&]$": None,
        "^[a-]$": None,
        "^a/b$": None,
        "^[^a]$": "[^a]",
    }
    for pattern, expected in cases.items():
        page = page_of(Form(obj(s={"type": "string", "pattern": pattern})), {})
        assert page.editor("/s").attributes.get("pattern") == expected, pattern


def test_the_words_come_from_catalogues_and_two_of_them_are_complete() -> None:
    for folder in (Path("app/validation/locale"), Path("web/forms/locale")):
        root = Path(__file__).parents[4] / folder
        assert locales(root) == ["de", "en"]
        keys = {name: set(_entries(root / f"{name}.po")) for name in ("de", "en")}
        assert keys["de"] == keys["en"]
        for name in ("de", "en"):
            for key, texts in _entries(root / f"{name}.po").items():
                assert all(texts), key
                assert {frozenset(_places(text)) for text in texts} == {frozenset(_places(_entries(root / "en.po")[key][0]))}, (name, key)
        with pytest.raises(KeyError):
            words_of(root, "en")("no such key")
    form = Form(
        obj(n_={"type": "integer", "minimum": 5}, t={"type": "array", "items": {"type": "string"}, "title": "Ziele"}), locale="de-AT"
    )
    page = page_of(form, {"n": 1, "t": ["a"]})
    submission = form.read(page.pairs())
    assert [error.message for error in submission.errors] == ["muss mindestens 5 sein"]
    assert "Eintrag 1 entfernen" in [one.get("aria-label") for one in page.controls]
    assert typed(form, {"n": 5}, n="1,5").errors[0].message == "muss einen Punkt als Dezimalzeichen verwenden: 1.5"
    assert [
        error.message for error in Form({"maxItems": 1}, locale="xx").read(Page(Form({"maxItems": 1}).render([1, 2])).pairs()).errors
    ] == ["must have at most 1 entry"]


def _entries(path: Path) -> dict[str, list[str]]:
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        return {
            (one.id if isinstance(one.id, str) else one.id[0]): [one.string] if isinstance(one.string, str) else list(one.string)
            for one in read_po(file)
            if one.id
        }


def _places(text: str) -> list[str]:
    from string import Formatter

    return [name for _, name, _, _ in Formatter().parse(text) if name]


def test_the_sample_with_every_construct_is_filled_by_pointers_and_roles_alone() -> None:
    form = Form(EVERYTHING)
    page = page_of(form)
    texts = {
        "/name": "All",
        "/count": "7",
        "/ratio": "4.02",
        "/contact/address": "a@example.com",
        "/mail": "b@example.com",
        "/cron": "0 2 * * 0",
        "/zone": "Europe/Berlin",
        "/wait": "PT5M",
        "/day": "2026-03-29",
        "/moment": "2026-03-29T02:30:00Z",
        "/any": "x",
    }
    for pointer, text in texts.items():
        page.editor(pointer).value = text
    page.editor("/agreed").checked = True
    page.editor("/size").choose("3")
    page.editor("/steps/0/do").choose("copy")
    submission = form.read(page.pairs())
    assert submission.errors == ()
    assert submission.value == {
        "name": "All",
        "id": "made by the server",
        "count": 7,
        "ratio": 4.02,
        "agreed": True,
        "size": 3,
        "version": "v1",
        "mail": "b@example.com",
        "day": "2026-03-29",
        "moment": "2026-03-29T02:30:00Z",
        "color": "#1a7f64",
        "cron": "0 2 * * 0",
        "zone": "Europe/Berlin",
        "wait": "PT5M",
        "contact": {"via": "mail", "address": "a@example.com"},
        "steps": [{"do": "copy"}],
        "any": "x",
    }


@pytest.mark.parametrize(
    "junk",
    [
        [("f", "x")],
        [("f.d", "array v"), ("f.o", "0"), ("f.o", "0"), ("f.o", "-1"), ("f.o", "x")],
        [("f.d", "choice v 99999999")],
        [("f.d", "choice v")],
        [("f.d", "object v"), ("f.m-zz-", "1")],
        [("f.d", "object v"), ("f.m-110000-", "1"), ("f.m-", "1")],
        [("f" + ".ma" * 500, "1")],
        [("f.d", "checks v 0"), ("f", "9"), ("f", "x")],
        [("f..", "")],
        [("f.d", "source v"), ("f", "{")],
        [("f.d", "object v"), ("f.o", "1"), ("f.r1.key", "a"), ("f.r1.keyjson", "1")],
        [("f.d", "nonsense x y z")],
        [("f.b0o", "77"), ("f.w0o", "0")],
        [("f.t", "object"), ("f.d", "string v"), ("f", "x")],
    ],
)
@pytest.mark.parametrize("schema", [EVERYTHING, {}, UNION, {"type": "array", "items": {"type": "string"}}, {"enum": [1]}])
def test_no_post_breaks_a_form(schema: Any, junk: Pairs) -> None:
    form = Form(schema)
    submission = form.read(junk)
    for action in ("add f", "remove f 0", "json f", "form f", "update f", "up f 0"):
        Page(form.render(submission=form.apply(form.read(junk), action)))
    Page(form.render(submission=submission))


def test_a_secret_may_be_named_instead_of_typed() -> None:
    schema = obj(s={"type": "string", "writeOnly": True, "minLength": 8}, t={"type": "string"})
    form, named = Form(schema, saved_secrets=["stripe", 'a "b" <c>']), {"$secret": "named", "name": 'a "b" <c>'}
    page = page_of(form)
    assert form.read(page.pairs()).value == {}
    page.at("/s", "saved").value = 'a "b" <c>'
    chosen = form.read(page.pairs())
    assert (chosen.value, chosen.errors) == ({"s": named}, ())
    assert form.read(Page(form.render(submission=chosen)).pairs()).value == {"s": named}, "it survives a page that is drawn anew"
    page = page_of(form, {"s": named})
    assert form.read(page.pairs()).value == {"s": named}
    page.at("/s", "saved").value = ""
    assert form.read(page.pairs()).value == {}
    assert typed(form, {"s": named}, s="typed anew").value == {"s": "typed anew"}, "what was typed is what is meant"
    gone = Form(schema)
    assert gone.read(page_of(gone, {"s": named}).pairs()).value == {"s": named}, "a name that is no longer offered stays"
    assert "saved-secret" not in gone.render({"t": "x"})
    for other in ({"$secret": "named"}, {"$secret": "named", "name": 5}, {"$secret": "other", "name": "x"}, {"name": "x"}):
        assert there_and_back(schema, {"s": other}).errors, other


def test_a_typed_secret_is_not_sent_back_and_asked_for_again() -> None:
    form = Form(obj(s={"type": "string", "writeOnly": True}, k={"type": "string", "writeOnly": True}, n={"type": "integer"}))
    page = page_of(form, {"k": dict(MASK)})
    page.editor("/s").value, page.editor("/k").value, page.editor("/n").value = "typed", "other", "x"
    submission = form.read(page.pairs())
    assert submission.value == {"s": "typed", "k": "other", "n": "x"}
    again = Page(form.render(submission=submission))
    assert again.text.count("must be entered again") == 2
    assert "must be entered again" not in form.present(submission=submission, in_place=True).controls, "the browser has it still"
    again.editor("/n").value = "5"
    assert form.read(again.pairs()).value == {"k": MASK, "n": 5}


def test_a_default_that_came_with_a_condition_goes_with_it_unless_it_was_touched() -> None:
    form = Form(
        {
            "properties": {"on": {"type": "boolean"}},
            "if": {"properties": {"on": {"const": True}}, "required": ["on"]},
            "then": {"properties": {"a": {"type": "string", "default": "x"}}},
        }
    )
    page = page_of(form, {})
    page.editor("/on").choose("Yes")
    page = Page(form.render(submission=form.apply(form.read(page.pairs()), "update f")))
    assert form.read(page.pairs()).value == {"on": True, "a": "x"}
    page.editor("/on").choose("No")
    assert form.read(page.pairs()).value == {"on": False}
    page.editor("/a").value = "mine"
    assert form.read(page.pairs()).value == {"on": False, "a": "mine"}


def test_examples_are_suggested_for_texts_and_numbers() -> None:
    page = page_of(Form(obj(s={"type": "string", "examples": ["one", 2, None]}, n={"type": "number", "examples": [1.5, "x", True, 2]})), {})
    assert [node.attributes["value"] for node in page.tree.css("datalist option")] == ["one", "1.5", "2"]
    assert page.editor("/n")["list"] in page.ids


def test_a_text_that_is_json_has_several_lines_and_is_judged() -> None:
    form = Form(obj(j={"type": "string", "format": "json"}))
    assert page_of(form, {"j": "{}"}).editor("/j").tag == "textarea"
    assert [error.message for error in typed(form, {"j": "{}"}, j="{").errors] == ["must be valid JSON"]
