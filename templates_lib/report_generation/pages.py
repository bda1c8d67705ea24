"""Writes a report as HTML, PDF and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import IO, Any

from markdown_it import MarkdownIt
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import CondPageBreak, LongTable, Paragraph, SimpleDocTemplate, Spacer

from templates_lib.cells import cell_text, formula_safe
from templates_lib.messages import amount
from templates_lib.report_generation import charts
from templates_lib.report_generation.tables import Table

HEADING_NEEDS = 90  # points of space below a heading, so that it is not alone at the end of a page
WIDE = 7  # with more columns, the page is in landscape format
WRAPPED_ROWS = 2000  # with more rows, cells are cut off and not wrapped: a paragraph in each cell takes a hundred times as long
# DejaVu has Latin, Greek, Cyrillic and other letters; Vera, which comes with ReportLab, has only Latin ones.
_FOLDERS = (Path("/usr/share/fonts/truetype/dejavu"), Path("/usr/share/fonts/dejavu-sans-fonts"))
_FACES = {
    "": ("DejaVuSans.ttf", "Vera.ttf"),
    "-Bold": ("DejaVuSans-Bold.ttf", "VeraBd.ttf"),
    "-Italic": ("DejaVuSans-Oblique.ttf", "VeraIt.ttf"),
}
LETTER = 3.9  # approximate width of a letter in a cell, in points
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 32px auto; padding: 0 16px; color: light-dark(#222, #ddd); background: light-dark(#fff, #181a1b); }
h1 { font-size: 22px; border-bottom: 2px solid #1f7a74; padding-bottom: 8px; } h2 { font-size: 17px; margin-top: 32px; }
.made { color: light-dark(#666, #999); font-size: 13px; } .wrap { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; } th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid light-dark(#ddd, #333); vertical-align: top; overflow-wrap: anywhere; }
th { position: sticky; top: 0; background: inherit; } .number { text-align: right; } figure { margin: 8px 0; background: #fff; padding: 8px; width: fit-content; max-width: 100%; } svg { max-width: 100%; height: auto; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""  # noqa: E501 - a style sheet


def as_html(
    title: str,
    intro: str,
    tables: Sequence[Table],
    made_at: datetime,
    *,
    pictures: bool = True,
    most_rows: int | None = None,
    note: str = "",
) -> str:
    """Returns a complete HTML page. For a mail, the caller leaves out pictures (mail programs show no SVG), limits the rows and adds a
    `note`."""
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="created">{made_at:%Y-%m-%d %H:%M} UTC</p>', _formatted(intro)]
    parts.append(f"<p><strong>{escape(note)}</strong></p>" if note else "")
    for table in tables:
        parts += [
            f"<h2>{escape(table.title)}</h2>",
            _formatted(table.text),
            charts.svg(table) if pictures else "",
            _html_table(table, most_rows),
        ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _formatted(text: str) -> str:
    return MarkdownIt("commonmark", {"html": False}).render(text) if text else ""


def _html_table(table: Table, most_rows: int | None) -> str:
    if not table.rows:
        return "<p>No rows.</p>"
    rows = table.written()
    shown = rows if most_rows is None else rows[:most_rows]
    look = [' class="number"' if column.numeric else "" for column in table.columns]
    head = "".join(f'<th scope="col"{look[place]}>{escape(column.title)}</th>' for place, column in enumerate(table.columns))
    body = "".join("<tr>" + "".join(f"<td{look[place]}>{escape(cell)}</td>" for place, cell in enumerate(row)) + "</tr>" for row in shown)
    note = f"<p>{_left_out(len(rows) - len(shown), table.more)}</p>" if len(shown) < len(rows) or table.more else ""
    return f'<div class="wrap"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}'


def _left_out(rows: int, more: bool) -> str:
    if rows:
        return f"And {amount(rows, 'row')} more, in the files."
    return "There are more rows; these are the first." if more else ""


def as_csv(table: Table, stream: IO[bytes]) -> None:
    """Writes a table as CSV (RFC 4180) in UTF-8, with the exact values. Spreadsheets run no cell of it as a formula."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([formula_safe(column.title) for column in table.columns])
    writer.writerows([[formula_safe(cell_text(value)) for value in row] for row in table.rows])
    text.flush()
    text.detach()


@cache
def _font() -> str:
    """Registers a font family with its bold and italic faces, and returns its name. If the machine lacks a face, the upright one is used
    for it."""
    folder = next((path for path in _FOLDERS if (path / _FACES[""][0]).is_file()), None)
    for face, (file_name, own) in _FACES.items():
        path = folder / file_name if folder else None
        upright = folder / _FACES[""][0] if folder else None
        pdfmetrics.registerFont(TTFont(f"Report{face}", str(path if path and path.is_file() else upright) if folder else own))
    pdfmetrics.registerFontFamily("Report", normal="Report", bold="Report-Bold", italic="Report-Italic", boldItalic="Report-Bold")
    return "Report"


