"""Findings of `jobwright doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The severity of a finding. A `problem` makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: the state of its subject and, unless that is good, advice on what to do."""

    subject: str
    level: Level
    text: str
    advice: str = ""
