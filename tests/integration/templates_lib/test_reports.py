"""Reports: real questions to mongod and SQLite, files in a store, mail to a real SMTP server."""

from __future__ import annotations

import csv
import io
import sqlite3
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128
from pypdf import PdfReader
from selectolax.lexbor import LexborHTMLParser

from app.jobtemplates.catalogue import Catalogue
from templates_lib.base import Cancelled, ConnectionGrant, TemplateError
from templates_lib.report_generation import template
from templates_lib.report_generation.tables import Column, Table, columns_of, titled, written
from templates_lib.report_generation.template import ReportGeneration
from tests.builders.mail import Inbox, mail_server
from tests.running import NOW, Ctx, Data

BY_COUNTRY = [
    {"$match": {"at": {"$gte": "1 month ago"}}},
    {"$group": {"_id": "$country", "orders": {"$sum": 1}, "share": {"$avg": "$share"}}},
    {"$sort": {"_id": 1}},
]
MONGO = {"connection": "db", "collection": "orders", "pipeline": BY_COUNTRY}
SQL = {
    "database": "ledger",
    "statement": "SELECT day, cents FROM bookings WHERE day >= :since ORDER BY day",
    "values": {"since": "2026-08-02"},
}
COLUMNS = [
    {"field": "_id", "title": "Land"},
    {"field": "orders", "title": "Bestellungen", "format": "number"},
    {"field": "share", "format": "percent"},
]


@pytest.fixture
def world(data: Data, ctx: Ctx, tmp_path: Path) -> Ctx:
    rows = [("de", 1), ("de", 2), ("<b>é</b>", 3), ("=1+1", 4), ("this job", 400)]
    data["orders"].insert_many([{"_id": n, "country": c, "share": 0.125, "at": NOW - timedelta(days=d)} for n, (c, d) in enumerate(rows)])
    ledger = sqlite3.connect(tmp_path / "ledger.db")
    ledger.execute("CREATE TABLE bookings (day TEXT, cents NUMERIC)")
    ledger.executemany("INSERT INTO bookings VALUES (?, ?)", [("2026-08-01", 5), ("2026-08-02", 1250), ("2026-08-03", None)])
    ledger.commit()
    ledger.close()
    ctx.grants["ledger"] = ConnectionGrant("ledger", "sql", {"url": f"sqlite:///{tmp_path / 'ledger.db'}", "read_only": True})
    return ctx


def report(**changes: Any) -> dict[str, Any]:
    sections = [
        {
            "title": "Nach Land",
            "question": MONGO,
            "columns": COLUMNS,
            "chart": {"kind": "bar", "label": "_id", "values": ["orders"]},
            "text": "Nur **neue**.",
        },
        {"title": "Buchungen", "question": SQL},
    ]
    return {
        "title": "Monat – Überblick",
        "intro": "Guten *Morgen*.",
        "sections": sections,
        "formats": ["html", "pdf", "csv"],
        "destination": {"connection": "files", "path": "reports/{date}"},
        **changes,
    }


def files(tmp_path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in (tmp_path / "store" / "reports").iterdir()}


def test_answers_become_tables_and_charts_in_each_format(world: Ctx, tmp_path: Path) -> None:
    result = ReportGeneration().run(report(), world())
    assert result.data["sections"] == [{"title": "Nach Land", "rows": 3, "more": False}, {"title": "Buchungen", "rows": 2, "more": False}]
    assert result.message == "Monat – Überblick: 5 rows, 4 files"
    made = files(tmp_path)
    assert sorted(made) == ["2026-08-31-1-nach-land.csv", "2026-08-31-2-buchungen.csv", "2026-08-31.html", "2026-08-31.pdf"]
    assert {one["path"]: one["bytes"] for one in result.data["files"]} == {
        f"reports/{name}": len(content) for name, content in made.items()
    }
    page = LexborHTMLParser(made["2026-08-31.html"].decode())
    cells = [[one.text() for one in row.css("td")] for row in page.css("tbody tr")]
    assert cells == [
        ["<b>é</b>", "1", "12.5 %"],
        ["=1+1", "1", "12.5 %"],
        ["de", "2", "12.5 %"],
        ["2026-08-02", "1,250"],
        ["2026-08-03", ""],
    ]
    assert [one.text() for one in page.css("th")] == ["Land", "Bestellungen", "Share", "Day", "Cents"]
    figure = page.css_first("figure[role=img] svg")
    assert figure is not None
    assert (page.css_first("b"), len(page.css("strong"))) == (None, 1)
    rows = list(csv.reader(io.StringIO(made["2026-08-31-1-nach-land.csv"].decode())))
    assert rows == [["Land", "Bestellungen", "Share"], ["<b>é</b>", "1", "0.125"], ["'=1+1", "1", "0.125"], ["de", "2", "0.125"]]
    pdf = PdfReader(io.BytesIO(made["2026-08-31.pdf"]))
    text = "\n".join(one.extract_text() for one in pdf.pages)
    assert all(words in text for words in ("Monat – Überblick", "Bestellungen", "<b>é</b>", "=1+1", "1,250", "12.5 %"))
    assert (pdf.metadata or {}).get("/Title") == "Monat – Überblick"


