"""The layout of the REST room: one folder per resource, also of the compatibility routes, whose views declare what they take by decorators alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from app import api

FOLDER = Path(api.__file__).parent
ROUTES = sorted(FOLDER.rglob("routes.py"))


def test_every_resource_is_registered() -> None:
    registered = {Path(resource.__file__) for resource in api.RESOURCES}
    assert registered == set(ROUTES)
    assert all((path.parent / "schemas.py").is_file() for path in ROUTES)


@pytest.mark.parametrize("path", ROUTES, ids=lambda path: path.parent.name)
def test_no_view_reads_or_describes_a_request_by_hand(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    described = {keyword.arg for node in ast.walk(tree) if isinstance(node, ast.Call) for keyword in node.keywords}
    assert "request" not in imported
    assert described.isdisjoint({"requestBody", "parameters"})
