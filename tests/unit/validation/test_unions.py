"""What is wrong with a value is told once, at its cause, in the branch that the value is meant for."""

from __future__ import annotations

from typing import Any

import pytest

from app.validation import SchemaValidator
from tests.posting import Page
from web.forms import Form


def text(**more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, **more}


def branch(*required: str, closed: bool = False, **members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members,
        "required": list(required),
        **({"additionalProperties": False} if closed else {}),
    }


BY_ID, BY_PATH = branch("id", id=text()), branch("path", path=text())
KINDS = [
    branch("kind", "url", closed=True, kind={"const": "http"}, url=text()),
    branch("kind", "to", closed=True, kind={"enum": ["mail", "sms"]}, to=text(), cc={"type": "array"}),
]
CASES: dict[str, tuple[list[Any], Any, list[tuple[str, str]]]] = {
    "the members that it has": ([BY_ID, BY_PATH], {"path": ""}, [("/path", "must not be empty")]),
    "the members that it has, in a closed branch": (
        [branch("id", closed=True, id=text()), branch("path", closed=True, path=text())],
        {"path": ""},
        [("/path", "must not be empty")],
    ),
    "required alone": (
        [{"required": ["id"]}, {"required": ["path"], "properties": {"path": text()}}],
        {"path": ""},
        [("/path", "must not be empty")],
    ),
    "a constant goes before members": (KINDS, {"kind": "mail", "url": "x"}, [("/to", "is required"), ("/url", "is not a known field")]),
    "a constant that no branch has": (KINDS, {"kind": "fax", "url": ""}, [("/kind", "must be one of http, mail, sms")]),
    "a type that no branch takes": ([*KINDS, {"type": "string"}], 5, [("", "must be an object or text")]),
    "the right type": ([BY_ID, text()], "", [("", "must not be empty")]),
    "types of members": (
        [branch("a", a={"type": "integer", "minimum": 5}), branch("a", a=text())],
        {"a": 1},
        [("/a", "must be at least 5")],
    ),
    "behind references and allOf": (
        [{"allOf": [{"$ref": "#/$defs/id"}]}, {"$ref": "#/$defs/path"}],
        {"path": ""},
        [("/path", "must not be empty")],
    ),
    "a union in a union": ([{"oneOf": [BY_ID, BY_PATH]}, {"type": "string"}], {"path": ""}, [("/path", "must not be empty")]),
    "an empty object": ([BY_ID, BY_PATH], {}, [("/id", "is required")]),
}


@pytest.mark.parametrize("keyword", ["oneOf", "anyOf"])
@pytest.mark.parametrize("case", CASES)
def test_a_value_that_fits_no_branch_is_judged_by_the_one_it_is_meant_for(case: str, keyword: str) -> None:
    branches, value, wanted = CASES[case]
    definitions = {"id": BY_ID, "path": BY_PATH}
    whole = SchemaValidator({keyword: branches, "$defs": definitions})
    inside = SchemaValidator({"properties": {"m": {"items": {keyword: branches}}}, "$defs": definitions})
    assert [(one.pointer, one.message) for one in whole.errors(value)] == wanted
    assert [(one.pointer, one.message) for one in inside.errors({"m": [value]})] == [(f"/m/0{at}", said) for at, said in wanted]


def test_the_form_opens_the_branch_that_rest_judges_by() -> None:
    schema = {"type": "object", "properties": {"f": {"oneOf": [BY_ID, BY_PATH]}}}
    form, value = Form(schema), {"f": {"path": ""}}
    posted = form.read(Page(form.render(value)).pairs())
    assert posted.value == value
    assert [one.pointer for one in posted.errors] == [one.pointer for one in SchemaValidator(schema).errors(value)] == ["/f/path"]


def test_a_branch_that_a_person_chose_is_the_one_to_judge_by() -> None:
    form = Form({"type": "object", "properties": {"f": {"oneOf": [BY_ID, BY_PATH]}}})
    page = Page(form.render({"f": {"id": "x"}}))
    page.editor("/f/id").value = ""
    assert [one.pointer for one in form.read(page.pairs()).errors] == ["/f/id"]


# -- what follows from an error is no error -------------------------------------------------------------------------------