def test_the_same_report_gives_the_same_bytes(world: Ctx, tmp_path: Path) -> None:
    ReportGeneration().run(report(), world())
    first = files(tmp_path)
    ReportGeneration().run(report(), world())
    assert files(tmp_path) == first


@pytest.mark.parametrize("kind", ["bar", "line", "pie"])
@pytest.mark.parametrize("labels", [1, 12, 90])
def test_charts_of_each_kind_and_size_are_drawn(world: Ctx, data: Data, tmp_path: Path, kind: str, labels: int) -> None:
    data["many"].insert_many([{"_id": f"Gegend {n}", "a": n % 7, "b": -n if kind != "pie" else n} for n in range(labels)])
    question = {"connection": "db", "collection": "many", "pipeline": [{"$sort": {"_id": 1}}]}
    section = {"title": "Viele", "question": question, "chart": {"kind": kind, "label": "_id", "values": ["b", "a"]}}
    ReportGeneration().run(report(sections=[section], formats=["html", "pdf"]), world())
    page = LexborHTMLParser(files(tmp_path)["2026-08-31.html"].decode())
    svg = page.css_first("svg")
    assert (svg is not None) == (labels > 1)  # all nothing is no picture
    assert svg is None or ("The first 60 of 90 rows" in svg.text()) == (labels == 90 and kind != "pie")


def test_long_tables_go_over_pages_and_end_where_they_may(world: Ctx, data: Data, tmp_path: Path) -> None:
    data["many"].insert_many([{"_id": n, "text": "word " * 30} for n in range(500)])
    question = {"connection": "db", "collection": "many", "pipeline": [{"$sort": {"_id": 1}}]}
    result = ReportGeneration().run(
        report(sections=[{"title": "Viele", "question": question, "most_rows": 400}], formats=["pdf", "csv"]), world()
    )
    assert result.data["sections"] == [{"title": "Viele", "rows": 400, "more": True}]
    made = files(tmp_path)
    pdf = PdfReader(io.BytesIO(made["2026-08-31.pdf"]))
    assert len(pdf.pages) > 5
    assert all("Id" in one.extract_text().split() for one in pdf.pages), "each page has the head"
    assert "There are more rows" in pdf.pages[-1].extract_text()
    assert len(made["2026-08-31.csv"].splitlines()) == 401


def test_it_is_mailed_with_its_files_or_not_at_all(world: Ctx, tmp_path: Path) -> None:
    inbox = Inbox()
    mail = {"connection": "mail", "recipients": ["ada@example.com", "grace@example.com"], "only_with_rows": True}
    params = report(mail=mail, formats=["pdf", "csv"])
    del params["destination"]
    with mail_server(inbox, tmp_path) as grant:
        grants = {**world.grants, "mail": grant}
        result = ReportGeneration().run(params, world(grants=grants))
        assert (result.data["sent"], "files" in result.data) == (2, False)
        empty = {"connection": "db", "collection": "nothing", "pipeline": [{"$match": {}}]}
        silent = ReportGeneration().run({**params, "sections": [{"title": "Leer", "question": empty}]}, world(grants=grants))
        assert silent.data["sent"] == 0
        with pytest.raises(TemplateError, match="refused: gone@example.com"):
            ReportGeneration().run({**params, "mail": {**mail, "recipients": ["gone@example.com"]}}, world(grants=grants))
    [(recipients, raw)] = inbox.mails
    assert recipients == mail["recipients"]
    message = message_from_bytes(raw, policy=policy.default)
    assert (message["Subject"], message["Message-ID"]) == ("Monat – Überblick", "<exec-1.0@jobwright>")
    html, plain = message.get_body(("html",)), message.get_body(("plain",))
    assert html is not None
    assert plain is not None
    assert "Bestellungen" in html.get_content()
    assert "<svg" not in html.get_content()
    assert "Nach Land: 3 rows" in plain.get_content()
    assert [one.get_filename() for one in message.iter_attachments()] == [
        "monat-uberblick.pdf",
        "monat-uberblick-1-nach-land.csv",
        "monat-uberblick-2-buchungen.csv",
    ]


