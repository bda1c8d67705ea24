"""The layout of the code."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from app.accounts import shape as account_shape
from app.approvals import store as approval_store
from app.connections import store as connection_store
from app.doctor.records import SHAPES
from app.jobs import shape as job_shape
from app.queue import shape as execution_shape
from tests.unit.project.sources import ROOT, sources

# The record of applied migrations: the start asks it whether there is a registry at all, before any store exists.
MIGRATIONS = "migrations"
# Those who queue, those who claim, those who report, those who announce, and three who only read.
SHARED = {
    "job_executions": {
        Path("app/queue/store.py"),
        Path("app/queue/claim_store.py"),
        Path("app/queue/deferral_store.py"),
        Path("app/queue/release_store.py"),
        Path("app/execution/history_store.py"),
        Path("app/execution/end_store.py"),
        Path("app/execution/statistics_store.py"),
        Path("app/execution/measured_store.py"),
        Path("app/execution/review_store.py"),
    }
}


def shaped(path: Path) -> set[str]:
    """The collections whose documents a module compares with a shape: `Records(database, "name", shape)`, the name written out or a constant."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="Records"), args=[_, ast.Constant(value=str(name)), *_]):
                names.add(name)
            case ast.Call(func=ast.Name(id="Records"), args=[_, ast.Name(id=constant), *_]) if constant.isupper():
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                names.add(getattr(importlib.import_module(module), constant))
    return names


def opened(path: Path) -> set[str]:
    """The collections that a module opens: those with a shape, and `database["name"]`."""
    names = shaped(path)
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Subscript(value=ast.Name(id=owner) | ast.Attribute(attr=owner), slice=ast.Constant(value=str(name))):
                names |= {name} if owner.strip("_") in {"database", "db"} else set()
    return names


# The demo fills a database of its own, which its jobs work on.
MODULES = {path.relative_to(ROOT): opened(path) for path in sources("app", "web") if path.relative_to(ROOT).parts[:2] != ("app", "demo")}
COLLECTIONS = set().union(*MODULES.values())


@pytest.mark.parametrize("collection", sorted(COLLECTIONS - {MIGRATIONS}))
def test_a_collection_is_opened_only_by_its_own_store(collection: str) -> None:
    modules = {path for path, names in MODULES.items() if collection in names}
    assert modules == SHARED.get(collection, modules)
    assert collection in SHARED or len(modules) == 1
    assert all(module.stem in {"store", "throttle"} or module.stem.endswith("_store") for module in modules), modules


def test_the_collections_are_found() -> None:
    assert {"dynamic_jobs", "job_executions", "users", "audit_log", "connections", "approvals"} <= COLLECTIONS


def test_doctor_looks_for_damage_in_each_collection_with_a_shape() -> None:
    assert set(SHAPES) == set().union(*(shaped(ROOT / path) for path in MODULES))


def test_a_room_declares_sealed_fields_of_its_own_collections() -> None:
    rooms = {"accounts": account_shape, "approvals": approval_store, "connections": connection_store, "jobs": job_shape}
    for room, module in rooms.items():
        own = set().union(*(names for path, names in MODULES.items() if path.parts[1] == room))
        assert {sealed.collection for sealed in module.SEALED_FIELDS} <= own
    assert {sealed.collection for sealed in execution_shape.SEALED_FIELDS} <= COLLECTIONS
