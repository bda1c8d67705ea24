"""Each action that is recorded has a title on the audit page, and each title belongs to an action."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from web.views.audit import ACTION_WORDS

ROOT = Path(__file__).parents[3] / "app"
CODE = re.compile(r"[a-z]+\.[a-z_]+")


def _codes(tree: ast.AST) -> Iterator[str]:
    """The texts of a module that could be actions. Names of log events are none."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Attribute) and getattr(tree.func.value, "id", "") == "log":
        return
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str) and CODE.fullmatch(tree.value):
        yield tree.value
    for inner in ast.iter_child_nodes(tree):
        yield from _codes(inner)


def _recorded(module: ast.Module) -> Iterator[str]:
    """The actions that a module gives to the audit trail, or to a function that does so; where it gives a variable to the trail, all texts
    of the module that could be an action."""
    for call in ast.walk(module):
        yield from (code for word in getattr(call, "keywords", ()) if word.arg == "action" for code in _codes(word.value))
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in {"action", "refused"}):
            continue
        if not ast.unparse(call.func.value).endswith("audit"):
            continue
        action = call.args[1]
        yield from _codes(action) if isinstance(action, ast.Constant) else _codes(module)


def test_each_recorded_action_has_a_title_and_each_title_an_action() -> None:
    recorded = {code for path in ROOT.rglob("*.py") for code in _recorded(ast.parse(path.read_text()))}
    assert len(recorded) > 50
    assert recorded == set(ACTION_WORDS)