def test_a_file_that_a_mail_has_no_room_for_is_named_in_it(world: Ctx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "LARGEST_MAIL", 1000)
    inbox = Inbox()
    params = report(mail={"connection": "mail", "recipients": ["ada@example.com"]}, formats=["pdf", "csv"])
    with mail_server(inbox, tmp_path) as grant:
        result = ReportGeneration().run(params, world(grants={**world.grants, "mail": grant}))
    assert len(result.data["files"]) == 3
    message = message_from_bytes(inbox.mails[0][1], policy=policy.default)
    assert [one.get_filename() for one in message.iter_attachments()] == [
        "monat-uberblick-1-nach-land.csv",
        "monat-uberblick-2-buchungen.csv",
    ]
    for kind in ("html", "plain"):
        body = message.get_body((kind,))
        assert body is not None
        assert "Too large for a mail, and left out: monat-uberblick.pdf" in body.get_content()


def test_exact_decimals_are_numbers_wherever_they_come_from(world: Ctx, data: Data, tmp_path: Path) -> None:
    data["money"].insert_many([{"_id": 1, "cents": Decimal128("-1234.50")}, {"_id": 2, "cents": Decimal128("3")}])
    question = {"connection": "db", "collection": "money", "pipeline": [{"$sort": {"_id": 1}}]}
    ReportGeneration().run(report(sections=[{"title": "Geld", "question": question}], formats=["html", "csv"]), world())
    page = LexborHTMLParser(files(tmp_path)["2026-08-31.html"].decode())
    assert [one.text() for one in page.css("td.number")] == ["1", "-1,234.5", "2", "3"]
    assert list(csv.reader(io.StringIO(files(tmp_path)["2026-08-31.csv"].decode())))[1:] == [["1", "-1234.5"], ["2", "3.0"]]


def test_a_preview_asks_and_writes_nothing(world: Ctx, tmp_path: Path) -> None:
    shown = ReportGeneration().preview(report(), world())
    assert shown.message == "Would report 5 rows in 2 sections"
    assert shown.data["sections"][0]["first"][0] == ["<b>é</b>", "1", "12.5 %"]
    assert not (tmp_path / "store").exists()


def test_it_stops_when_it_is_told_to(world: Ctx, tmp_path: Path) -> None:
    world.stop.set()
    with pytest.raises(Cancelled):
        ReportGeneration().run(report(), world())
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"destination": {"connection": "files", "path": "../x"}}, "/destination/path"),
        ({"sections": [{"title": "x", "question": {**MONGO, "pipeline": [{"$out": "x"}]}}]}, "/sections/0/question/pipeline/0/$out"),
        ({"sections": [{"title": "x", "question": {**MONGO, "collection": "system.users"}}]}, "/sections/0/question/collection"),
        ({"sections": [{"title": "x", "question": {**SQL, "statement": "SELECT 1; DROP TABLE x"}}]}, "/sections/0/question/statement"),
        (
            {
                "sections": [
                    {"title": "x", "question": MONGO, "columns": COLUMNS, "chart": {"kind": "bar", "label": "no", "values": ["orders"]}}
                ]
            },
            "/sections/0/chart",
        ),
        ({"mail": {"connection": "m", "recipients": ["a@b@c"]}}, "/mail/recipients/0"),
        ({"title": "a\nb"}, "/title"),
        ({"sections": []}, "/sections"),
        ({"destination": None}, "/destination"),
    ],
)
def test_what_cannot_be_a_report_is_told_at_its_place(changes: dict[str, Any], pointer: str) -> None:
    catalogue = Catalogue({"report_generation": ReportGeneration()})
    found = catalogue.get("report_generation").check(report(**changes))
    assert pointer in [one.pointer for one in found]


def test_sql_that_changes_something_is_refused(world: Ctx) -> None:
    with pytest.raises(TemplateError, match="read only"):
        ReportGeneration().run(
            report(sections=[{"title": "x", "question": {**SQL, "statement": "DELETE FROM bookings", "values": {}}}]), world()
        )


def test_cells_are_written_as_people_read_them() -> None:
    moment = datetime(2026, 8, 31, 12, 5, tzinfo=UTC)
    assert [written(moment, form) for form in ("date", "instant", "text")] == ["2026-08-31", "2026-08-31 12:05", "2026-08-31T12:05:00Z"]
    assert [written(1234567, "number"), written(2.5, "number"), written(3.0, "number"), written("x", "number")] == [
        "1,234,567",
        "2.5",
        "3",
        "x",
    ]
    assert [written(None, "number"), written(True, "number"), written("2026-08-31T00:00:00Z", "date"), written("soon", "date")] == [
        "",
        "True",
        "2026-08-31",
        "soon",
    ]
    assert written("x" * 600, "text") == "x" * 500 + "…"
    assert [one.format for one in columns_of((), ["a", "b", "c"], [[1, "x", None], [None, 2, None]])] == ["number", "text", "text"]
    assert (titled("orders_total"), titled("_id"), titled("_")) == ("Orders total", "Id", "_")
    table = Table("t", [Column("a", "A")], [[1]])
    assert table.column("a") == [1]
