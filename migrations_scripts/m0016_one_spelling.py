"""Names in their one spelling (app.validation.names), as new ones are written: composed, plain spaces, nothing that nobody sees.

A name that another record has by then stays as it is and is told in the log: which of the two is meant, a person knows.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.events import get_logger
from app.validation.names import normal, visible

log = get_logger(__name__)
Row = dict[str, Any]
_PRESETS = uuid.UUID("c2f7b0f1-6f0b-4a55-8f63-6a9a7d0a4a11")  # the ids of presets are made from their names


def up(database: Database[Row]) -> None:
    jobs = ("name", "description", "tags", "group", "concurrency")
    _rewrite(database["dynamic_jobs"], jobs, _job)
    _rewrite(database["users"], ("email", "name", "groups"), _user)
    _rewrite(database["api_tokens"], ("name",), lambda row: {"name": _name(row.get("name"))})
    _rewrite(database["preferences"], ("views",), _views)
    _presets(database["template_presets"])


def down(_database: Database[Row]) -> None:
    """The names stay: each release reads them."""


def _rewrite(collection: Collection[Row], fields: Sequence[str], change: Callable[[Row], Row]) -> None:
    """Set what `change` makes of each record where that is another; a record whose name is taken keeps its own."""
    for row in collection.find({}, dict.fromkeys(fields, 1)):
        new = {field: value for field, value in change(row).items() if value != row.get(field)}
        if not new or (new.keys() == {"search"} and not row.get("name")):
            continue
        try:
            collection.update_one({"_id": row["_id"]}, {"$set": new})
        except DuplicateKeyError:
            log.warning("name.taken", collection=collection.name, id=str(row["_id"]), name=ascii(row.get("name")))
            rest = {field: value for field, value in new.items() if field not in {"name", "email"}}
            if rest:
                collection.update_one({"_id": row["_id"]}, {"$set": rest})


def _name(value: Any) -> Any:
    """The name as it is written now; what would be left empty, or is none, stays."""
    return (visible(value) or value) if isinstance(value, str) else value


def _names(values: Any) -> Any:
    return list(dict.fromkeys(_name(one) for one in values)) if _texts(values) else values


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(one, str) for one in values)


def _job(row: Row) -> Row:
    new = {"name": _name(row.get("name")), "tags": _names(row.get("tags")), "group": _name(row.get("group"))}
    if isinstance(row.get("concurrency"), dict):
        new["concurrency"] = {**row["concurrency"], "group": _name(row["concurrency"].get("group"))}
    texts = (new["name"], row.get("description") or "", *(new["tags"] if _texts(new["tags"]) else ()))
    if all(isinstance(one, str) for one in texts):
        new["search"] = normal(normal("\n".join(texts)).casefold())
    return {field: value for field, value in new.items() if value is not None}


def _user(row: Row) -> Row:
    new = {"email": _name(row.get("email")), "name": _name(row.get("name")), "groups": _names(row.get("groups"))}
    return {field: value for field, value in new.items() if value is not None}


def _views(row: Row) -> Row:
    views = row.get("views")
    if not (isinstance(views, list) and all(isinstance(one, dict) for one in views)):
        return {}
    names = [_name(one.get("name")) for one in views]
    return {"views": [{**one, "name": name if names.count(name) == 1 else one.get("name")} for one, name in zip(views, names, strict=True)]}


def _presets(presets: Collection[Row]) -> None:
    """A preset moves to the id of its name; one that another has keeps its own."""
    for row in _with_other_name(presets.find()):
        name = _name(row["name"])
        new_id = str(uuid.uuid5(_PRESETS, f"{row.get('template_type')}\0{row.get('owner')}\0{name}"))
        try:
            presets.insert_one({**row, "_id": new_id, "name": name})
        except DuplicateKeyError:
            log.warning("name.taken", collection=presets.name, id=str(row["_id"]), name=ascii(row["name"]))
            continue
        presets.delete_one({"_id": row["_id"]})


def _with_other_name(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if isinstance(row.get("name"), str) and _name(row["name"]) != row["name"]]
