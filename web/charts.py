"""Charts and comparisons as numbers and rows that templates draw."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from app.execution.figures import Figures
from app.queue.execution import Outline
from app.validation.terminal import plain
from templates_lib.messages import say_many

TALL = 100.0  # height of a chart, in its own units
STEP = 10  # from bar to bar
SHORTEST = 1.5  # height of the smallest bar
LEAST_SCALE = 5  # what the height of a chart of counts stands for at least
FEWEST_BARS = 20  # for which a chart of durations has room at least, so that one run is no block as wide as the page


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart; x and y are its upper left corner, `row` is the execution that it shows."""

    x: float
    y: float
    height: float
    status: str
    row: Outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """The last runs as bars, oldest first, with their figures and the longest duration in seconds."""

    bars: list[Bar]
    figures: Figures
    longest: float

    @property
    def width(self) -> int:
        return max(FEWEST_BARS, len(self.bars)) * STEP


def durations(latest: Sequence[Outline]) -> Durations:
    """Returns the chart of executions, which come newest first. Executions that never ran get the smallest bar."""
    longest = max((row.duration_seconds or 0.0 for row in latest), default=0.0)
    bars = []
    for index, row in enumerate(reversed(latest)):
        tall = max(SHORTEST, TALL * (row.duration_seconds or 0.0) / longest) if longest else SHORTEST
        bars.append(Bar(index * STEP, round(TALL - tall, 2), round(tall, 2), row.status, row))
    return Durations(bars=bars, figures=Figures.of(latest), longest=longest)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a column of a chart: how many had a status."""

    x: int
    y: float
    height: float
    status: str


@dataclass(frozen=True, slots=True)
class Stacked:
    """Columns of blocks, the oldest column first. `most` is the largest number of a column, `columns` how many columns there are."""

    blocks: list[Block]
    most: int
    columns: int

    @property
    def width(self) -> int:
        return self.columns * STEP


def stacked(columns: Sequence[Mapping[str, int]], statuses: Sequence[str]) -> Stacked:
    """Returns a chart of counts: in each column a block for each of `statuses`, the first at the ground.

    A column of LEAST_SCALE or fewer does not fill the chart, so that one run is not drawn like a thousand.
    """
    totals = [sum(column.get(status, 0) for status in statuses) for column in columns]
    most = max(totals, default=0)
    scale = max(most, LEAST_SCALE)
    blocks = []
    for index, column in enumerate(columns):
        ground = TALL
        for status in statuses:
            count = column.get(status, 0)
            if count:
                tall = max(SHORTEST, count * TALL / scale)
                ground -= tall
                blocks.append(Block(index * STEP, round(ground, 2), round(tall, 2), status))
    return Stacked(blocks, most, len(columns))


_NUMBERS = re.compile(r"\d+")
AROUND = 3  # equal lines that are shown before and after a difference


def log_diff(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, str]]:
    """Rows (sign, line) of two logs: "-" only the old one has, "+" only the new one, " " both, "…" for many that both have. Lines that
    differ in numbers or colours alone count as alike."""
    before, after = ([_NUMBERS.sub("0", plain(line)) for line in lines] for lines in (old, new))
    rows: list[tuple[str, str]] = []
    for what, a1, a2, b1, b2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            same = [(" ", line) for line in new[b1:b2]]
            rows += (
                same
                if len(same) <= 2 * AROUND
                else [*same[:AROUND], ("…", say_many("{count} equal line", "{count} equal lines", len(same) - 2 * AROUND)), *same[-AROUND:]]
            )
        else:
            rows += [("-", line) for line in old[a1:a2]]
            rows += [("+", line) for line in new[b1:b2]]
    return rows
