"""What parameters name: connections, what lies behind them, and secrets that are kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.connections.vault import walk
from app.validation import pointer
from app.validation.secret import is_secret, secret_name


def connection_references(schema: Any, value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """Each (JSON Pointer, connection name, kind) in `value`, where `schema` says `x-options: {from: connections, kind: …}`."""
    if not isinstance(schema, Mapping):
        return
    options = schema.get("x-options")
    if isinstance(options, Mapping) and options.get("from") == "connections":
        if isinstance(value, str):
            yield pointer(path), value, str(options["kind"])
    elif isinstance(value, Mapping):
        for name, member in schema.get("properties", {}).items():
            if name in value:
                yield from connection_references(member, value[name], (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from connection_references(schema.get("items"), item, (*path, index))


def connection_paths(schema: Mapping[str, Any], path: str = "") -> list[str]:
    """Where values of `schema` name connections, as MongoDB has it: the members' names with dots between, lists left out."""
    found: list[str] = []
    for name, member in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        if isinstance(member.get("x-options"), Mapping) and member["x-options"].get("from") == "connections":
            found.append(here)
        if is_secret(member):
            found.append(f"{here}.name")  # where it is named instead of held
        found += connection_paths(member, here)
        if isinstance(member.get("items"), Mapping):
            found += connection_paths(member["items"], here)
    return found


def reached_places(schema: Any, value: Any) -> Iterator[tuple[str, str, str]]:
    """Each (JSON Pointer, connection name, what is reached) in the top level of `value`, where `schema` says `x-options: {from:
    collections, addresses or subjects, depends: {connection: …}}`."""
    for name, member in schema.get("properties", {}).items():
        options = member.get("x-options") if isinstance(member, Mapping) else None
        if (
            isinstance(options, Mapping)
            and options.get("from") in {"collections", "addresses", "subjects"}
            and isinstance(value.get(name), str)
        ):
            connection = value.get(str(options.get("depends", {}).get("connection", "")).removeprefix("/"))
            if isinstance(connection, str):
                yield pointer((name,)), connection, value[name]


def secret_places(schema: Any, value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each (JSON Pointer, value) in `value` where `schema` has a secret."""
    if is_secret(schema):
        yield pointer(path), value
    elif isinstance(schema, Mapping) and isinstance(value, Mapping):
        for key, member in schema.get("properties", {}).items():
            if key in value:
                yield from secret_places(member, value[key], (*path, key))
    elif isinstance(schema, Mapping) and isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for index, item in enumerate(value):
            yield from secret_places(schema["items"], item, (*path, index))


def named_secrets(schema: Any, value: Any) -> Iterator[tuple[str, str]]:
    """Each (JSON Pointer, name) in `value` where `schema` has a secret and a name is given instead."""
    for place, found in secret_places(schema, value):
        name = secret_name(found)
        if name is not None:
            yield place, name


def with_secrets(schema: Mapping[str, Any], value: Any, secrets: Mapping[str, str]) -> Any:
    """`value` with the secret itself in each place that names one of `secrets`."""
    if is_secret(schema):
        return secrets.get(secret_name(value) or "", value)
    return walk(schema, value, None, lambda member, item, _: with_secrets(member, item, secrets))
