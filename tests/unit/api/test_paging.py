"""A page of a list has one shape."""

from __future__ import annotations

from dataclasses import dataclass

from marshmallow import Schema
from marshmallow import fields as ma

from app.api.paging import page_json, page_schema


class Thing(Schema):
    size = ma.Integer()


@dataclass
class Things:
    total: int = 5
    page: int = 2
    pages: int = 3


def test_a_page_is_its_rows_and_where_they_stand() -> None:
    schema = page_schema("ThingList", "things", Thing)
    answer = page_json("things", [{"size": 3}, {"size": 4}], Things())
    assert answer == {"things": [{"size": 3}, {"size": 4}], "total": 5, "page": 2, "pages": 3}
    assert schema().dump(answer) == answer
    assert schema.__name__ == "ThingList"
    assert [name for name, field in schema().fields.items() if field.required] == ["things", "total", "page", "pages"]
