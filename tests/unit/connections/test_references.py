"""Which connections parameters name."""

from __future__ import annotations

from app.connections.inventory import Inventory
from app.jobtemplates.entry import with_defaults


def test_connections_and_defaults_are_found_in_a_schema() -> None:
    schema = {
        "properties": {
            "c": {"x-options": {"from": "connections", "kind": "smtp"}},
            "n": {"default": 5},
            "rows": {"items": {"properties": {"f": {"x-options": {"from": "connections", "kind": "file_store"}}}}},
        }
    }
    value = {"c": "Mail", "rows": [{"f": "Files"}, {}]}
    assert list(Inventory.of(schema, value).connections()) == [("/c", "Mail", "smtp"), ("/rows/0/f", "Files", "file_store")]
    assert with_defaults(schema, value)["n"] == 5
