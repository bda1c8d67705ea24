"""Plans of crontabs that tests write."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from app.imports.plan import Plan, make_plan
from app.imports.sources import SOURCES, SourceOptions

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def plan_of(folder: Path, text: str, *, layout: str = "user", home: str = "", templates: Collection[str] | None = None) -> Plan:
    """The plan of a crontab with this text, of a machine in Berlin."""
    path = folder / "tab"
    path.write_text(text)
    options = SourceOptions(machine="web1", timezone="Europe/Berlin", own={"layout": layout, "home": home})
    return make_plan(SOURCES["crontab"], str(path), options, NOW, templates=templates)
