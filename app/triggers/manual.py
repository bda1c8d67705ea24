"""Never due by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from app.triggers.base import Trigger
from app.triggers.words import in_language
from templates_lib.messages import say


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualTrigger(Trigger):
    """A person, a program or the end of another job starts the job."""

    type: ClassVar[str] = "manual"
    title: ClassVar[str] = say("By hand")
    is_timed: ClassVar[bool] = False
    repeats: ClassVar[bool] = False

    def _times_after(self, after: datetime) -> Iterator[datetime]:
        return iter(())

    def _count(self, after: datetime, until: datetime) -> int:
        return 0

    def _rule_in_words(self, locale: str) -> str:
        return in_language(say("Only by hand"), locale)
