"""A schema and its local files as one document, and everything that is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli.template import template
from app.template_tools.bundle import BundleRefused, bundle
from app.validation import SchemaValidator
from app.validation.schema import MAX_BYTES

PLACE = {
    "type": "object",
    "properties": {"city": {"$ref": "parts/city.json#/$defs/name"}, "next": {"$ref": "#"}},
    "required": ["city"],
    "additionalProperties": False,
}
CITY = {"$defs": {"name": {"type": "string", "minLength": 2}, "place": {"$ref": "../place.json"}}}


def write(folder: Path, **files: Any) -> Path:
    """Writes JSON files (`parts__city` is parts/city.json), and returns the path of the first one."""
    paths = [folder / f"{name.replace('__', '/')}.json" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return paths[0]


def test_files_that_refer_to_each_other_become_one_schema(tmp_path: Path) -> None:
    main = write(tmp_path, main={"properties": {"home": {"$ref": "place.json"}}}, place=PLACE, parts__city=CITY)
    schema = bundle(main).schema
    assert {inner["$id"] for inner in schema["$defs"].values()} == {"place.json", "parts/city.json"}
    validator = SchemaValidator(schema)
    assert not validator.errors({"home": {"city": "Bonn", "next": {"city": "Ulm"}}})
    assert [error.pointer for error in validator.errors({"home": {"city": "B", "next": {"city": 3, "x": 1}}})] == [
        "/home/city",
        "/home/next/city",
        "/home/next/x",
    ]


def test_ids_are_kept_and_definitions_keep_their_names(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main={"$id": "https://example.com/a/main.json", "$ref": "https://example.com/a/b/part.json", "$defs": {"part": {"type": "null"}}},
        b__part={"$id": "https://example.org/part", "type": "integer", "$comment": "kept"},
    )
    schema = bundle(main).schema
    assert schema["$ref"] == "https://example.org/part"
    assert schema["$defs"]["part"] == {"type": "null"}
    assert schema["$defs"]["part-2"] == {"$id": "https://example.org/part", "type": "integer", "$comment": "kept"}
    assert SchemaValidator(schema).errors("x")


def test_files_of_an_older_draft_are_bundled_and_then_converted(tmp_path: Path) -> None:
    old = "http://json-schema.org/draft-07/schema#"
    main = write(
        tmp_path,
        main={"$schema": old, "properties": {"a": {"$ref": "other.json#/definitions/pair"}}},
        other={"$schema": old, "definitions": {"pair": {"items": [{"type": "integer"}], "additionalItems": False}}},
    )
    result = bundle(main)
    assert result.schema["properties"]["a"]["$ref"] == "other.json#/$defs/pair"
    validator = SchemaValidator(result.schema)
    assert not validator.errors({"a": [1]})
    assert validator.errors({"a": [1, 2]})
    assert "/definitions/other/definitions/pair/items" in {change.pointer for change in result.changes}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"main": {"$ref": "https://example.com/x.json"}}, "nothing is fetched from the network"),
        ({"main": {"$ref": "//example.com/x.json"}}, "only relative paths"),
        ({"main": {"$ref": "file:///etc/passwd"}}, "only relative paths"),
        ({"main": {"$ref": "/etc/passwd"}}, "only relative paths"),
        ({"main": {"$ref": "../../../etc/passwd"}}, "is outside of"),
        ({"main": {"$ref": "link.json"}}, "is outside of"),
        ({"main": {"$ref": "missing.json"}}, "there is no file"),
        ({"main": {"$ref": "parts"}, "parts__x": {}}, "there is no file"),
        ({"main": {"$ref": "other.json"}, "other": "{"}, "is not valid JSON"),
        ({"main": {"$ref": "other.json"}, "other": '{"a": 1, "a": 2}'}, "occurs twice"),
        ({"main": {"$ref": "other.json"}, "other": "[]"}, "is not a JSON object"),
        ({"main": {"$ref": "other.json"}, "other": {"$ref": "main.json"}}, "refers to itself endlessly"),
        ({"main": {"$ref": "other.json#/nowhere"}, "other": {}}, "is not in this document"),
        ({"main": {"$ref": "other.json"}, "other": {"$schema": "http://json-schema.org/draft-04/schema#"}}, "another draft"),
        ({"main": {"$schema": "https://example.com/own"}}, "a dialect that Jobwright does not know"),
        ({"main": {"$ref": "other.json"}, "other": {"type": "objekt"}}, "is not valid in draft 2020-12"),
        ({"main": {"$ref": "other.json"}, "other": {"description": "x" * MAX_BYTES}}, "larger than"),
    ],
)
def test_what_cannot_be_bundled_is_refused_with_the_file_and_the_reason(tmp_path: Path, files: dict[str, Any], words: str) -> None:
    inside = tmp_path / "schemas"
    write(tmp_path, secret={"type": "string"})
    main = write(inside, **files)
    (inside / "link.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(BundleRefused, match=words) as refused:
        bundle(main)
    assert str(inside) in str(refused.value)


def test_a_root_lets_files_beside_the_folder_in(tmp_path: Path) -> None:
    main = write(tmp_path, app__main={"$ref": "../shared/part.json"}, shared__part={"type": "integer"})
    with pytest.raises(BundleRefused, match="--root"):
        bundle(main)
    assert SchemaValidator(bundle(main, tmp_path).schema).errors("x")


def test_the_command_writes_the_schema_and_tells_what_it_changed(tmp_path: Path) -> None:
    main = write(tmp_path, main={"$schema": "http://json-schema.org/draft-06/schema#", "items": [{"type": "integer"}]})
    printed = CliRunner().invoke(template, ["bundle", str(main)])
    assert json.loads(printed.stdout) == {"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"type": "integer"}]}
    assert "converted from draft-06 to 2020-12" in printed.stderr
    assert "/items: `items` became `prefixItems`" in printed.stderr
    written = CliRunner().invoke(template, ["bundle", str(main), "--output", str(tmp_path / "out.json")])
    assert written.exit_code == 0
    assert json.loads((tmp_path / "out.json").read_text("utf-8")) == json.loads(printed.stdout)
    missing = CliRunner().invoke(template, ["bundle", str(tmp_path / "none.json")])
    assert (missing.exit_code, "cannot be read: No such file" in missing.stderr) == (1, True)


@pytest.mark.parametrize("reference", ["//[bad", "a%00b.json", f"{'x' * 5000}.json", "loop.json"])
def test_a_reference_that_no_path_can_be_is_refused(tmp_path: Path, reference: str) -> None:
    (tmp_path / "loop.json").symlink_to("loop.json")
    main = write(tmp_path, main={"properties": {"home": {"$ref": reference}}})
    with pytest.raises(BundleRefused, match=r"main\.json: \$ref"):
        bundle(main)


def test_definitions_that_are_no_object_are_refused(tmp_path: Path) -> None:
    main = write(tmp_path, main={"$defs": 5, "properties": {"home": {"$ref": "place.json"}}}, place={"type": "object"})
    with pytest.raises(BundleRefused, match=r"main\.json: `\$defs` is not an object"):
        bundle(main)
