"""What a node knows of itself without the database, for probes."""

from __future__ import annotations

from dataclasses import dataclass

STALLED_SECONDS = 30.0  # a dispatcher whose last good tick is longer ago is stalled


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What the node of a process knows of itself. `tick_age_seconds`: since its most important tick last succeeded; `turn_age_seconds`:
    since the slowest of its ticks last ended, well or not. `permit` is `holds`, `maintenance` or `none`; None for a node that runs nothing.
    `hears` says whether messages of a broker reach it; None if it has no broker. `drains` says that a person has asked it to drain."""

    role: str
    tick_age_seconds: float
    turn_age_seconds: float
    permit: str | None
    hears: bool | None = None
    drains: bool = False

    @property
    def stalled(self) -> bool:
        return self.tick_age_seconds >= STALLED_SECONDS

    @property
    def can_work(self) -> bool:
        """Whether it plans or claims: its ticks succeed, it may start runs or knows why not, and it hears the broker."""
        return not self.stalled and self.permit != "none" and self.hears is not False
