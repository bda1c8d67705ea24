"""Log events: secrets are masked, and every event is declared and documented."""

from __future__ import annotations

import ast
import json
import logging
import re

import pytest
import structlog

from app.events import EVENTS, configure_logging, console_words, get_logger, mask_secrets
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
        text = path.read_text()
        if "log = get_logger(" not in text:  # its `log`, where it has one, is that of a run
            continue
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and getattr(node.func.value, "id", "") == "log"
                and node.args
            ) and isinstance(node.args[0], ast.Constant):
                used.add(node.args[0].value)
    assert used <= set(EVENTS)
    assert set(EVENTS) - used <= {"request"}, "declared and never sent"
    papers = (ROOT / "docs/reference/events.md").read_text().replace("`", "")
    assert [name for name, words in EVENTS.items() if f"| {name} | {words} |" not in papers] == []


def lines(capsys: pytest.CaptureFixture[str], level: str = "INFO") -> list[str]:
    """What the console shows of some events."""
    structlog.contextvars.clear_contextvars()  # of requests that earlier tests have sent
    configure_logging(level=level, style="console")
    try:
        log = get_logger("app.place")
        log.info("mongod.started", pid=4711, seconds=0.6)
        log.info("audit.written", seq=1, action="job.create", seal="ab12")
        log.warning("sample.not_made", reason="There are\x1b[31m jobs")
        logging.getLogger("library").warning("It says %s", "so")
        try:
            raise ValueError("no number")
        except ValueError:
            log.exception("tick.failed", tick="dispatch")
    finally:
        configure_logging(level="INFO", style="json")
    return capsys.readouterr().err.splitlines()


def test_the_console_shows_words_and_fields_without_what_only_programs_need(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys)
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in shown[:4])
    assert [line[9:] for line in shown[:4]] == [
        "info    The private MongoDB has started  seconds=0.6",
        'warning JOBWRIGHT_SAMPLE is set, but the sample data was not created  reason="There are\\u001b[31m jobs"',
        "warning It says so",
        "error   A periodic task failed  tick=dispatch",
    ]
    assert shown[4] == "Traceback (most recent call last):"
    assert shown[-1] == "ValueError: no number"


def test_the_console_hides_nothing_at_the_level_debug(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, "DEBUG")
    assert shown[0].endswith("The private MongoDB has started (mongod.started)  pid=4711 seconds=0.6 logger=app.place")
    assert "seal=ab12" in shown[1]


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_event_has_words(event: str) -> None:
    words = console_words(event)
    assert 10 < len(words) < 120
    assert words[0].isupper()


def test_programs_get_json_unless_a_person_looks(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="INFO", style="auto")  # standard error is no terminal here
    get_logger("x").info("mongod.started", pid=1)
    assert json.loads(capsys.readouterr().err)["pid"] == 1
