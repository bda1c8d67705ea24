"""Logs of any length on a page that shows a part: by numbers, by a search, whole as a file; and runs beside each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import Actor
from app.execution.log_store import LogStore, chunk, chunk_id
from app.factory import Store
from app.jobs.filters import EVERY_JOB
from app.services import Services
from tests.conftest import START, csrf
from tests.posting import text
from web.views.executions import LINES

SIZES = (1, 999, 3, 1000, 250, 1000)
TOTAL = sum(SIZES)


@pytest.fixture
def logs(store: Store) -> LogStore:
    """A log in chunks as uneven as they come, of two attempts; line 1,500 is an error, each hundredth a warning."""
    found, number, chunks = LogStore(store.database), 0, []
    for place, size in enumerate(SIZES, 1):
        lines = []
        for _ in range(size):
            number += 1
            level = "ERROR" if number == 1500 else "WARNING" if number % 100 == 0 else "INFO"
            lines.append({"timestamp": START + timedelta(milliseconds=number), "level": level, "message": f"line <{number}>"})
        attempt = 1 if place < 5 else 2
        of_old = {"_id": chunk_id("e", attempt, place), "attempt": attempt, "lines": lines}  # as they were once
        chunks.append(chunk("e", attempt, place, lines) if place % 2 else of_old)
    found.append(chunks)
    found.append([{"_id": chunk_id("f", 1, 1), "attempt": 1, "lines": [{"timestamp": START, "level": "ERROR", "message": "another's"}]}])
    return found


@pytest.mark.parametrize(
    ("first", "limit", "expected"),
    [
        (1, 3, (1, 3)),
        (1000, 2, (1000, 1001)),
        (1001, 4, (1001, 1004)),
        (-3, 3, (TOTAL - 2, TOTAL)),
        (-99_999, 2, (1, 2)),
        (TOTAL, 5, (TOTAL, TOTAL)),
        (1, 99_999, (1, TOTAL)),
    ],
)
def test_a_window_is_what_it_says(logs: LogStore, first: int, limit: int, expected: tuple[int, int]) -> None:
    window = logs.window("e", first, limit)
    numbers = [line["number"] for line in window.lines]
    assert numbers == list(range(expected[0], expected[1] + 1))
    assert [line["message"] for line in window.lines] == [f"line <{n}>" for n in numbers]
    assert (window.first, window.last, window.total) == (*expected, TOTAL)


def test_beyond_the_end_and_of_nothing(logs: LogStore) -> None:
    assert logs.window("e", TOTAL + 5, 10).lines == []
    nothing = logs.window("none", -10, 10)
    assert (nothing.lines, nothing.total, nothing.cursor) == ([], 0, "")
    assert logs.read("e", after=logs.window("e", 1, 1).cursor) == ([], logs.window("e", 1, 1).cursor)


def test_a_search_finds_lines_by_their_numbers(logs: LogStore) -> None:
    found, more = logs.search("e", text="LINE <15", limit=3)
    assert ([line["number"] for line in found], more) == ([15, 150, 151], True)
    assert [line["number"] for line in logs.search("e", levels=("ERROR", "CRITICAL"))[0]] == [1500]
    assert logs.search("e", text=".*") == ([], False), "the words are words and no pattern"
    assert logs.search("e", text="another") == ([], False)
    last = logs.last_of("e", ("ERROR",))
    assert last is not None
    assert (last["number"], last["message"]) == (1500, "line <1500>")
    assert logs.last_of("e", ("CRITICAL",)) is None
    assert sum(1 for _ in logs.all("e")) == TOTAL


def run(store: Store, services: Services, actor: Actor, key: str, minutes: int, status: str, **changes: Any) -> str:
    job = (
        next(iter(services.directory.page(actor, EVERY_JOB).items), None)
        or services.jobs.create(actor, {"name": "j", "template_type": "noop"})[0]
    )
    at = START + timedelta(minutes=minutes)
    store.database["job_executions"].insert_one(
        {
            "_id": key,
            "job_id": job.id,
            "job_name": "j",
            "job_version": 1,
            "template_type": "noop",
            "template_version": 1,
            "status": status,
            "reason": None,
            "queued_at": at,
            "started_at": at,
            "completed_at": at,
            "duration_seconds": 4.0,
            "progress": None,
            "error": None,
            "result": None,
            "triggered_by": "schedule",
            "triggered_by_user": None,
            "parameters": {},
            "attempts": [],
            "retry_of": None,
            "execution_host": "n",
            **changes,
        }
    )
    return key


def numbers(html: str) -> list[int]:
    return [int((node.attributes["id"] or "L0")[1:]) for node in LexborHTMLParser(html).css("#log li")]


def test_a_failed_run_opens_at_the_line_that_tells_why(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, logs: LogStore
) -> None:
    run(store, services, super_admin, "e", 5, "failed", error={"type": "Boom", "message": "it broke", "traceback": ""})
    page = text(browser_client.get("/executions/e"))
    shown = numbers(page)
    assert (len(shown), 1500 in shown) == (LINES, True)
    parsed = LexborHTMLParser(page)
    assert [node.attributes["id"] for node in parsed.css("#log .failing")] == ["L1500"]
    link = parsed.css_first('a[data-key="e"]')
    assert link is not None
    assert link.attributes["href"] == "?line=1500#L1500"
    assert "line &lt;1500&gt;" in page
    assert "<1500>" not in page
    assert numbers(text(browser_client.get("/executions/e?line=1"))) == list(range(1, LINES + 1))
    assert numbers(text(browser_client.get("/executions/e/log?line=99999")))[-1] == TOTAL
    assert numbers(text(browser_client.get("/executions/e/log?line=-5"))) == numbers(text(browser_client.get("/executions/e/log?line=x")))


def test_a_search_in_the_page(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, logs: LogStore) -> None:
    run(store, services, super_admin, "e", 5, "success")
    page = text(browser_client.get("/executions/e/log?q=%3C1500"))
    assert numbers(page) == [1500]
    assert 'href="?line=1500#L1500"' in page
    warned = text(browser_client.get("/executions/e?level=WARNING"))
    assert len(numbers(warned)) == TOTAL // 100
    assert 'name="after"' not in warned, "what is new does not go among what was found"
    assert numbers(text(browser_client.get("/executions/e/log?level=nonsense")))[-1] == TOTAL


def test_the_whole_log_is_a_file(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, logs: LogStore) -> None:
    run(store, services, super_admin, "e", 5, "success")
    answer = browser_client.get("/executions/e/log.txt")
    lines = answer.get_data(as_text=True).splitlines()
    assert len(lines) == TOTAL
    assert lines[1499] == "2026-03-02T12:00:01.500+00:00 ERROR    line <1500>"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="e.log"'
    assert answer.content_type == "text/plain; charset=utf-8"
    assert browser_client.get("/executions/none/log.txt").status_code == 404


def test_live_sends_what_is_new_only_to_the_end_of_a_log(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store, logs: LogStore
) -> None:
    run(store, services, super_admin, "e", 5, "running", live=True, completed_at=None)
    cursor = logs.window("e", 1, 1).cursor
    assert "hx-swap-oob" not in text(browser_client.get("/executions/e/live"))
    assert "hx-swap-oob" not in text(browser_client.get(f"/executions/e/live?after={cursor}&lines={TOTAL}"))
    logs.append([{"_id": chunk_id("e", 2, 7), "attempt": 2, "lines": [{"timestamp": START, "level": "INFO", "message": "more"}]}])
    part = text(browser_client.get(f"/executions/e/live?after={cursor}&lines={TOTAL}"))
    assert f'id="L{TOTAL + 1}"' in part
    assert f'name="lines" value="{TOTAL + 1}"' in part


def test_runs_of_a_job_lead_to_each_other(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    for key, minutes, status in (("a", 1, "success"), ("b", 2, "failed"), ("c", 3, "failed")):
        run(store, services, super_admin, key, minutes, status)
    parsed = LexborHTMLParser(text(browser_client.get("/executions/b")))
    assert [node.attributes["href"] for node in parsed.css(".neighbours a")] == ["/executions/a", "/executions/c", "/executions/b/compare"]
    parsed = LexborHTMLParser(text(browser_client.get("/executions/a")))
    assert [node.attributes["href"] for node in parsed.css(".neighbours a")] == ["/executions/b"]
    assert browser_client.get("/executions/a/compare").status_code == 409


def test_a_failure_is_compared_with_the_last_success(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    good = run(store, services, super_admin, "a", 1, "success", parameters={"seconds": 1}, result={"message": "Done", "n": 4})
    job_id = store.database["job_executions"].find_one({"_id": good})["job_id"]  # type: ignore[index]
    services.jobs.update(super_admin, job_id, {"timeout_seconds": 77, "parameters": {"seconds": 2}})
    run(store, services, super_admin, "b", 2, "failed", parameters={"seconds": 2, "secret": {"$sealed": "canary"}}, job_version=2)
    found = LogStore(store.database)
    for key, said in (("a", "done"), ("b", "no route to host")):
        lines = [{"timestamp": START, "level": "INFO", "message": text_} for text_ in ("start 1", said)]
        found.append([{"_id": chunk_id(key, 1, 1), "attempt": 1, "lines": lines}])
    page = text(browser_client.get("/executions/b/compare"))
    assert "canary" not in page
    parsed = LexborHTMLParser(page)
    assert [node.text().strip() for node in parsed.css("dl.diff dt")] == ["Timeout", "Seconds", "Secret"]
    assert [node.text().split("\n")[0] for node in parsed.css(".compared .only-new .text")] == ["no route to host"]
    assert [node.text() for node in parsed.css(".compared .only-old .text")] == ["done"]


def test_the_list_of_executions_is_narrowed(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    for key, minutes, status, by in (
        ("a", 0, "success", "schedule"),
        ("b", 60 * 24, "failed", "manual"),
        ("c", 60 * 48, "success", "manual"),
    ):
        run(store, services, super_admin, key, minutes, status, triggered_by=by)

    def found(query: str) -> list[str]:
        return [
            (node.attributes["href"] or "").rpartition("/")[2]
            for node in LexborHTMLParser(text(browser_client.get(f"/executions?{query}"))).css("td a.plain")
        ]

    assert found("") == ["c", "b", "a"]
    assert found("by=manual") == ["c", "b"]
    assert found("from=2026-03-03&to=2026-03-03") == ["b"]
    assert found("from=2026-03-03&by=manual&status=success") == ["c"]
    assert found("job=none") == []
    assert found("from=never&to=0000-00-00&by=x&status=y") == ["c", "b", "a"]


def test_a_list_is_narrowed_by_job_template_and_text(
    browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    run(store, services, super_admin, "a", 1, "success", result={"message": "Deleted 12 documents (all)"})
    run(store, services, super_admin, "b", 2, "failed", error={"type": "Boom", "message": "no route to host", "traceback": ""})
    name = services.history.get(super_admin, "a").job_name

    def found(query: str) -> list[str]:
        rows = LexborHTMLParser(text(browser_client.get(f"/executions?{query}"))).css("td a.plain")
        return [(node.attributes["href"] or "").rpartition("/")[2] for node in rows]

    assert found("q=ROUTE") == ["b"]
    assert found("q=12+documents+(all)") == ["a"]
    assert found("q=route&status=success") == []
    assert found("q=.*") == [], "a text is no pattern"
    assert found(f"job={name.upper()}") == found(f"job={services.history.get(super_admin, 'a').job_id}") == ["b", "a"]
    assert found("template=noop") == ["b", "a"]
    assert found("template=webhook_trigger") == []
    page = LexborHTMLParser(text(browser_client.get("/executions")))
    assert [node.text().strip() for node in page.css(".came-out")] == ["no route to host", "Deleted 12 documents (all)"]
    assert "newest 5,000 executions" in text(browser_client.get("/executions?q=x"))


def test_failed_runs_are_run_again_together(browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store) -> None:
    run(store, services, super_admin, "good", 1, "success")
    run(store, services, super_admin, "bad", 2, "failed", error={"type": "Boom", "message": "no", "traceback": ""})
    page = LexborHTMLParser(text(browser_client.get("/executions")))
    assert [box.attributes["value"] for box in page.css("[name=execution]")] == ["bad"], "only what failed is chosen"
    assert len(page.css(".row-end form")) == 2, "each ended run can be run again by itself"
    data = {"csrf_token": csrf(page.html or ""), "execution": ["bad", "gone"], "query": "status=failed"}
    answer = browser_client.post("/executions/retry", data=data)
    assert answer.location == "/executions?status=failed"
    told = text(browser_client.get("/executions"))
    assert "1 run queued" in told
    assert "There is no execution &#39;gone&#39;" in told
    again = store.database["job_executions"].find_one({"retry_of": "bad"})
    assert again is not None
    assert again["triggered_by_user"] == super_admin.email
    assert browser_client.post("/executions/retry", data={"csrf_token": data["csrf_token"]}).status_code == 302
    assert "Select executions first" in text(browser_client.get("/executions"))
