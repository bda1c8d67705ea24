"""Brings stored names to their normal spelling (app.validation.names), which new names have: composed, with plain spaces, and without
invisible characters.

If another record already has that name, the old spelling stays and the log reports it: only a person can decide between the two.
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
    """Does nothing: every release can read these names."""


def _rewrite(collection: Collection[Row], fields: Sequence[str], change: Callable[[Row], Row]) -> None:
    """Updates the fields that `change` returns with another value. A record keeps its own name if another record has the new one."""
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
    """Returns the normal spelling of a name. A value that is not text, or would become empty, stays as it is."""
    return (visible(value) or value) if isinstance(value, str) else value


def _names(values: Any) -> Any:
    return list(dict.fromkeys(_name(value) for value in values)) if _are_texts(values) else values


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _job(row: Row) -> Row:
    new = {"name": _name(row.get("name")), "tags": _names(row.get("tags")), "group": _name(row.get("group"))}
    if isinstance(row.get("concurrency"), dict):
        new["concurrency"] = {**row["concurrency"], "group": _name(row["concurrency"].get("group"))}
    texts = (new["name"], row.get("description") or "", *(new["tags"] if _are_texts(new["tags"]) else ()))
    if all(isinstance(text, str) for text in texts):
        new["search"] = normal(normal("\n".join(texts)).casefold())
    return {field: value for field, value in new.items() if value is not None}


def _user(row: Row) -> Row:
    new = {"email": _name(row.get("email")), "name": _name(row.get("name")), "groups": _names(row.get("groups"))}
    return {field: value for field, value in new.items() if value is not None}


def _views(row: Row) -> Row:
    views = row.get("views")
    if not (isinstance(views, list) and all(isinstance(view, dict) for view in views)):
        return {}
    names = [_name(view.get("name")) for view in views]
    unique = [name if names.count(name) == 1 else view.get("name") for view, name in zip(views, names, strict=True)]
    return {"views": [{**view, "name": name} for view, name in zip(views, unique, strict=True)]}


def _presets(presets: Collection[Row]) -> None:
    """Moves each preset to the id of its new name. A preset keeps its old id and name if another preset has the new ones."""
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
