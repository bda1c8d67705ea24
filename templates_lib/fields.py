"""Members that the schemas of several templates share, and functions for their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from templates_lib.base import Problem, RunContext
from templates_lib.connections.mongodb import is_system

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def connection(kind: str, title: str, description: str = "") -> dict[str, Any]:
    """Returns the schema of a name of a connection of one kind."""
    words = {"description": description} if description else {}
    return {"type": "string", "title": title, **words, "minLength": 1, "x-options": {"from": "connections", "kind": kind}}


def collection(title: str = "Collection", description: str = "", *, of: str = "/connection") -> dict[str, Any]:
    """Returns the schema of a collection behind the MongoDB connection that the member at `of` names."""
    words = {"description": description} if description else {}
    return {
        "type": "string",
        "title": title,
        **words,
        "minLength": 1,
        "maxLength": 200,
        "pattern": r"^[^$\x00]+$",
        "x-pattern-words": "the name of a collection, without $",
        "x-options": {"from": "collections", "free": True, "depends": {"connection": of}},
    }


def collection_problems(name: str, pointer: str) -> Iterator[Problem]:
    """Yields problems of a collection's name that the schema of `collection` cannot find."""
    if is_system(name):
        yield Problem(pointer, "system.* collections belong to MongoDB")


def condition(title: str, description: str) -> dict[str, Any]:
    """Returns the schema of a condition (templates_lib.conditions)."""
    return {
        "type": "object",
        "title": title,
        "description": description,
        "minProperties": 1,
        "x-widget": "json",
        "x-placeholder": '{"lastActive": {"$lt": "6 months ago"}}',
    }


def field(title: str, description: str = "") -> dict[str, Any]:
    """Returns the schema of a name of a field in documents; a nested field has dots in its name."""
    words = {"description": description} if description else {}
    return {
        "type": "string",
        "title": title,
        **words,
        "minLength": 1,
        "maxLength": 300,
        "pattern": r"^[^$\x00][^\x00]*$",
        "x-options": {"from": "fields", "free": True, "depends": {"connection": "/connection", "collection": "/collection"}},
    }


def destination(placeholder: str, title: str = "Destination") -> dict[str, Any]:
    """Returns the schema of a file in a file store; see `fill_path`."""
    return {
        "type": "object",
        "title": title,
        "properties": {
            "connection": connection("file_store", "File store"),
            "path": {
                "type": "string",
                "title": "Path",
                "minLength": 1,
                "maxLength": 500,
                "x-dynamic": True,
                "pattern": r"^[^/\x00\\][^\x00\\]*$",
                "description": "Path inside the file store. `{date}`, `{time}` and `{execution_id}` are replaced by their values.",
                "x-placeholder": placeholder,
            },
        },
        "required": ["connection", "path"],
        "additionalProperties": False,
    }


DRY_RUN: dict[str, Any] = {
    "type": "boolean",
    "title": "Dry run",
    "description": "Only report what a run would do. Nothing is changed.",
    "default": True,
}


def fill_path(path: str, ctx: RunContext) -> str:
    """Returns `path` with `{date}`, `{time}` and `{execution_id}` of this run filled in. The result is the same in each attempt."""
    filled = {"{date}": f"{ctx.now:%Y-%m-%d}", "{time}": f"{ctx.now:%H%M%S}", "{execution_id}": ctx.execution_id}
    for name, value in filled.items():
        path = path.replace(name, value)
    return path


def leaves_store(path: str) -> bool:
    """Returns whether the text of a path leads out of its file store."""
    return bool({"..", ".", ""} & set(path.split("/")))
