"""What the stages above need of executions, together."""

from __future__ import annotations

from dataclasses import dataclass

from app.execution.backfill_runs import BackfillRuns
from app.execution.previews import Previews
from app.execution.runs import Runs


@dataclass(frozen=True, slots=True)
class RunServices:
    """The ways in which runs are begun by hand."""

    runs: Runs
    previews: Previews
    backfills: BackfillRuns
