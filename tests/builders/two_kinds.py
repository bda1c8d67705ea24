"""A migration of each kind, after those that exist: the first adds a new form of a field, the second removes the old form."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from app.migrations import find_migrations
from app.mongo import Document
from migrations_scripts.indexes import drop_indexes

PRE, POST = "9001_new_form", "9002_old_form"
INDEXES = {"things": [IndexModel([("colour", ASCENDING)], name="by_colour")]}


def documents() -> list[Document]:
    """Documents of the version before, whose code reads `color` alone."""
    return [{"_id": number, "color": colour} for number, colour in enumerate(("red", "green", "red"))]


def both_forms(database: Database[Any]) -> bool:
    """Whether both versions find what they read."""
    return all(row.get("color") == row.get("colour") is not None for row in database["things"].find())


def rewritten(database: Database[Any]) -> bool:
    """Whether only the new version finds what it reads."""
    return [(row["colour"], "color" in row) for row in database["things"].find().sort("_id")] == [
        (row["color"], False) for row in documents()
    ]


def two_kinds() -> list[tuple[str, ModuleType]]:
    """All migrations that exist, and the two."""
    return [*find_migrations(), (PRE, _new_form()), (POST, _old_form())]


def _new_form() -> ModuleType:
    def up(database: Database[Any]) -> None:
        database["things"].create_indexes(INDEXES["things"])
        database["things"].update_many({"color": {"$exists": True}}, [{"$set": {"colour": "$color"}}])

    def down(database: Database[Any]) -> None:
        drop_indexes(database["things"], ["by_colour"])
        database["things"].update_many({}, {"$unset": {"colour": ""}})

    return _module(PRE, up=up, down=down, INDEXES=INDEXES)


def _old_form() -> ModuleType:
    def up(database: Database[Any]) -> None:
        database["things"].update_many({"colour": {"$exists": False}}, [{"$set": {"colour": "$color"}}])  # written by the version before
        database["things"].update_many({}, {"$unset": {"color": ""}})

    def down(database: Database[Any]) -> None:
        database["things"].update_many({}, [{"$set": {"color": "$colour"}}])

    return _module(POST, up=up, down=down, KIND="post")


def _module(name: str, **content: Any) -> ModuleType:
    made = ModuleType(f"m{name}")
    made.__dict__.update(content)
    return made
