"""Log events: secrets are masked, and every event is declared and documented."""

from __future__ import annotations

import ast

from app.events import EVENTS, mask_secrets
from tests.unit.project.sources import ROOT, sources


def test_a_field_that_sounds_secret_is_never_logged() -> None:
    assert mask_secrets(None, "", {"event": "x", "api_token": "jw_1", "Password": "p", "path": "/"}) == {
        "event": "x",
        "api_token": "***",
        "Password": "***",
        "path": "/",
    }


def test_code_uses_only_events_that_are_declared_and_the_docs_have_each() -> None:
    used = set()
    for path in sources("app", "web", "migrations_scripts"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and getattr(node.func.value, "id", "") == "log"
                and node.args
            ) and isinstance(node.args[0], ast.Constant):
                used.add(node.args[0].value)
    assert used <= set(EVENTS)
    assert set(EVENTS) - used <= {"request"}, "declared and never sent"
    papers = (ROOT / "docs/reference/events.md").read_text()
    assert [name for name in EVENTS if f"`{name}`" not in papers] == []