WRONG = [("/a", "must be a whole number")]
A = {"properties": {"a": {"type": "integer"}}}
CAUSES: dict[str, tuple[dict[str, Any], Any, list[tuple[str, str]]]] = {
    "allOf": ({"allOf": [A]}, {"a": "x"}, WRONG),
    "allOf that lacks another member": ({"allOf": [{**A, "required": ["b"]}], "properties": {"b": {}}}, {"a": 1}, [("/b", "is required")]),
    "a reference": ({"$ref": "#/$defs/a"}, {"a": "x"}, WRONG),
    "then": ({"if": True, "then": A}, {"a": "x"}, WRONG),
    "else": ({"if": False, "else": A}, {"a": "x"}, WRONG),
    "dependentSchemas": ({"properties": {"m": {}}, "dependentSchemas": {"m": A}}, {"m": 1, "a": "x"}, WRONG),
    "oneOf": ({"oneOf": [A, {"required": ["c"], "properties": {"c": {}}}]}, {"a": "x"}, WRONG),
    "anyOf": ({"anyOf": [{"required": ["c"]}, {**A, "required": ["a"]}]}, {"a": "x"}, WRONG),
    "allOf in allOf": ({"allOf": [{"allOf": [A]}]}, {"a": "x"}, WRONG),
    "what is unknown all the same": ({"allOf": [A]}, {"a": 1, "z": 1}, [("/z", "is not a known field")]),
    "both": ({"allOf": [A]}, {"a": "x", "z": 1}, [*WRONG, ("/z", "is not a known field")]),
}


@pytest.mark.parametrize("case", CAUSES)
def test_a_member_that_is_wrong_is_not_unknown_besides(case: str) -> None:
    schema, value, wanted = CAUSES[case]
    validator = SchemaValidator({**schema, "unevaluatedProperties": False, "$defs": {"a": A}})
    assert [(one.pointer, one.message) for one in validator.errors(value)] == wanted


@pytest.mark.parametrize(
    ("schema", "value", "wanted"),
    [
        ({"allOf": [{"prefixItems": [{"type": "integer"}]}]}, ["x"], ["/0"]),
        ({"allOf": [{"prefixItems": [True], "minItems": 3}]}, [1], [""]),
        ({"contains": {"const": 5}}, [1, 2], [""]),
        ({"if": True, "then": {"items": {"type": "integer"}}}, ["x", "y"], ["/0", "/1"]),
        ({"oneOf": [{"prefixItems": [{"type": "integer"}]}, {"type": "string"}]}, ["x"], ["/0"]),
        ({"allOf": [{"prefixItems": [True]}]}, [1, 2], ["/1"]),
    ],
)
def test_entries_go_the_same_way(schema: Any, value: Any, wanted: list[str]) -> None:
    assert [one.pointer for one in SchemaValidator({**schema, "unevaluatedItems": False}).errors(value)] == wanted


def test_a_closed_schema_says_nothing_of_a_member_that_another_finds_wrong() -> None:
    schema = {"allOf": [A, {"additionalProperties": False}]}
    assert [(one.pointer, one.message) for one in SchemaValidator(schema).errors({"a": "x"})] == WRONG


# -- what a choice forbids ------------------------------------------------------------------------------------------------

