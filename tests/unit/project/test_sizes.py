"""Classes and functions stay small enough to be held in mind."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROOMS = ("app", "web", "templates_lib", "migrations_scripts", "scripts", "clients")
MOST_METHODS = 20  # public ones of a class
MOST_PARAMETERS = 10  # of a function, without `self`
MOST_SKIPS = 60  # lines that the formatter leaves alone


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


@pytest.fixture(scope="module")
def parsed() -> list[tuple[Path, ast.Module]]:
    return list(trees())


def test_no_class_has_too_many_public_methods(parsed: list[tuple[Path, ast.Module]]) -> None:
    large = {
        f"{path}: {node.name}": count
        for path, tree in parsed
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and (count := sum(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name[0] != "_" for one in node.body))
        > MOST_METHODS
    }
    assert large == {}


def test_no_function_has_too_many_parameters(parsed: list[tuple[Path, ast.Module]]) -> None:
    wide = {
        f"{path}: {node.name}": parameters_of(node)
        for path, tree in parsed
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and parameters_of(node) > MOST_PARAMETERS
    }
    assert wide == {}


def test_the_formatter_is_not_fought() -> None:
    mark = "# fmt: " + "skip"
    skips = [
        path for room in (*ROOMS, "tests") for path in (ROOT / room).rglob("*.py") for line in path.read_text().split("\n") if mark in line
    ]
    assert len(skips) < MOST_SKIPS
