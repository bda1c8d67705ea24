"""Pages in another language: which one, that it is complete on each page, and what is written the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from gettext import NullTranslations
from typing import Any

import pytest
from babel.messages.pofile import read_po
from flask import Flask
from flask.testing import FlaskClient
from selectolax.lexbor import LexborHTMLParser

from app.audit.model import SYSTEM, Actor
from app.errors import ApprovalNeeded
from app.execution.log_store import LogStore, chunk_id
from app.factory import Store
from app.jobs.filters import JobFilter
from app.jobtemplates.catalogue import Catalogue
from app.notification.delivery import DeliveryFilter
from app.queue.model import AttemptError, Outcome, Status
from app.services import Services
from app.triggers import Trigger
from tests.builders.queue import Queue
from tests.conftest import Api, ManualClock, csrf
from web import language
from web.filters import times
from web.forms import form
from web.views import schedule_form, upcoming
from web.views.help import topics_in

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.8"}
HOURLY = {"type": "cron", "expression": "0 * * * *"}


def text(answer: Any, status: int = 200) -> str:
    page: str = answer.get_data(as_text=True)
    assert answer.status_code == status, page[:2000]
    return page


# -- which language ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH", "de"),
        ("fr,de;q=0.5", "de"),
        ("en-GB,de", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("x" * 5000, "en"),
        ("de;q=zero,;;,", "en"),
    ],
)
def test_strangers_are_spoken_to_as_their_browser_asks(app: Flask, header: str, expected: str) -> None:
    page = text(app.test_client().get("/sign-in", headers={"Accept-Language": header}))
    assert f'<html lang="{expected}">' in page
    assert ("Anmelden" in page) == (expected == "de")


def test_the_account_says_the_language_and_the_browser_where_it_says_none(browser_client: FlaskClient) -> None:
    token = csrf(text(browser_client.get("/account")))

    def save(wanted: str) -> Any:
        return browser_client.post("/account/reading", data={"csrf_token": token, "zone": "", "language": wanted}, headers=GERMAN)

    assert "Übersicht" in text(browser_client.get("/", headers=GERMAN))
    assert save("en").status_code == 302
    assert '<html lang="en">' in text(browser_client.get("/", headers=GERMAN))
    assert save("de").status_code == 302
    page = text(browser_client.get("/account"))
    assert "Gespeichert" in page, "the message is in the language that was just chosen"
    assert '<option value="de" lang="de" selected>Deutsch' in page
    wrong = text(save("tlh"), 422)
    assert "muss eines von diesen sein: en, de" in wrong
    assert save("").status_code == 302
    assert '<html lang="en">' in text(browser_client.get("/"))


def test_numbers_times_and_plurals_are_written_as_the_language_does(
    browser_client: FlaskClient, services: Services, super_admin: Actor, clock: ManualClock
) -> None:
    for place in range(2):
        services.jobs.create(super_admin, {"name": f"job {place}", "template_type": "test_scheduler", "schedule": HOURLY})
    page = text(browser_client.get("/jobs", headers=GERMAN))
    assert "Jede Stunde" in page
    assert re.search(r'<time [^>]*title="02.03.2026 13:00:00 UTC">in 1 h</time>', page), "exact on hover"
    posted = {"csrf_token": csrf(page), "query": "", "action": "disable"}
    assert "2 Jobs ausschalten?" in text(browser_client.post("/jobs/bulk", data={**posted, "all": "1"}, headers=GERMAN))
    first, _ = services.directory.page(super_admin, JobFilter()).items
    assert "1 Job ausschalten?" in text(browser_client.post("/jobs/bulk", data={**posted, "job": first.id}, headers=GERMAN))
    filled = {"s.type": "interval", "s.interval": "1e9", "csrf_token": csrf(page)}
    assert "muss eine Dauer sein" in text(browser_client.post("/jobs/schedule-preview", data=filled, headers=GERMAN))
    many = {"csrf_token": csrf(page), "name": "x" * 61, "query": "state=on"}
    browser_client.post("/jobs/views", data=many, headers=GERMAN)
    assert "Der Name muss 1 bis 60 Zeichen haben" in text(browser_client.get("/jobs", headers=GERMAN))
    calendar = text(browser_client.get("/calendar?view=day&on=2026-03-09", headers=GERMAN))
    assert "Montag, 9. März 2026" in calendar


def test_records_and_rest_answers_stay_english(
    api: Api, browser_client: FlaskClient, services: Services, super_admin: Actor, store: Store
) -> None:
    wrong = api("POST", "/api/admin/scheduler-jobs", {"name": "one", "template_type": "nothing"}, Accept_Language="de").get_json()
    assert "is not an available template: 'nothing'" in wrong["errors"][0]["detail"]
    token = csrf(text(browser_client.get("/jobs")))
    job, _ = services.jobs.create(super_admin, {"name": "one", "template_type": "test_scheduler", "schedule": HOURLY})
    services.connections.create(super_admin, name="db", kind="secret", settings={"value": "geheim"})
    for address in (f"/jobs/{job.id}/disable", f"/jobs/{job.id}/delete", "/connections/nothing/delete"):
        browser_client.post(address, data={"csrf_token": token}, headers=GERMAN)
    events = list(store.database["audit_log"].find({}, {"_id": 0}))
    assert {"job.disable", "job.delete"} <= {event["action"] for event in events}
    assert not re.search("ausgeschaltet|gelöscht|gibt es nicht", repr(events))


# -- complete ---------------------------------------------------------------------------------------------------------


class Blots(NullTranslations):
    """A language without letters: what is left of a page in letters was never asked of a catalogue."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()
        for folder in (language.LOCALES, language.TRIGGER_LOCALES):
            with (folder / "de.po").open("rb") as file:
                self._known |= {one.id[0] if isinstance(one.id, tuple) else one.id for one in read_po(file, locale="de")}

    def gettext(self, message: str) -> str:
        return (
            message
            if message not in self._known
            else re.sub(r"%\(\w+\)s|\{[^{}]*\}|\{\{|\}\}|[^\W\d_]", lambda found: found[0] if len(found[0]) > 1 else "·", message)
        )

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1) if msgid1 in self._known else msgid1


