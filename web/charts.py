"""Charts as numbers for SVG that templates draw: what is as tall as what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

TALL = 100.0  # of a chart, in its own units
STEP = 10  # from bar to bar
SHORTEST = 1.5  # of a bar that is there


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart, from its left upper corner; `row` is what it stands for."""

    x: float
    y: float
    height: float
    status: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """The last runs, oldest first. `success` is a share of those that ran to an end; None where none did. Seconds."""

    bars: list[Bar]
    success: float | None
    median: float | None
    slow: float | None  # 95 of 100 runs are quicker
    longest: float

    @property
    def width(self) -> int:
        return max(1, len(self.bars)) * STEP


def durations(latest: Sequence[Mapping[str, Any]]) -> Durations:
    """A chart of executions, which are given newest first: those that never ran are bars of the least height."""
    longest = max((row.get("duration_seconds") or 0.0 for row in latest), default=0.0)
    bars = []
    for place, row in enumerate(reversed(latest)):
        tall = max(SHORTEST, TALL * (row.get("duration_seconds") or 0.0) / longest) if longest else SHORTEST
        bars.append(Bar(place * STEP, round(TALL - tall, 2), round(tall, 2), row["status"], row))
    good = [row["duration_seconds"] for row in latest if row["status"] == "success" and row["duration_seconds"] is not None]
    bad = sum(row["status"] in {"failed", "timeout"} for row in latest)
    return Durations(
        bars=bars, success=len(good) / (len(good) + bad) if good or bad else None, median=median(good) if good else None,
        slow=quantiles(good, n=20)[-1] if len(good) >= 20 else None, longest=longest,
    )  # fmt: skip
