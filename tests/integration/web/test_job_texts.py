"""Colours, progress bars, direction marks and controls in what jobs write: on each page, in searches, downloads, mails and commands."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.clock import ManualClock
from app.config import Settings
from app.execution.log_store import LogStore, chunk, chunk_id
from app.factory import Store
from app.jobs.filters import EVERY_JOB
from app.jobs.model import RetryOn
from app.queue.model import AttemptError, Outcome, Status
from app.services import Services
from tests.builders.mail import Inbox, mail_server
from tests.commands import jobwright
from tests.conftest import START, Api
from tests.integration.notification.test_mail import House
from tests.integration.web.test_logs import run
from tests.posting import text

HOSTILE = "\x1b[1;31mEr\x1b[0mror\x1b]0;owned\x07 \u202egnp.exe\u202c \x00\x9b31m\u2066x \u2028y\u200b 10 %\r"
SHOWN = "Error ⟨U+202E⟩gnp.exe⟨U+202C⟩ ⟨U+0000⟩⟨U+2066⟩x ⟨U+2028⟩y⟨U+200B⟩ 10 %"
# What reaches no page, mail or terminal.
KEY = HOSTILE.replace("\0", "")  # a key in the store holds no NUL
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def hurt(services: Services, super_admin: Actor, store: Store) -> str:
    """A failed run, after one that went well, with such texts in all that a job may say."""
    error = {"type": f"E{HOSTILE}", "message": HOSTILE, "kind": "error"}
    run(store, services, super_admin, "a", 1, "success", result={"message": HOSTILE, "n": 1, KEY: HOSTILE, "deep": [HOSTILE]})
    attempt = {"number": 1, "status": "failed", "started_at": START, "completed_at": START, "error": error, "host": "n", "worker": "w"}
    run(
        store,
        services,
        super_admin,
        "b",
        2,
        "failed",
        error={**error, "traceback": f"Traceback\n  {HOSTILE}"},
        attempts=[attempt],
        result={"message": HOSTILE, "text": HOSTILE},
        progress={"done": 1, "total": 2, "note": HOSTILE},
        parameters={KEY: HOSTILE},
    )
    lines = [HOSTILE, "plain", "\x1b[32mgre\x1b[1men\x1b[0m done", "0 %\r50 %\r100 %", "U\u0308n"]
    for key in ("a", "b"):
        rows = [
            {"timestamp": START + timedelta(seconds=n), "level": "ERROR" if n == 0 else "INFO", "message": one}
            for n, one in enumerate(lines)
        ]
        LogStore(store.database).append([chunk(key, 1, 1, rows)])
    store.database["execution_logs"].insert_one(
        {"_id": chunk_id("b", 1, 2), "attempt": 1, "lines": [{"timestamp": START, "level": "INFO", "message": "of old"}]}
    )
    job = next(iter(services.directory.page(super_admin, EVERY_JOB).items))
    store.database["dynamic_jobs"].update_one({"_id": job.id}, {"$set": {"description": HOSTILE, "last_status": "failed"}})
    return str(job.id)


def test_no_page_lets_a_text_turn_or_break_what_is_around_it(browser_client: FlaskClient, hurt: str) -> None:
    for path in (
        "/",
        "/jobs",
        f"/jobs/{hurt}",
        "/executions",
        "/executions/a",
        "/executions/b",
        "/executions/b/compare",
        "/executions/b/log?q=error",
        f"/jobs/{hurt}/revisions",
        "/audit",
        "/executions/b/live?after=&lines=0",
    ):
        answer = browser_client.get(path)
        assert answer.status_code == 200, path
        found = RAW.search(text(answer).replace("\r", ""))  # a carriage return is a line break to HTML
        assert found is None, (path, found, text(answer)[found.start() - 200 : found.start() + 50] if found else "")


def test_a_log_is_shown_as_a_terminal_shows_it(browser_client: FlaskClient, hurt: str) -> None:
    page = LexborHTMLParser(text(browser_client.get("/executions/b")))
    lines = page.css("#log .text")
    assert [line.text() for line in lines] == [SHOWN, "plain", "green done", "100 %", "U\u0308n", "of old"]
    assert {line.attributes["dir"] for line in lines} == {"auto"}
    assert [(one.text(), one.attributes["class"]) for one in lines[0].css("span[class]")][1:3] == [
        ("Er", "t-bold t-ink-1"),
        ("⟨U+202E⟩", "unseen"),
    ]
    assert [(one.text(), one.attributes["class"]) for one in lines[2].css("span[class]")][1:] == [
        ("gre", "t-ink-2"),
        ("en", "t-bold t-ink-2"),
    ]
    assert page.css_first("#summary .error-text").text() == SHOWN
    assert page.css_first("#summary .error-text .t-ink-1").text() == "Er"


def test_a_search_finds_what_is_seen(browser_client: FlaskClient, store: Store, hurt: str) -> None:
    logs = LogStore(store.database)
    found = lambda words: [line["number"] for line in logs.search("b", text=words)[0]]
    assert [found(words) for words in ("error", "GREEN DONE", "100 %", "50 %", "[32m", "owned", "\u00dcn", "of old", "U+202E")] == [
        [1],
        [3],
        [4],
        [],
        [],
        [],
        [5],
        [6],
        [1],
    ]
    assert [line["message"] for line in logs.search("b", text="green")[0]] == ["\x1b[32mgre\x1b[1men\x1b[0m done"]
    page = LexborHTMLParser(text(browser_client.get("/executions/b/log?q=green+done")))
    assert [line.text() for line in page.css("#log .text")] == ["green done"]


def test_programs_and_downloads_get_what_was_written(api: Api, browser_client: FlaskClient, hurt: str) -> None:
    logs = api("GET", "/api/admin/job-executions/b/logs").json["logs"]
    assert (logs[0]["message"], set(logs[0])) == (HOSTILE, {"timestamp", "level", "message", "attempt"})
    assert "\x1b[32mgre\x1b[1men\x1b[0m done" in text(browser_client.get("/executions/b/log.txt"))


def test_a_comparison_shows_the_success_as_the_good_side(browser_client: FlaskClient, store: Store, hurt: str) -> None:
    logs = LogStore(store.database)
    logs.remove(["a", "b"])
    for key, words in (("a", "\x1b[32mall well\x1b[0m"), ("b", "no route")):
        rows = [{"timestamp": START, "level": "INFO", "message": one} for one in (f"\x1b[3{len(words) % 7}mstart\x1b[0m", words)]
        logs.append([chunk(key, 1, 1, rows)])
    page = LexborHTMLParser(text(browser_client.get("/executions/b/compare")))
    assert [node.text() for node in page.css(".with-worse .only-old .text")] == ["all well"]
    assert [node.text() for node in page.css(".with-worse .only-new .text")] == ["no route"], "a colour alone makes no other line"
    assert [node.text() for node in page.css(".compared .sign")] == [" ", "last success", "this run"]
    assert len(page.css(".with-worse .side-old")) == len(page.css(".with-worse .side-new")) > 0
    assert page.css("del, ins") == []
    store.database["job_executions"].update_one({"_id": "b"}, {"$set": {"status": "success", "error": None}})
    page = LexborHTMLParser(text(browser_client.get("/executions/b/compare")))
    assert page.css(".with-worse") == []


def test_a_mail_has_one_line_of_subject_and_nothing_that_is_not_seen(
    house: House, super_admin: Actor, store: Store, tmp_path: Path
) -> None:
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        house.services.connections.create(super_admin, name="Mail", kind="smtp", settings=grant.settings)
        ended = house.end(
            Outcome(status=Status.FAILED, error=AttemptError(type="Boom\nBcc: x@example.com", message=HOSTILE, kind=RetryOn.ERROR))
        )
        store.database["job_executions"].update_one({"_id": ended}, {"$set": {"job_name": f"{HOSTILE}\r\nBcc: eve@example.com"}})
        assert house.tell() == 1
    message: Any = message_from_bytes(inbox.mails[0][1], policy=policy.default)
    assert message["Subject"] == f"{SHOWN.replace('Error', 'Error', 1)} Bcc: eve@example.com failed".replace("  ", " ")
    assert message["Bcc"] is None
    plain, html = (message.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html"))
    assert RAW.search(plain) is None
    assert RAW.search(html) is None
    assert f"Boom Bcc: x@example.com: {SHOWN}" in plain


@pytest.fixture
def house(store: Store, services: Services, settings: Settings, super_admin: Actor, clock: ManualClock) -> House:
    return House(store, services, settings, super_admin, clock)


def test_no_command_prints_a_command_to_the_terminal(services: Services, store: Store, hurt: str, mongod: str, tmp_path: Path) -> None:
    database = store.database
    database["dynamic_jobs"].update_one({"_id": hurt}, {"$set": {"name": HOSTILE, "tags": [HOSTILE], "schedule_error": HOSTILE}})
    database["users"].update_many({}, {"$set": {"name": HOSTILE}})
    where = {"MONGODB_URI": mongod, "JOBWRIGHT_DATABASE": database.name, "JOBWRIGHT_SECRET_KEY": services.settings.secret_key}
    environment = {**os.environ, **where, "JOBWRIGHT_DATA_DIR": str(tmp_path)}
    file = tmp_path / "jobs.yaml"
    for words in (("export",), ("export", "--format", "json"), ("doctor",), ("doctor", "--json"), ("user", "list"), ("token", "list")):
        done = jobwright(environment, *words)
        found = RAW.search(done.stdout)
        assert found is None, (words, found, done.stdout[max(0, found.start() - 100) : found.start() + 20] if found else "")
        if words == ("export",):
            file.write_text(done.stdout)
    assert RAW.search(jobwright(environment, "plan", str(file)).stdout) is None
    file.write_text('jobwright: 1\njobs: [{name: "\\e[31mx\\u202e", template_type: "\\e[2J", "odd\\e[1m": 1}]\n')
    refused = jobwright(environment, "plan", str(file))
    assert RAW.search(refused.stdout + refused.stderr) is None
    assert "must be one line without control characters, but contains escape (U+001B)" in refused.stdout
