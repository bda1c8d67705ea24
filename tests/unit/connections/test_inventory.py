"""The inventory of a value: its secrets and connections, found in one walk and replaced in place."""

from __future__ import annotations

import copy
from typing import Any

from app.connections.inventory import Inventory

SECRET: dict[str, Any] = {"type": "string", "writeOnly": True}
SCHEMA: dict[str, Any] = {
    "properties": {
        "key": SECRET,
        "rows": {"prefixItems": [{"properties": {"first": SECRET}}], "items": {"properties": {"key": SECRET, "note": {}}}},
        "connection": {"x-options": {"from": "connections", "kind": "smtp"}},
        "collection": {"x-options": {"from": "collections", "depends": {"connection": "/connection"}}},
    }
}
VALUE: dict[str, Any] = {
    "key": "a",
    "rows": [{"first": "b"}, {"key": "c", "note": "n"}, {"key": "d"}],
    "connection": "mail",
    "collection": "orders",
    "unknown": {"key": "not described"},
}


def test_each_secret_has_a_site_with_what_is_stored_at_its_path() -> None:
    stored = {"key": "A", "rows": [{"first": "B"}, {"key": "C"}]}
    sites = [(site.pointer, site.value, site.stored) for site in Inventory.of(SCHEMA, VALUE, stored).secrets()]
    assert sites == [("/key", "a", "A"), ("/rows/0/first", "b", "B"), ("/rows/1/key", "c", "C"), ("/rows/2/key", "d", None)]


def test_secrets_are_replaced_in_a_copy_that_shares_what_has_not_changed() -> None:
    before = copy.deepcopy(VALUE)
    inventory = Inventory.of(SCHEMA, VALUE)
    changed = inventory.with_secrets(lambda site: site.value.upper() if site.value in {"a", "c"} else site.value)
    assert changed.value == {**before, "key": "A", "rows": [{"first": "b"}, {"key": "C", "note": "n"}, {"key": "d"}]}
    assert [site.value for site in changed.secrets()] == ["A", "b", "C", "d"]
    assert before == VALUE
    assert changed.value["rows"][0] is VALUE["rows"][0]
    assert inventory.with_secrets(lambda site: site.value) is inventory


def test_a_value_that_is_a_secret_as_a_whole_is_replaced_as_a_whole() -> None:
    assert Inventory.of(SECRET, "hidden").with_secrets(lambda site: "***").value == "***"


def test_what_is_reached_through_a_connection_is_told_with_the_name_of_that() -> None:
    inventory = Inventory.of(SCHEMA, VALUE)
    assert list(inventory.connections()) == [("/connection", "mail", "smtp")]
    assert list(inventory.reached()) == [("/collection", "mail", "orders")]
