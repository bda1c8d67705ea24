"""Queries databases, makes a report of the answers, and mails or stores it."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from templates_lib import conditions, fields, mailing, pipelines, statements
from templates_lib.addresses import distinct_addresses
from templates_lib.base import JobResult, JobTemplate, Problem, RunContext
from templates_lib.connections.file_store import open_file_store
from templates_lib.connections.smtp import open_smtp
from templates_lib.messages import amount, say
from templates_lib.report_generation.questions import QUESTION, ask
from templates_lib.report_generation.tables import Chart, Table, columns_of

MOST_ROWS = 20_000
MAIL_ROWS = 50  # rows of each table in the text of the mail
LARGEST_MAIL = 18_000_000  # bytes of files; most servers refuse a message over 25 MB, and base64 adds a third


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A finished file of the report: the end of its name, its media type (`kind`), and its bytes."""

    name: str
    kind: str
    content: bytes


class ReportGeneration(JobTemplate):
    """Shows the answers to questions as tables and charts, in HTML, PDF and CSV. The report is mailed, stored, or both."""

    type = "report_generation"
    name = "Report"
    description = "Query databases and send or store the results as tables and charts"
    category = "Data"
    icon = "chart-column"
    risk_level = "medium"
    estimated_duration = "1–10 minutes"
    resource_usage = "medium"
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "title": {
                "type": "string",
                "title": "Title",
                "minLength": 1,
                "maxLength": 200,
                "x-dynamic": True,
                "pattern": r"^[^\r\n\x00]*$",
                "x-placeholder": 'Orders of {{ now | add: "-1 day" | date }}',
            },
            "intro": {
                "type": "string",
                "title": "Introduction",
                "maxLength": 5000,
                "x-dynamic": True,
                "x-widget": "textarea",
                "description": "Markdown.",
            },
            "sections": {
                "type": "array",
                "title": "Sections",
                "minItems": 1,
                "maxItems": 20,
                "x-item-title": "Section",
                "items": {
                    "type": "object",
                    "required": ["title", "question"],
                    "additionalProperties": False,
                    "properties": {
                        "title": {"type": "string", "title": "Title", "minLength": 1, "maxLength": 200, "x-dynamic": True},
                        "text": {
                            "type": "string",
                            "title": "Text",
                            "maxLength": 5000,
                            "x-dynamic": True,
                            "x-widget": "textarea",
                            "x-rows": 2,
                        },
                        "question": QUESTION,
                        "columns": {
                            "type": "array",
                            "title": "Columns",
                            "maxItems": 50,
                            "description": "Leave empty for all columns of the result.",
                            "x-item-title": "Column",
                            "items": {
                                "type": "object",
                                "required": ["field"],
                                "additionalProperties": False,
                                "properties": {
                                    "field": {"type": "string", "title": "Field", "minLength": 1, "maxLength": 300, "x-width": "third"},
                                    "title": {"type": "string", "title": "Heading", "maxLength": 100, "x-width": "third"},
                                    "format": {
                                        "title": "Format",
                                        "default": "text",
                                        "x-width": "third",
                                        "oneOf": [
                                            {"const": "text", "title": "Text"},
                                            {"const": "number", "title": "Number"},
                                            {"const": "percent", "title": "Percent"},
                                            {"const": "date", "title": "Day"},
                                            {"const": "instant", "title": "Day and time"},
                                        ],
                                    },
                                },
                            },
                        },
                        "chart": {
                            "type": "object",
                            "title": "Chart",
                            "x-add-text": "Add a chart",
                            "required": ["kind", "label", "values"],
                            "additionalProperties": False,
                            "properties": {
                                "kind": {
                                    "title": "Chart type",
                                    "oneOf": [
                                        {"const": "bar", "title": "Bars"},
                                        {"const": "line", "title": "Line"},
                                        {"const": "pie", "title": "Pie"},
                                    ],
                                },
                                "label": {"type": "string", "title": "Label field", "minLength": 1, "maxLength": 300},
                                "values": {
                                    "type": "array",
                                    "title": "Value fields",
                                    "minItems": 1,
                                    "maxItems": 6,
                                    "uniqueItems": True,
                                    "items": {"type": "string", "title": "Field", "minLength": 1, "maxLength": 300},
                                },
                            },
                        },
                        "most_rows": {
                            "type": "integer",
                            "title": "Maximum number of rows",
                            "minimum": 1,
                            "maximum": MOST_ROWS,
                            "default": 1000,
                        },
                    },
                },
            },
            "formats": {
                "type": "array",
                "title": "Files",
                "minItems": 1,
                "uniqueItems": True,
                "default": ["pdf"],
                "items": {
                    "oneOf": [
                        {"const": "html", "title": "HTML"},
                        {"const": "pdf", "title": "PDF"},
                        {"const": "csv", "title": "CSV, one file per section"},
                    ]
                },
            },
            "destination": {
                **fields.destination("reports/orders-{date}", "Store files"),
                "description": "Enter the path without a file extension. Each file gets its own extension.",
            },
            "mail": {
                "type": "object",
                "title": "Mail",
                "required": ["connection", "recipients"],
                "additionalProperties": False,
                "properties": {
                    "connection": fields.connection("smtp", "Mail server"),
                    "recipients": {
                        "type": "array",
                        "title": "Recipients",
                        "minItems": 1,
                        "maxItems": 100,
                        "uniqueItems": True,
                        "items": {"type": "string", "format": "email", "maxLength": 320, "title": "Address"},
                    },
                    "only_with_rows": {"type": "boolean", "title": "Send only if there are rows", "default": False},
                },
            },
        },
        "required": ["title", "sections"],
        "anyOf": [{"required": ["destination"]}, {"required": ["mail"]}],
        "additionalProperties": False,
        "examples": [
            {
                "title": "Orders by country",
                "sections": [
                    {
                        "title": "This month",
                        "chart": {"kind": "bar", "label": "_id", "values": ["orders"]},
                        "question": {
                            "connection": "shop",
                            "collection": "orders",
                            "pipeline": [{"$group": {"_id": "$country", "orders": {"$sum": 1}}}],
                        },
                    }
                ],
                "formats": ["pdf", "csv"],
                "destination": {"connection": "files", "path": "reports/orders-{date}"},
                "mail": {"connection": "mail", "recipients": ["team@example.com"]},
            }
        ],
    }

    def warm(self) -> None:
        from templates_lib.report_generation import pages  # noqa: F401, PLC0415 - imports ReportLab once, in the parent of the job processes

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        if params.get("destination") and fields.leaves_store(params["destination"]["path"]):
            yield Problem("/destination/path", "must stay inside the file store")
        for place, section in enumerate(params["sections"]):
            here, question = f"/sections/{place}", section["question"]
            if "pipeline" in question:
                yield from fields.collection_problems(question["collection"], f"{here}/question/collection")
                yield from pipelines.problems(question["pipeline"], f"{here}/question/pipeline")
            elif (words := statements.problem(question["statement"])) is not None:
                yield Problem(f"{here}/question/statement", words)
            named = {column["field"] for column in section.get("columns", ())}
            chart = section.get("chart", {"label": "", "values": []})
            for field in (chart["label"], *chart["values"]):
                if field and named and field not in named:
                    yield Problem(f"{here}/chart", say("{field} is not one of the columns", field=field))
        for place, recipient in enumerate(params.get("mail", {}).get("recipients", ())):
            if not mailing.is_mailbox(recipient):
                yield Problem(f"/mail/recipients/{place}", "is not a valid mail address")

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Runs each question, counts its rows and returns the first of them. Writes and sends nothing."""
        self.insist(params)
        tables = [self._table(section, ctx) for section in params["sections"]]
        rows = sum(len(table.rows) for table in tables)
        shown = [
            {
                "title": table.title,
                "rows": len(table.rows),
                "more": table.more,
                "columns": [c.title for c in table.columns],
                "first": table.written()[:5],
                **_dates(section, ctx),
            }
            for table, section in zip(tables, params["sections"], strict=True)
        ]
        return JobResult(f"Would report {amount(rows, 'row')} in {amount(len(tables), 'section')}", {"sections": shown})

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        self.insist(params)
        tables = []
        for number, section in enumerate(params["sections"], 1):
            ctx.check_cancelled()
            ctx.log.info("Querying %s", section["title"])
            tables.append(self._table(section, ctx))
            ctx.progress(number, len(params["sections"]) + 1, section["title"])
            ctx.log.info("%s: %s", section["title"], amount(len(tables[-1].rows), "row"))
        files = list(self._files(params, tables, ctx))
        ctx.check_cancelled()
        rows = sum(len(table.rows) for table in tables)
        data: dict[str, Any] = {
            "sections": [{"title": table.title, "rows": len(table.rows), "more": table.more} for table in tables],
            "records_processed": rows,
            "errors": 0,
        }
        words = [amount(rows, "row")]
        if params.get("destination"):
            data["files"] = self._store(params, files, ctx)
            words.append(f"{len(files)} {'files' if len(files) > 1 else 'file'}")
        if params.get("mail"):
            if rows or not params["mail"].get("only_with_rows"):
                mailed = self._mail(params, tables, files, ctx)
                data |= {"sent": mailed.data["sent"], "recipients": mailed.data["recipients"]}
                words.append(mailed.message[:1].lower() + mailed.message[1:])
            else:
                data["sent"] = 0
                words.append("no mail: there are no rows")
        ctx.progress(1, 1)
        return JobResult(f"{params['title']}: {', '.join(words)}", data)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _table(self, section: Mapping[str, Any], ctx: RunContext) -> Table:
        most = section.get("most_rows", 1000)
        wanted = section.get("columns", ())
        names, rows = ask(section["question"], [column["field"] for column in wanted], most + 1, ctx)
        columns = columns_of(wanted, names, rows)
        chart = section.get("chart")
        drawn = (
            Chart(chart["kind"], chart["label"], tuple(chart["values"]))
            if chart and {chart["label"], *chart["values"]} <= set(names)
            else None
        )
        if chart and drawn is None and rows:
            ctx.log.warning(
                "%s: no chart, as the answer has no %s", section["title"], ", ".join({chart["label"], *chart["values"]} - set(names))
            )
        return Table(section["title"], columns, rows[:most], drawn, section.get("text", ""), more=len(rows) > most)

    @staticmethod
    def _files(params: Mapping[str, Any], tables: Sequence[Table], ctx: RunContext) -> Iterator[ReportFile]:
        from templates_lib.report_generation import pages  # noqa: PLC0415 - warm() has it

        title, intro, formats = params["title"], params.get("intro", ""), params.get("formats", ["pdf"])
        if "html" in formats:
            yield ReportFile(".html", "text/html", pages.as_html(title, intro, tables, ctx.now).encode())
        if "pdf" in formats:
            stream = io.BytesIO()
            pages.as_pdf(title, intro, tables, ctx.now, stream)
            yield ReportFile(".pdf", "application/pdf", stream.getvalue())
        for number, table in enumerate(tables if "csv" in formats else (), 1):
            stream = io.BytesIO()
            pages.as_csv(table, stream)
            yield ReportFile(".csv" if len(tables) == 1 else f"-{number}-{_slug(table.title)}.csv", "text/csv", stream.getvalue())

    @staticmethod
    def _store(params: Mapping[str, Any], files: Sequence[ReportFile], ctx: RunContext) -> list[dict[str, Any]]:
        store, path = open_file_store(ctx, params["destination"]["connection"]), fields.fill_path(params["destination"]["path"], ctx)
        for file in files:
            with store.write_atomically(path + file.name) as stream:
                stream.write(file.content)
        return [{"path": path + file.name, "bytes": len(file.content)} for file in files]

    @staticmethod
    def _mail(params: Mapping[str, Any], tables: Sequence[Table], files: Sequence[ReportFile], ctx: RunContext) -> JobResult:
        from templates_lib.report_generation import pages  # noqa: PLC0415 - warm() has it

        mail, title = params["mail"], params["title"]
        recipients = distinct_addresses(mail["recipients"])
        message = mailing.envelope(ctx, ctx.connection(mail["connection"], "smtp").settings, subject=title, to=recipients)
        lines = [f"{table.title}: {amount(len(table.rows), 'row')}" for table in tables]
        attached, missing = _split_by_room(files)
        note = f"Too large for a mail, and left out: {', '.join(_slug(title) + file.name for file in missing)}" if missing else ""
        if note:
            ctx.log.warning("%s", note)
        message.set_content("\n".join([title, "", *filter(None, [params.get("intro", ""), note]), *lines]) + "\n")
        html = pages.as_html(title, params.get("intro", ""), tables, ctx.now, pictures=False, most_rows=MAIL_ROWS, note=note)
        message.add_alternative(html, subtype="html")
        for file in attached:
            main, _, sub = file.kind.partition("/")
            message.add_attachment(file.content, maintype=main, subtype=sub, filename=_slug(title) + file.name)
        with open_smtp(ctx, mail["connection"]) as session:
            return mailing.conclude(mailing.send(session, message, recipients))


def _split_by_room(files: Iterable[ReportFile]) -> tuple[list[ReportFile], list[ReportFile]]:
    """Returns the files for which a mail has room, beginning with the first file, and the other files."""
    fit: list[ReportFile] = []
    missing: list[ReportFile] = []
    left = LARGEST_MAIL
    for file in files:
        if len(file.content) <= left:
            fit.append(file)
            left -= len(file.content)
        else:
            missing.append(file)
    return fit, missing


def _dates(section: Mapping[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Returns how the dates of a section's pipeline were read; empty if it has none."""
    dates = [date.as_json() for date in conditions.read_dates(section["question"].get("pipeline"), ctx.now, "/question/pipeline")]
    return {"dates": dates} if dates else {}


def _slug(title: str) -> str:
    """Returns a title as the name of a file: `Überblick, März` → uberblick-marz."""
    bare = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", bare.lower()).strip("-")[:60] or "report"
