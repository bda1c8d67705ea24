"""Charts of a report, drawn by ReportLab: directly into the PDF, and as SVG into HTML."""

from __future__ import annotations

from html import escape
from typing import Any

from reportlab.graphics import renderSVG
from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.charts.legends import Legend
from reportlab.graphics.charts.linecharts import HorizontalLineChart
from reportlab.graphics.charts.piecharts import Pie
from reportlab.graphics.shapes import Drawing, String
from reportlab.lib.colors import HexColor

from templates_lib.messages import amount
from templates_lib.report_generation.tables import Table, written

WIDTH, HEIGHT = 480, 220  # points
MOST_BARS = 60
MOST_SLICES = 10
# Colours that can be distinguished in print and by colour-blind people (Okabe and Ito, Color Universal Design).
COLOURS = tuple(
    map(HexColor, ("#1f7a74", "#e69f00", "#56b4e9", "#d55e00", "#0072b2", "#cc79a7", "#009e73", "#8a8a8a", "#f0e442", "#444444"))
)


def drawing(table: Table, font: str) -> Drawing | None:
    """Returns the chart of a table; None if it has no chart, or nothing to draw."""
    chart = table.chart
    if chart is None or not table.rows:
        return None
    labels = [written(value, "text")[:24] for value in table.column(chart.label)]
    series = [[_amount(value) for value in table.column(name)] for name in chart.values]
    if not any(any(values) for values in series):
        return None
    picture = Drawing(WIDTH, HEIGHT)
    if chart.kind == "pie":
        picture.add(_pie(labels, series[0], font))
    else:
        names = [next(column.title for column in table.columns if column.field == name) for name in chart.values]
        picture.add(_axes(chart.kind, labels[:MOST_BARS], [values[:MOST_BARS] for values in series], font))
        if len(labels) > MOST_BARS:
            words = f"The first {MOST_BARS} of {amount(len(labels), 'row')}"
            picture.add(String(WIDTH - 16, HEIGHT - 10, words, fontName=font, fontSize=7, fillColor=HexColor("#666666"), textAnchor="end"))
        if len(names) > 1:
            picture.add(_legend(names, font))
    return picture


def svg(table: Table) -> str:
    """Returns the chart as an HTML element with a text for people who cannot see it; empty if there is no chart."""
    picture = drawing(table, "Helvetica")
    if picture is None:
        return ""
    text = renderSVG.drawToString(picture)
    return f'<figure role="img" aria-label="{escape(table.title)}: chart of the table below">{text[text.index("<svg") :]}</figure>'


def _amount(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _axes(kind: str, labels: list[str], series: list[list[float]], font: str) -> Any:
    chart = VerticalBarChart() if kind == "bar" else HorizontalLineChart()
    many = len(labels) > 8
    below = 56 if many else 24
    chart.x, chart.y, chart.width, chart.height = 56, below, WIDTH - 72, HEIGHT - 20 - below
    chart.data = [tuple(values) for values in series]
    chart.categoryAxis.categoryNames = labels
    chart.categoryAxis.labels.angle, chart.categoryAxis.labels.boxAnchor = (35, "ne") if many else (0, "n")
    for axis in (chart.categoryAxis, chart.valueAxis):
        axis.labels.fontName, axis.labels.fontSize = font, 7
        axis.strokeColor = HexColor("#8a8a8a")
    chart.valueAxis.valueMin = min(0.0, *(min(values) for values in series))
    chart.valueAxis.labelTextFormat = lambda value: f"{value:,.10g}"
    chart.valueAxis.visibleGrid, chart.valueAxis.gridStrokeColor = True, HexColor("#e4e4e4")
    drawn: Any = chart.bars if isinstance(chart, VerticalBarChart) else chart.lines
    for place in range(len(series)):
        colour = COLOURS[place % len(COLOURS)]
        if kind == "bar":
            drawn[place].fillColor, drawn[place].strokeColor = colour, None
        else:
            drawn[place].strokeColor, drawn[place].strokeWidth = colour, 1.5
    return chart


def _pie(labels: list[str], values: list[float], font: str) -> Any:
    """Returns a pie of the largest values; all others together are one slice."""
    pairs = sorted(((value, label) for value, label in zip(values, labels, strict=True) if value > 0), reverse=True)
    if len(pairs) > MOST_SLICES:
        rest = sum(value for value, _ in pairs[MOST_SLICES - 1 :])
        pairs = [*pairs[: MOST_SLICES - 1], (rest, f"{len(pairs) - MOST_SLICES + 1:,} others")]
    chart = Pie()
    chart.x, chart.y, chart.width, chart.height = 150, 20, HEIGHT - 40, HEIGHT - 40
    chart.data = [value for value, _ in pairs] or [1]
    chart.labels = [label for _, label in pairs] or [""]
    chart.sideLabels = True
    chart.slices.fontName, chart.slices.fontSize, chart.slices.strokeColor = font, 7, HexColor("#ffffff")
    for place in range(len(chart.data)):
        chart.slices[place].fillColor = COLOURS[place % len(COLOURS)]
    return chart


def _legend(names: list[str], font: str) -> Any:
    legend = Legend()
    legend.x, legend.y, legend.boxAnchor = 56, HEIGHT - 2, "nw"
    legend.fontName, legend.fontSize, legend.dxTextSpace, legend.deltax, legend.columnMaximum = font, 7, 4, 90, 1
    legend.alignment, legend.strokeColor = "right", None
    legend.colorNamePairs = [(COLOURS[place % len(COLOURS)], name[:20]) for place, name in enumerate(names)]
    return legend
