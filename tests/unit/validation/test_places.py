"""Secrets, connections and expressions are found wherever a schema may put them: in unions, conditions, maps, tuples, behind references."""

from __future__ import annotations

from typing import Any

import pytest

from app.connections.inventory import Inventory
from app.connections.named import NAMED_KIND, NamedConnections
from app.connections.references import connection_paths
from app.connections.vault import SEALED, Vault, mask
from app.jobtemplates.presets import without_secrets
from app.keys import KeyRing
from app.validation.places import Place
from app.validation.secret import MASK

SECRET = {"type": "string", "writeOnly": True}
CONNECTION = {"type": "string", "x-options": {"from": "connections", "kind": "smtp"}}
SHAPES: dict[str, Any] = {
    "member": {"properties": {"s": SECRET, "c": CONNECTION}},
    "union": {"oneOf": [{"properties": {"other": {}}}, {"properties": {"s": SECRET, "c": CONNECTION}}]},
    "any": {"anyOf": [{"allOf": [{"properties": {"s": SECRET, "c": CONNECTION}}]}, {"type": "null"}]},
    "condition": {
        "if": {"required": ["s"]},
        "then": {"properties": {"s": SECRET}},
        "else": {"properties": {"c": CONNECTION}},
        "properties": {"c": CONNECTION},
    },
    "reference": {"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"s": {"$ref": "#/$defs/s"}, "c": CONNECTION}}, "s": SECRET}},
    "dependent": {"dependentSchemas": {"c": {"properties": {"s": SECRET}}}, "properties": {"c": CONNECTION}},
    "map": {"additionalProperties": {"anyOf": [SECRET]}, "properties": {"c": CONNECTION}},
    "pattern": {"patternProperties": {"^s$": SECRET}, "properties": {"c": CONNECTION}},
    "itself": {"properties": {"next": {"$ref": "#"}, "s": SECRET, "c": CONNECTION}},
}
VALUE = {"s": "hidden", "c": "mail"}


@pytest.fixture
def vault() -> Vault:
    return Vault(KeyRing("key"))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("deep", ["alone", "list", "tuple"])
def test_a_secret_is_sealed_masked_and_opened_wherever_it_stands(vault: Vault, shape: str, deep: str) -> None:
    schema = SHAPES[shape]
    value: Any = dict(VALUE)
    if deep != "alone":
        inner = {name: one for name, one in schema.items() if name != "$defs"}
        schema = {
            "properties": {"rows": {"items": inner} if deep == "list" else {"prefixItems": [{}, inner]}},
            **({"$defs": schema["$defs"]} if "$defs" in schema else {}),
        }
        value = {"rows": [1, value] if deep == "tuple" else [value]}
    sealed = vault.seal(Inventory.of(schema, value))
    assert "hidden" not in str(sealed)
    assert vault.open(sealed) == value
    masked = mask(sealed)
    assert vault.seal(Inventory.of(schema, masked, sealed)) == sealed
    assert vault.keep(Inventory.of(schema, masked, sealed)).value == value
    assert [site.value for site in Inventory.of(schema, value).secrets()] == ["hidden"]
    assert "hidden" not in str(without_secrets(schema, value))
    assert [(name, kind) for _, name, kind in Inventory.of(schema, value).connections()] == [("mail", "smtp")]


@pytest.mark.parametrize("shape", [name for name in SHAPES if name not in {"map", "pattern"}])
def test_what_names_a_connection_or_a_secret_is_known_from_the_schema(shape: str) -> None:
    paths = connection_paths(SHAPES[shape])
    assert {"c", "s.name"} <= set(paths)
    assert len(paths) < 50


@pytest.mark.parametrize("shape", SHAPES)
def test_a_named_secret_is_found_and_filled_in(vault: Vault, shape: str) -> None:
    value = {**VALUE, "s": {"$secret": "named", "name": "stripe"}}
    inventory = Inventory.of(SHAPES[shape], value)
    assert [name for _, name in inventory.named_secrets()] == ["stripe"]
    settings = {"value": {SEALED: vault.seal(Inventory.of(SECRET, "sk"))[SEALED]}}
    named = NamedConnections({"stripe": {"name": "stripe", "kind": NAMED_KIND, "settings": settings}}, vault)
    assert named.open_secrets(inventory).value == {**VALUE, "s": "sk"}
    assert inventory.value == value, "what was given stays as it is"


def test_a_secret_that_is_an_object_is_sealed_whole(vault: Vault) -> None:
    schema = {"properties": {"key": {"type": "object", "writeOnly": True}}}
    sealed = vault.seal(Inventory.of(schema, {"key": {"a": ["b"]}}))
    assert set(sealed["key"]) == {"$sealed"}
    assert vault.seal(Inventory.of(schema, {"key": MASK}, sealed)) == sealed


def test_a_reference_to_elsewhere_or_round_in_circles_says_nothing() -> None:
    assert Place.of({"$ref": "https://example.com/x"}).member("s") is None
    assert Place.of({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}).names() == []
    assert Place.of({"$ref": "#/oneOf/9", "oneOf": [True]}).names() == []
    assert Place.of(True).entries() == []