DAYS = {"type": "integer", "title": "Days kept"}
BY_AGE = {"if": {"properties": {"mode": {"const": "age"}}}}
FORBIDDING: dict[str, dict[str, Any]] = {
    "else": {"properties": {"mode": {"enum": ["age", "all"]}, "days": DAYS}, **BY_AGE, "else": {"properties": {"days": False}}},
    "asked for by then, refused by else": {
        "properties": {"mode": {"enum": ["age", "all"]}},
        **BY_AGE,
        "then": {"properties": {"days": DAYS}, "required": ["days"]},
        "else": {"properties": {"days": False}},
    },
    "closed by unevaluatedProperties": {
        "properties": {"mode": {"enum": ["age", "all"]}},
        **BY_AGE,
        "then": {"properties": {"days": DAYS}},
        "unevaluatedProperties": False,
    },
    "by not and required": {
        "properties": {"mode": {"enum": ["age", "all"]}, "days": DAYS},
        **BY_AGE,
        "else": {"not": {"required": ["days"]}},
    },
    "by not and several required": {
        "properties": {"mode": {"enum": ["age", "all"]}, "days": DAYS},
        **BY_AGE,
        "else": {"not": {"anyOf": [{"required": ["other"]}, {"required": ["days"]}]}},
    },
    "inside allOf and a reference": {
        "properties": {"mode": {"enum": ["age", "all"]}, "days": DAYS},
        "allOf": [{"$ref": "#/$defs/c"}],
    },
}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("case", FORBIDDING)
def test_what_a_persons_choice_made_impossible_goes_and_the_form_says_so(case: str, *, nested: bool) -> None:
    inner = {"type": "object", **FORBIDDING[case]}
    schema: dict[str, Any] = {"type": "object", "properties": {"o": inner}} if nested else inner
    schema["$defs"] = {"c": {**BY_AGE, "else": {"properties": {"days": False}}}}
    at, value = ("/o", {"o": {"mode": "age", "days": 3}}) if nested else ("", {"mode": "age", "days": 3})
    form = Form(schema)
    page = Page(form.render(value))
    page.editor(f"{at}/mode").choose("all")
    posted = form.read(page.pairs())
    assert (posted.value, posted.errors) == ({"o": {"mode": "all"}} if nested else {"mode": "all"}, ())
    assert len(posted.gone) == 1
    drawn = Page(form.render(submission=posted))
    assert f"Removed because of your choice: {posted.gone[0]}." in drawn.text
    assert drawn.all(f"{at}/days", "value", "json") == []
    again = form.read(drawn.pairs())
    assert (again.value, again.gone) == (posted.value, ())


@pytest.mark.parametrize(
    "forbidding", [{"properties": {"url": {}, "path": False}}, {"properties": {"url": {}}, "not": {"required": ["path"]}}]
)
def test_what_another_alternative_forbids_goes(forbidding: dict[str, Any]) -> None:
    first = {"title": "File", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    form = Form(
        {
            "type": "object",
            "properties": {"note": {"type": "string"}},
            "oneOf": [first, {"title": "Web", **forbidding, "required": ["url"]}],
        }
    )
    page = Page(form.render({"note": "n", "path": "/x"}))
    next(one for one in page.controls if one.get("data-role") == "branch").choose("Web")
    posted = form.read(page.pairs())
    assert (posted.value, posted.gone, [one.pointer for one in posted.errors]) == ({"note": "n"}, ("Path",), ["/url"])


def test_what_was_stored_against_the_schema_stays_until_a_person_removes_it() -> None:
    form = Form({"type": "object", **FORBIDDING["else"]})
    value = {"mode": "all", "days": 3}
    posted = form.read(Page(form.render(value)).pairs())
    assert (posted.value, posted.gone) == (value, ())
    assert [one.pointer for one in posted.errors] == ["/days"]


def test_what_another_alternative_does_not_have_goes_by_name() -> None:
    form = Form(
        {
            "type": "object",
            "properties": {
                "t": {
                    "oneOf": [
                        branch(
                            "kind",
                            closed=True,
                            kind={"const": "http"},
                            url=text(title="Address"),
                            tries={"type": "integer", "default": 3},
                            note=text(),
                        ),
                        branch("kind", closed=True, kind={"const": "mail"}, to=text(), note=text()),
                    ]
                }
            },
        }
    )
    page = Page(form.render({"t": {"kind": "http", "url": "u", "note": "n"}}))
    choice = next(one for one in page.controls if one.get("data-role") == "branch")
    choice.choose("mail")
    posted = form.read(page.pairs())
    assert posted.value == {"t": {"kind": "mail", "note": "n"}}
    assert posted.gone == ("Address",), "neither the constant nor a default is what a person filled in"


def test_what_a_script_posts_is_judged_and_not_dropped() -> None:
    """A program that fills in a form without having drawn it gets the error."""
    form = Form({"type": "object", **FORBIDDING["else"]})
    page = Page(form.render({"mode": "all"}))
    posted = form.read([*page.pairs(), ("f.mdays", "3")])
    assert {one.pointer for one in posted.errors} == {"/days"}