def _paragraphs(text: str, style: ParagraphStyle) -> list[Any]:
    """Returns the paragraphs, headings and list entries of a Markdown text as paragraphs of ReportLab, with bold and italic parts."""
    paragraphs = []
    for token in MarkdownIt("commonmark", {"html": False}).parse(text):
        if token.type == "inline":
            parts = {
                "strong_open": "<b>",
                "strong_close": "</b>",
                "em_open": "<i>",
                "em_close": "</i>",
                "softbreak": " ",
                "hardbreak": "<br/>",
            }
            words = "".join(parts.get(child.type, escape(child.content)) for child in token.children or ())
            paragraphs.append(Paragraph(words, style))
    return paragraphs


def as_pdf(title: str, intro: str, tables: Sequence[Table], made_at: datetime, stream: IO[bytes]) -> None:
    """Writes a PDF with page numbers. Long tables continue on the next page and repeat their head. The same report gives the same bytes."""
    font = _font()
    text = ParagraphStyle("text", fontName=font, fontSize=9, leading=12)
    cell = ParagraphStyle("cell", fontName=font, fontSize=7, leading=9)
    large = ParagraphStyle("title", parent=text, fontName="Report-Bold", fontSize=16, leading=20, textColor=colors.HexColor("#1f7a74"))
    section = ParagraphStyle("section", parent=text, fontName="Report-Bold", fontSize=12, leading=16, spaceBefore=14, spaceAfter=4)
    size = landscape(A4) if any(len(table.columns) > WIDE for table in tables) else A4
    document = SimpleDocTemplate(
        stream, pagesize=size, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=18 * mm, bottomMargin=18 * mm, title=title, invariant=1
    )
    story: list[Any] = [Paragraph(escape(title), large), Paragraph(f"{made_at:%Y-%m-%d %H:%M} UTC", text), Spacer(1, 6)]
    story += _paragraphs(intro, text)
    for table in tables:
        story += [CondPageBreak(HEADING_NEEDS), Paragraph(escape(table.title), section)]
        story += _paragraphs(table.text, text)
        picture = charts.drawing(table, font)
        story += [picture, Spacer(1, 6)] if picture is not None else []
        story += _pdf_table(table, document.width, font, cell) if table.rows else [Paragraph("No rows.", text)]
        if table.more:
            story.append(Paragraph(_left_out(0, more=True), text))

    def numbered(canvas: Any, made: Any) -> None:
        canvas.setFont(font, 7)
        canvas.setFillColor(colors.HexColor("#666666"))
        canvas.drawRightString(size[0] - 18 * mm, 10 * mm, str(made.page))
        canvas.drawString(18 * mm, 10 * mm, title[:100])

    document.build(story, onFirstPage=numbered, onLaterPages=numbered)


def _pdf_table(table: Table, width: float, font: str, style: ParagraphStyle) -> list[Any]:
    rows = table.written()
    weights = [
        min(40, max(4, len(column.title) + 1, *(len(row[place]) for row in rows[:200]))) for place, column in enumerate(table.columns)
    ]
    natural = [weight * LETTER + 14 for weight in weights]
    widths = [points * min(1.0, width / sum(natural)) for points in natural]
    wraps = len(rows) <= WRAPPED_ROWS
    letters = [max(1, int((points - 10) / LETTER)) for points in widths]

    def cell(text: str, place: int) -> Any:
        if table.columns[place].numeric or len(text) <= letters[place]:
            return text
        return Paragraph(escape(text), style) if wraps else text[: letters[place]] + "…"

    body = [[cell(text, place) for place, text in enumerate(row)] for row in rows]
    heads = {
        numeric: ParagraphStyle("head", parent=style, fontName="Report-Bold", alignment=2 if numeric else 0) for numeric in (True, False)
    }
    head = [Paragraph(escape(column.title), heads[column.numeric]) for column in table.columns]
    long_table = LongTable([head, *body], colWidths=widths, repeatRows=1, hAlign="LEFT")
    look: list[Any] = [
        ("FONT", (0, 0), (-1, -1), font, 7),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.HexColor("#1f7a74")),
        ("LINEBELOW", (0, 1), (-1, -1), 0.25, colors.HexColor("#cccccc")),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
    look += [("ALIGN", (place, 0), (place, -1), "RIGHT") for place, column in enumerate(table.columns) if column.numeric]
    long_table.setStyle(look)
    return [long_table]