# What is no sentence: code, times, what people, programs and the world wrote, and their own names for themselves.
WRITTEN = (
    "code, pre, kbd, time, script, style, textarea, option[lang], .exact, .clock, .brand, .who, .prose, .help-topics, datalist, .log, "
    ".message-title, #zones, #country, .on-this-page li, .help-hits, .error-text, .value, .parameters dd, .diff dt, .bench-form, #sample, #locale, .icons label"
)
SHOWN = ("title", "placeholder", "aria-label", "alt", "data-label", "data-light", "data-picked")
SAME_EVERYWHERE = re.compile(
    # addresses, hosts, zones, codes of actions, of scopes and of levels, units, what programs are called, expressions,
    # and days (CLDR's own words)
    r"[\w.]+@[\w.]+|Jobwright|Etc/UTC|UTC|Europe/Berlin|https?:\S+|127\.0\.0\.1|Werkzeug/\S+|JOBWRIGHT_\w+|\bmin\b|\bms\b|YAML|JSON|CSV|'nothing'|execution\.error_type == \"Timeout\""
    r"|^\w+\.\w+(?: 26)?$|^(?:admin|ada|system)$|^admin, enable, read, run, services, write$|^(?:Critical|Debug|Error|Info|Warning)\b|^(?:GET|POST|PUT|PATCH|DELETE)$|nightly_cleanup"
    r"|^(?:Mo|Diens|Mitt|Donners|Frei|Sams|Sonn)\w*tag$|^\w\w\.$|^Mittwoch$"
)


def letters_in(page: str, allowed: frozenset[str] = frozenset()) -> set[str]:
    """The texts of a page that hold letters, without what is written the same everywhere."""
    found = LexborHTMLParser(page)
    for node in found.css(WRITTEN):
        node.decompose()
    texts = [one.text(deep=False) for one in found.css("title, body *")]
    texts += [value for one in found.css("body *") for name, value in one.attributes.items() if name in SHOWN and value]
    told = {SAME_EVERYWHERE.sub("", " ".join((one or "").split())) for one in texts}
    return {one for one in told if re.search(r"[^\W\d_]{2}", one)} - allowed


