"""Tables that fit the terminal, times of the local zone, durations, and texts that cannot steer the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
import pytest
import wcwidth

from app.cli import output
from app.cli.output import Column, cell, moment, print_page, print_table, span, zone_words

COLUMNS = [Column("Name", cut=True, least=6), Column("State"), Column("Note", spare=True)]
ROWS = [("a name that is much too long for it", "enabled", "x" * 30), ("日本語の名前", "failed", None)]


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int | None) -> list[str]:
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: width is not None)
    monkeypatch.setenv("COLUMNS", str(width or 0))
    print_table(COLUMNS, ROWS)
    return [click.unstyle(line) for line in capsys.readouterr().out.splitlines()]


def test_nothing_is_cut_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    header, first, second = printed(capsys, monkeypatch, None)
    assert header.split() == ["NAME", "STATE", "NOTE"]
    assert (ROWS[0][0] in first, "x" * 30 in first, second.split()) == (True, True, ["日本語の名前", "failed"])


@pytest.mark.parametrize("width", [120, 60, 40, 24, 3])
def test_a_table_is_as_wide_as_its_terminal_at_most(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    lines = printed(capsys, monkeypatch, width)
    assert max(wcwidth.width(line) for line in lines) <= max(width, output.NARROWEST)
    assert all(state in line for state, line in zip(["STATE", "enabled", "failed"], lines, strict=True))


def test_columns_that_can_be_spared_go_first_and_long_names_are_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = printed(capsys, monkeypatch, 24)
    assert "NOTE" not in lines[0]
    assert "…" in lines[1]


def test_a_cell_is_one_line_without_controls() -> None:
    hostile = "a\x1b[31mred\x1b[0m\nb\u202ec\x07"
    assert not [sign for sign in cell(hostile) if not sign.isprintable()]
    assert cell(None) == ""


@pytest.mark.usefixtures("berlin")
def test_times_are_those_of_the_local_zone_on_their_own_day() -> None:
    assert moment("2026-01-15T12:00:00.000Z") == "2026-01-15 13:00"
    assert moment("2026-07-15T12:00:00.000Z", seconds=True) == "2026-07-15 14:00:00"
    assert (moment(None), moment(None, otherwise="never"), moment("nonsense")) == ("–", "never", "nonsense")
    assert moment("0001-01-01T00:00:00.000Z")
    assert zone_words() in {"CET (UTC+01:00)", "CEST (UTC+02:00)"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.34, "340 ms"),
        (2.0, "2 s"),
        (6.44, "6.4 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (7500, "2 h 5 min"),
        (273_700, "3 d 4 h"),
        (None, "–"),
    ],
)
def test_durations_are_short_words(seconds: float | None, words: str) -> None:
    assert span(seconds) == words


def test_a_page_of_several_says_which_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_page([Column("Name")], [("a",)], {"total": 3, "page": 2, "pages": 3}, singular="job", plural="jobs")
    assert capsys.readouterr().err == "Page 2 of 3, 3 jobs.\n"
    print_page([Column("Name")], [], {"total": 0, "page": 1, "pages": 1}, singular="job", plural="jobs")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "There are no jobs to show.\n")
