"""Charts and comparisons as numbers: what is tall is tall, and what differs is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.execution.figures import Figures
from app.queue.execution import Outline
from web.charts import SHORTEST, TALL, durations, log_diff

ROWS = st.lists(
    st.builds(
        Outline,
        id=st.just("e"),
        status=st.sampled_from(["success", "failed", "skipped", "running"]),
        duration_seconds=st.none() | st.floats(0, 1e6),
    ),
    max_size=60,
)


def outline(status: str, seconds: float | None) -> Outline:
    return Outline(id="e", status=status, duration_seconds=seconds)


@given(ROWS)
def test_bars_stand_on_the_ground_and_none_is_taller_than_the_chart(rows: list[Outline]) -> None:
    chart = durations(rows)
    assert [bar.status for bar in chart.bars] == [row.status for row in reversed(rows)]
    for bar in chart.bars:
        assert SHORTEST <= bar.height <= TALL
        assert abs(bar.y + bar.height - TALL) < 0.02
    assert chart.width >= len(rows)


def test_figures_are_of_those_that_ran() -> None:
    rows = [outline("success", float(n)) for n in range(1, 21)]
    found = Figures.of([*rows, outline("failed", 900.0), outline("skipped", None)])
    assert found.success is not None
    assert round(found.success, 4) == round(20 / 21, 4)
    assert found.median_seconds == 10.5
    assert found.p95_seconds is not None
    assert 19 <= found.p95_seconds <= 20.5
    assert Figures.of([]) == Figures(success=None, median_seconds=None, p95_seconds=None)
    assert Figures.of(rows[:19]).p95_seconds is None, "too few to say"


def test_lines_that_differ_in_numbers_alone_are_alike() -> None:
    old = ["start", "batch 1 of 8", "took 4.2 s", "done"]
    new = ["start", "batch 1 of 9", "took 7 s", "no route to host"]
    assert log_diff(old, new) == [
        (" ", "start"),
        (" ", "batch 1 of 9"),
        ("-", "took 4.2 s"),
        ("-", "done"),
        ("+", "took 7 s"),
        ("+", "no route to host"),
    ]


def test_long_stretches_that_are_alike_are_counted() -> None:
    lines = [f"step {chr(97 + n)}" for n in range(20)]
    rows = log_diff(lines, [*lines, "boom"])
    assert rows[3] == ("…", "14 equal lines")
    assert rows[-1] == ("+", "boom")
    assert log_diff([], []) == []


@given(st.lists(st.sampled_from("abc"), max_size=20), st.lists(st.sampled_from("abc"), max_size=20))
def test_no_line_of_either_is_lost(old: list[str], new: list[str]) -> None:
    rows = log_diff(old, new)
    hidden = sum(int(line.split()[0]) for sign, line in rows if sign == "…")
    assert sum(sign in " +" for sign, _ in rows) + hidden == len(new)
    assert sum(sign in " -" for sign, _ in rows) + hidden == len(old)
