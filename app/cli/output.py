"""How commands print: texts, JSON, instants in the local time zone, tables that fit the terminal."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

GAP = 2  # spaces between two columns
NARROWEST = 20  # columns of a terminal; some say that they have none
COLOURS = {
    "success": "green",
    "enabled": "green",
    "open": "green",
    "failed": "red",
    "timeout": "red",
    "broken": "red",
    "unreachable": "red",
    "missed": "red",
    "running": "cyan",
    "queued": "cyan",
    "retrying": "yellow",
    "paused": "yellow",
    "cancelled": "yellow",
    "disabled": "bright_black",
    "skipped": "bright_black",
    "closed": "bright_black",
    "revoked": "bright_black",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. On a narrow terminal, values of columns with `cut` lose their ends, down to `least` characters; columns with
    `spare` are left out if that is not enough, the last one first."""

    title: str
    cut: bool = False
    spare: bool = False
    right: bool = False
    least: int = 12


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Prints a text that people or jobs may have written. Control characters in it are escaped, so that it cannot steer the terminal."""
    from app.validation.terminal import printable  # noqa: PLC0415 - `--help` does without it

    click.echo(printable(text), err=err, nl=nl)


def json_line(value: Any) -> str:
    """Returns `value` as JSON on one line, safe to print on a terminal. Values that JSON does not have, such as dates, become text."""
    from app.validation.terminal import escaped  # noqa: PLC0415 - the same

    return escaped(json.dumps(value, default=str, ensure_ascii=False))


def print_json(value: Any) -> None:
    """Prints an answer of REST as it came, indented."""
    from app.validation.terminal import escaped  # noqa: PLC0415 - the same

    click.echo(escaped(json.dumps(value, indent=2, ensure_ascii=False)))


def cell(value: Any) -> str:
    """Returns a value as one line for a table, without control characters."""
    from app.validation.terminal import one_line, printable  # noqa: PLC0415 - the same

    return printable(one_line("" if value is None else str(value)))


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Prints a table with a header. On a terminal it is not wider than that; elsewhere nothing is cut."""
    if not sys.stdout.isatty():
        _print_rows(columns, rows, None)
        return
    width = max(shutil.get_terminal_size().columns, NARROWEST)
    shown = list(range(len(columns)))
    while sum(_least(columns[place], place, rows) for place in shown) + GAP * (len(shown) - 1) > width:
        spare = [place for place in shown if columns[place].spare]
        if not spare:
            break
        shown.remove(spare[-1])
    _print_rows([columns[place] for place in shown], [[row[place] for place in shown] for row in rows], width)


def _print_rows(columns: Sequence[Column], rows: Sequence[Sequence[Any]], most: int | None) -> None:
    """Prints a table of at most `most` columns of text: the widest of the columns that may be cut lose their ends."""
    import wcwidth  # noqa: PLC0415 - `--help` does without it

    cells = [[column.title.upper() for column in columns], *([cell(value) for value in row] for row in rows)]
    widths = [max(wcwidth.width(row[place]) for row in cells) for place in range(len(columns))]
    while most is not None and sum(widths) + GAP * (len(widths) - 1) > most:
        wide = [place for place, column in enumerate(columns) if column.cut and widths[place] > column.least]
        if not wide:
            break
        widths[max(wide, key=lambda place: widths[place])] -= 1
    for number, row in enumerate(cells):
        parts = []
        for text, width, column in zip(row, widths, columns, strict=True):
            cut = text if wcwidth.width(text) <= width else wcwidth.clip(text, 0, width - 1).rstrip() + "…"
            padded = wcwidth.rjust(cut, width) if column.right else wcwidth.ljust(cut, width)
            parts.append(padded.replace(cut, click.style(cut, fg=COLOURS[text]), 1) if number and text in COLOURS else padded)
        click.echo((" " * GAP).join(parts).rstrip() if number else click.style((" " * GAP).join(parts).rstrip(), bold=True))


def _least(column: Column, place: int, rows: Sequence[Sequence[Any]]) -> int:
    """Returns the smallest width of a column."""
    import wcwidth  # noqa: PLC0415 - `--help` does without it

    natural = max([wcwidth.width(column.title), *(wcwidth.width(cell(row[place])) for row in rows)])
    return min(column.least, natural) if column.cut else natural


def print_fields(fields: Sequence[tuple[str, Any]]) -> None:
    """Prints one line for each field that has a value, with the names in a column of their own."""
    shown = [(name, cell(value)) for name, value in fields if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in shown), default=0) + 2
    for name, value in shown:
        click.echo(f"{name:<{width}}{value}")


def print_values(heading: str, values: Mapping[str, Any]) -> None:
    """Prints a heading, and below it one line for each member of an object. Objects and lists are JSON."""
    if values:
        click.echo(f"\n{heading}")
        print_fields([(f"  {cell(name)}", value if isinstance(value, str) else json_line(value)) for name, value in values.items()])


def print_page(
    columns: Sequence[Column], rows: Sequence[Sequence[Any]], answer: Mapping[str, Any], *, singular: str, plural: str, timed: bool = True
) -> None:
    """Prints a page of a list as a table. On a terminal, a last line says how many there are and, if `timed`, the zone of the times."""
    if rows:
        print_table(columns, rows)
    total = answer.get("total")
    total = total if isinstance(total, int) else len(rows)
    count = f"{total:,} {singular if total == 1 else plural}"
    pages = answer.get("pages")
    page = f"Page {answer.get('page')} of {pages}, " if isinstance(pages, int) and pages > 1 else ""
    if not rows:
        note(f"There are no {plural} on this page; there are {count}." if total else f"There are no {plural} to show.")
    elif sys.stdout.isatty():
        note(f"\n{page}{count}.{f' Times are in {zone_words()}.' if timed else ''}")
    elif page:
        note(f"{page}{count}.")


def say_zone() -> None:
    """Says on a terminal what the times mean."""
    if sys.stdout.isatty():
        note(f"\nTimes are in {zone_words()}.")


def note(text: str) -> None:
    """Prints a remark for people on standard error, so that standard output has only what was asked for."""
    echo(text, err=True)


# -- instants ---------------------------------------------------------------------------------------------------------


def moment(value: Any, *, seconds: bool = False, otherwise: str = "–") -> str:
    """Returns an instant of REST in the local time zone, such as 2026-11-29 18:12; `otherwise` if there is none."""
    local = _local(value)
    if local is None:
        return otherwise if value is None else str(value)
    return f"{local:%Y-%m-%d %H:%M:%S}" if seconds else f"{local:%Y-%m-%d %H:%M}"


def zone_words() -> str:
    """Returns the name of the local time zone now, such as CET (UTC+01:00)."""
    now = datetime.now(UTC).astimezone()
    offset = f"{now:%z}"
    name = now.tzname() or ""
    return "UTC" if name == "UTC" else f"{name} (UTC{offset[:3]}:{offset[3:5]})"


def span(seconds: Any) -> str:
    """Returns a duration in words: 340 ms, 2.3 s, 4 min 10 s, 2 h 5 min, 3 d 4 h."""
    if not isinstance(seconds, int | float):
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    for large, small, size, step, most in (("min", "s", 60, 1, 3600), ("h", "min", 3600, 60, 86_400), ("d", "h", 86_400, 3600, None)):
        if most is None or seconds < most:
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {large}{f' {rest // step} {small}' if rest >= step else ''}"
    raise AssertionError(seconds)


def _local(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).astimezone()
    except (ValueError, OverflowError):
        return None