@pytest.fixture
def blots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every catalogue is one of blots; those by key have a test of their own that they are complete."""
    blotted = Blots()
    monkeypatch.setattr(language, "_catalogue", lambda name: blotted)
    for module in (form, times, schedule_form, upcoming):
        for name in ("words_of", "duration_words"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, _words if name == "words_of" else lambda *_: "·")
    monkeypatch.setattr(Trigger, "words", lambda *_: "·")


def _words(*_: Any) -> Callable[..., str]:
    return lambda *_args, **_values: "·"


@pytest.fixture
def filled(services: Services, super_admin: Actor, admin: Actor, store: Store, clock: ManualClock) -> dict[str, str]:
    """Something of everything, under names without letters."""
    make = lambda name, **changes: services.jobs.create(
        super_admin, {"name": name, "template_type": "test_scheduler", "schedule": HOURLY, "tags": ["1"], "group": "2", **changes}
    )[0]
    services.calendars.create(super_admin, "3", {"timezone": "UTC", "dates": [{"from": "2026-03-05", "note": "4"}]})
    job, paused = make("5", schedule={**HOURLY, "calendars": ["3"], "jitter_seconds": 60}), make("6", enabled=False)
    services.pausing.pause(super_admin, job.id, {"reason": "7"})
    services.pausing.resume(super_admin, job.id)
    connection = services.connections.create(super_admin, name="8", kind="secret", settings={"value": "9"})
    definition = {"name": "10", "description": "11", "category": "12", "icon": "zap", "parameters": {}}
    services.templates.derive(super_admin, {"type": "t_1", "base": "test_scheduler", "definition": definition})
    services.templates.publish(super_admin, "t_1")
    make("13", template_type="t_1")
    row = services.templates.get(super_admin, "t_1")
    services.templates.save_draft(super_admin, "t_1", {**definition, "name": "14"}, revision=row["revision"])
    services.presets.save(super_admin, "test_scheduler", "15", {"seconds": 1}, shared=True)
    services.preferences.save_view(super_admin, "16", "tag=1")
    services.tokens.create(SYSTEM, email=super_admin.email, name="17")
    executions, logs = Queue(store.database), LogStore(store.database)
    ids = []
    for status in (Status.SUCCESS, Status.FAILED):
        ids.append(services.runs.run_now(super_admin, job.id).id)
        (attempt,) = executions.claim_due(owner="18", host="19", now=clock.now(), lease=timedelta(seconds=30), limit=5)
        line = {"timestamp": clock.now(), "level": "ERROR", "message": "20"}
        logs.append([{"_id": chunk_id(attempt.execution_id, 1, 1), "attempt": 1, "lines": [line] * 3}])
        clock.advance(70)
        error = AttemptError(type="21", message="22", traceback="23") if status is Status.FAILED else None
        executions.finish([(attempt, Outcome(status=status, error=error, result={"message": "24", "25": True}), None)], now=clock.now())
    services.connections.create(super_admin, name="27", kind="mongodb", settings={"uri": "mongodb://localhost", "database": "d"})
    with pytest.raises(ApprovalNeeded) as needed:
        services.jobs.create(admin, {"name": "26", "template_type": "database_cleanup", "schedule": HOURLY, "parameters": CLEANUP})
    asked = services.approvals.ask(admin, needed.value.ask)
    address = services.inbound.create(super_admin, job.id, {"name": "28", "proof": "github"}).address
    channel = services.channels.create(super_admin, name="29", type="webhook", settings={"url": "http://127.0.0.1:1/30"})
    services.channels.test(super_admin, channel["_id"])
    (delivery,), _ = services.deliveries.page(super_admin, DeliveryFilter(), limit=1)
    team = {"name": "31", "to": ["31@example.com"], "every": "weekly", "at": "07:00", "timezone": "UTC"}
    ends_at = (services.clock.now() + timedelta(hours=1)).isoformat()
    mute = services.mutes.create(super_admin, {"reason": "31", "ends_at": ends_at, "rules": ["32"], "severities": ["critical"]})
    return {
        "digest": services.digests.create(super_admin, team).id,
        "mute": mute.id,
        "address": address.id,
        "job": job.id,
        "off": paused.id,
        "good": ids[0],
        "bad": ids[1],
        "connection": connection["_id"],
        "channel": channel["_id"],
        "delivery": delivery.id,
        "asked": asked["_id"],
        "user": super_admin.id,
    }


CLEANUP = {"connection": "27", "collection": "c", "condition": {"a": 1}}
ADDRESSES = [
    "/",
    "/jobs",
    "/jobs?tag=1",
    "/jobs?q=nothing&state=broken",
    "/jobs/import",
    "/jobs/new?template=test_scheduler",
    "/jobs/new?template=report_generation",
    "/jobs/new?template=database_cleanup",
    "/jobs/new?template=webhook_trigger",
    "/jobs/new?template=backup",
    "/jobs/new?template=message_command",
    "/jobs/{job}",
    "/jobs/{off}",
    "/jobs/{job}/edit",
    "/jobs/{job}/pause",
    "/jobs/{job}/backfill",
    "/jobs/{job}/inbound",
    "/jobs/{job}/inbound/new",
    "/jobs/{job}/inbound/{address}",
    "/jobs/{job}/revisions",
    "/jobs/{job}/run-with",
    "/executions",
    "/executions?status=failed",
    "/executions?status=running",
    "/executions/{good}",
    "/executions/{bad}",
    "/executions/{bad}/compare",
    "/executions/{bad}/retry-with",
    "/executions/{bad}/log?q=20",
    "/calendar",
    "/calendar?view=week",
    "/calendar?view=day",
    "/templates",
    "/templates?q=nothing",
    "/templates/test_scheduler",
    "/templates/t_1",
    "/templates/t_1/draft",
    "/templates/t_1/publish",
    "/templates/t_1/impact/1",
    "/templates/t_1/standing",
    "/templates/test_scheduler/derive",
    "/templates/import",
    "/templates/preview",
    "/approvals",
    "/approvals?state=all",
    "/approvals?state=refused",
    "/approvals/{asked}",
    "/connections",
    "/connections/{connection}",
    "/connections/new?kind=mongodb",
    "/connections/new?kind=smtp",
    "/connections/new?kind=http",
    "/connections/new?kind=nats",
    "/connections/new?kind=sql",
    "/connections/new?kind=file_store",
    "/connections/new?kind=secret",
    "/channels",
    "/channels/{channel}",
    "/channels/new",
    "/channels/new?type=mail",
    "/digests",
    "/digests/new",
    "/digests/mine",
    "/digests/mine/preview",
    "/digests/{digest}",
    "/digests/{digest}/preview",
    "/mutes",
    "/mutes/new",
    "/mutes/{mute}",
    "/announcements",
    "/deliveries",
    "/deliveries?status=sent",
    "/incidents",
    "/incidents?state=resolved",
    "/rules",
    "/rules/new",
    "/calendars",
    "/calendars/new",
    "/calendars/3",
    "/maintenance",
    "/users",
    "/users/new",
    "/users/{user}",
    "/users/{user}/tokens/new",
    "/audit",
    "/audit?actor=nobody",
    "/account",
    "/account/second-factor",
    "/system",
    "/help",
    "/palette?q=1",
    "/palette",
    "/jobs/nothing",
    "/nothing",
    "/templates/nothing",
]


def test_every_page_asks_a_catalogue_for_all_that_it_says(
    browser_client: FlaskClient, filled: dict[str, str], blots: None, catalogue: Catalogue
) -> None:
    ours = [one for one in catalogue.code() if type(one.template).__module__.startswith("templates_lib.")]
    tests_own = frozenset({words for one in catalogue.code() if one not in ours for words in (one.name, one.description)})
    left: dict[str, set[str]] = {}
    for address in ADDRESSES:
        page = browser_client.get(address.format(**filled), headers=GERMAN)
        assert page.status_code in {200, 404}, address
        if found := letters_in(page.get_data(as_text=True), tests_own):
            left[address] = found
    assert left == {}


# -- help -------------------------------------------------------------------------------------------------------------


def shape(text: str) -> dict[str, int]:
    """What a translation has as often as what it translates."""
    marks = {
        "headings": r"^#+ ",
        "items": r"^(?:- |\d+\. )",
        "rows": r"^\|",
        "code": r"^```",
        "terms": r"`[^`\n]+`",
        "links": r"\]\([^)]+\)",
        "strong": r"\*\*[^*]+\*\*",
        "paragraphs": r"\n\n",
    }
    return {name: len(re.findall(pattern, text, re.MULTILINE)) for name, pattern in marks.items()}


TRANSLATED = [name for name, one in topics_in("de").items() if one.language == "de"]


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_translated_topic_keeps_up_with_its_original(name: str) -> None:
    english, german = topics_in("en")[name].text, topics_in("de")[name].text
    assert shape(german) == shape(english)
    pages = re.compile(r"\]\(([^)#]*)")  # tests/unit/web/test_help.py checks the anchors
    assert pages.findall(german) == pages.findall(english)
    names = re.compile(r"JOBWRIGHT_\w+|`/[\w/-]+`|`jobwright [a-z]+|`[A-Z]{3,} /\S+`")
    assert sorted(names.findall(german)) == sorted(names.findall(english))


def test_what_is_there_in_english_only_says_so(browser_client: FlaskClient) -> None:
    assert {"tutorial/first-job", "how-to/schedules", "how-to/find-what-broke"} <= set(TRANSLATED)
    page = text(browser_client.get("/help/how-to/schedules", headers=GERMAN))
    assert "Wählen, wann Jobs laufen" in page
    assert "nur auf Englisch" not in page
    assert '<article class="prose">' in page
    reference = text(browser_client.get("/help/reference/rest", headers=GERMAN))
    assert "nur auf Englisch" in reference
    assert '<article class="prose" lang="en">' in reference
    english = text(browser_client.get("/help/how-to/schedules"))
    assert "Choose when jobs run" in english
    assert "in English only" not in english
