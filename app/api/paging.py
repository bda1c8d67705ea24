"""Pages of lists: the schema of a page, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marshmallow import Schema
from marshmallow import fields as ma
from marshmallow.validate import Range

from app.api.base_schemas import AnswerSchema, RequestSchema
from app.paging import Page


class PageQuery(RequestSchema):
    page = ma.Integer(load_default=1, validate=Range(min=1, max=100_000))
    limit = ma.Integer(load_default=20, validate=Range(min=1, max=200))


def page_schema(name: str, items: str, item_schema: type[Schema]) -> type[Schema]:
    """Returns the schema `name` of one page of a list: an object with the list `items`, `total`, `page` and `pages`.

    The name is that of the schema in the OpenAPI document.
    """
    fields = {
        items: ma.List(ma.Nested(item_schema), required=True),
        "total": ma.Integer(required=True),
        "page": ma.Integer(required=True),
        "pages": ma.Integer(required=True),
    }
    return type(name, (AnswerSchema,), fields)


def page_json(items: str, rows: Sequence[Any], page: Page[Any]) -> dict[str, Any]:
    """Returns the answer of one page: its rows (JSON values) as the member `items`, and where in the list it stands."""
    return {items: rows, "total": page.total, "page": page.page, "pages": page.pages}
