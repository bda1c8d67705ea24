"""Reads values in a Python file as data. The file is parsed (ast) and never imported or run.

Understood are literals, names of values of the same file, + - * / with numbers, texts and lists, f-strings, and calls of functions that the
caller knows, such as `crontab(...)`. Everything else is Unknown, with its text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST_TEXT = 200
DEEPEST = 60
MOST_NUMBER = 10**15
LARGEST = 100_000  # characters of a text, and values of a list or a dict with all that is in them


@dataclass(frozen=True, slots=True)
class Unknown:
    """An expression that is not data; `text` is how it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class Made:
    """A call of a function that the caller knows, by its full name, with its arguments."""

    name: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)


class PythonData:
    """The values of one file. `functions` maps full names to those that `Made` has, such as celery.schedules.crontab to crontab."""

    def __init__(self, functions: Mapping[str, str]) -> None:
        self.names: dict[str, Any] = {}
        self._functions = functions
        self._imported: dict[str, str] = {}

    def note_import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Notes under which names a file imports functions and modules."""
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                self._imported[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
            elif alias.asname:
                self._imported[alias.asname] = alias.name

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """Returns the value of an expression; Unknown where it is not data, or if it is larger than LARGEST."""
        result = self._value(node, depth)
        # Names stand for values, so a few lines can describe a value that no memory holds.
        return _unknown(node) if depth == 0 and _left_of(LARGEST, result) < 0 else result

    def _value(self, node: ast.expr, depth: int) -> Any:
        if depth > DEEPEST:
            return Unknown("…")
        match node:
            case ast.Constant(value=None | bool() | str()):
                return node.value
            case ast.Constant(value=int() | float() as number) if abs(number) < MOST_NUMBER:
                return number
            case ast.List() | ast.Tuple() | ast.Set():
                return [self.value(item, depth + 1) for item in node.elts]
            case ast.Dict():
                return self._dict(node, depth)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                inner = self.value(node.operand, depth + 1)
                if isinstance(inner, int | float) and not isinstance(inner, bool):
                    return -inner if isinstance(node.op, ast.USub) else inner
            case ast.BinOp():
                return self._operation(node, depth)
            case ast.JoinedStr():
                return self._joined(node, depth)
            case ast.Name() | ast.Attribute() if self.dotted(node) in self.names:
                return self.names[self.dotted(node)]
            case ast.Call():
                return self._call(node, depth)
        return _unknown(node)

    def dotted(self, node: ast.expr) -> str:
        """Returns a name with its dots, with what it is imported as replaced; "" if it is none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._imported.get(node.id, node.id), *reversed(parts)])

    def _dict(self, node: ast.Dict, depth: int) -> Any:
        result: dict[str, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            inner = self.value(value, depth + 1)
            if key is None:
                if not isinstance(inner, dict):
                    return _unknown(node)
                result |= inner
                continue
            name = self.value(key, depth + 1)
            if isinstance(name, Unknown | Made | list | dict):
                return _unknown(node)
            result[str(name)] = inner
        return result

    def _operation(self, node: ast.BinOp, depth: int) -> Any:
        left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
        if isinstance(node.op, ast.Add):
            for kind in (str, list):
                if isinstance(left, kind) and isinstance(right, kind):
                    return left + right  # type: ignore[operator]
        if isinstance(node.op, ast.BitOr) and isinstance(left, dict) and isinstance(right, dict):
            return left | right
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            return _unknown(node)
        result: float | None = None
        match node.op:
            case ast.Add():
                result = left + right
            case ast.Sub():
                result = left - right
            case ast.Mult():
                result = left * right
            case ast.Div() if right:
                result = left / right
        return _unknown(node) if result is None or abs(result) >= MOST_NUMBER else result

    def _joined(self, node: ast.JoinedStr, depth: int) -> Any:
        texts, left = [], LARGEST
        for part in node.values:
            plain = isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None
            value = self.value(part.value if isinstance(part, ast.FormattedValue) else part, depth + 1)
            if (isinstance(part, ast.FormattedValue) and not plain) or not isinstance(value, str | int | float):
                return _unknown(node)
            texts.append(str(value))
            left -= len(texts[-1])
            if left < 0:
                return _unknown(node)
        return "".join(texts)

    def _call(self, node: ast.Call, depth: int) -> Any:
        arguments = [self.value(argument, depth + 1) for argument in node.args]
        keywords = {keyword.arg or "**": self.value(keyword.value, depth + 1) for keyword in node.keywords}
        name = self.dotted(node.func)
        if name == "dict" and not arguments and "**" not in keywords:
            return keywords
        known = self._functions.get(name)
        if known is None or "**" in keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            return _unknown(node)
        return Made(known, tuple(arguments), keywords)


def _left_of(most: int, value: Any) -> int:
    """Returns what is left of a size after a value, or a negative number as soon as it is used up."""
    most -= len(value) if isinstance(value, str) else 1
    inner: Iterable[Any] = ()
    match value:
        case Made():
            inner = (*value.arguments, *value.keywords.values())
        case dict():
            inner = (*value, *value.values())
        case list():
            inner = value
    for item in inner:
        if most < 0:
            break
        most = _left_of(most, item)
    return most


def _unknown(node: ast.AST) -> Unknown:
    return Unknown(ast.unparse(node)[:LONGEST_TEXT])


def unknown_in(value: Any) -> list[str]:
    """Returns the texts of what is not data in a value."""
    match value:
        case Unknown(text):
            return [text]
        case Made():
            return [f"{value.name}(…)"]
        case list():
            return [text for item in value for text in unknown_in(item)]
        case dict():
            return [text for item in value.values() for text in unknown_in(item)]
    return []


def without_unknown(value: Any) -> Any:
    """Returns a value with null in place of what is not data."""
    match value:
        case Unknown() | Made():
            return None
        case list():
            return [without_unknown(item) for item in value]
        case dict():
            return {key: without_unknown(item) for key, item in value.items()}
    return value
