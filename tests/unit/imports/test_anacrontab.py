"""Files of anacron: periods, delays, ranges of hours, days of last runs, and lines that are wrong or disabled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.imports.plan import State, make_plan, state_of
from app.imports.sources import SOURCES, SourceError, SourceOptions
from tests.builders.plans import NOW

ANACRONTAB = SOURCES["anacrontab"]


def entries_of(folder: Path, text: str, **own: str) -> list[dict[str, Any]]:
    path = folder / "anacrontab"
    path.write_text(text)
    options = SourceOptions(machine="web1", timezone="Europe/Berlin", own={"spool": str(folder), **own}, now=NOW)
    entries: list[dict[str, Any]] = make_plan(ANACRONTAB, str(path), options, NOW)["entries"]
    return entries


@pytest.mark.parametrize(
    ("line", "schedule"),
    [
        ("1 5 daily /a", {"type": "cron", "expression": "35 7 * * *"}),
        ("@daily 0 daily /a", {"type": "cron", "expression": "30 7 * * *"}),
        ("@monthly 45 monthly /a", {"type": "cron", "expression": "15 8 1 * *"}),
        ("7 10 weekly /a", {"type": "calendar", "rule": "FREQ=DAILY;INTERVAL=7;BYHOUR=7;BYMINUTE=40", "counted_from": "2026-11-27"}),
        ("@weekly 10 other /a", {"type": "calendar", "rule": "FREQ=DAILY;INTERVAL=7;BYHOUR=7;BYMINUTE=40", "counted_from": "2026-11-30"}),
        ("2 10 weekly /a", {"type": "calendar", "rule": "FREQ=DAILY;INTERVAL=2;BYHOUR=7;BYMINUTE=40", "counted_from": "2026-11-30"}),
    ],
)
def test_periods_become_days(tmp_path: Path, line: str, schedule: dict[str, str]) -> None:
    """The job `weekly` ran on 27 November; that is too long ago for a period of two days."""
    (tmp_path / "weekly").write_text("20261127\n")
    (entry,) = entries_of(tmp_path, f"{line}\n")
    assert (state_of(entry), entry["fires"]["equal"]) == (State.READY, True)
    assert entry["job"]["schedule"] == {**schedule, "timezone": "Europe/Berlin"}
    assert (entry["job"]["misfire"], entry["job"]["name"]) == ({"policy": "once"}, line.split()[2])


def test_variables_move_and_spread_the_start(tmp_path: Path) -> None:
    text = "START_HOURS_RANGE=3-22\nRANDOM_DELAY=45\nMAILTO=ops@example.com\n1 5 daily /a\n"
    (entry,) = entries_of(tmp_path, text)
    assert entry["job"]["schedule"] == {"type": "cron", "expression": "6 3 * * *", "timezone": "Europe/Berlin", "jitter_seconds": 2700}
    assert entry["job"]["notifications"] == {"on_failure": ["ops@example.com"]}
    (entry,) = entries_of(tmp_path, text, starts="06:15")
    assert entry["job"]["schedule"]["expression"] == "20 6 * * *"
    with pytest.raises(SourceError, match="is not a time of day"):
        entries_of(tmp_path, text, starts="25:00")


def test_lines_that_are_wrong_or_disabled_are_reported(tmp_path: Path) -> None:
    text = "# period delay name command\n0 5 never /a\n1 5 nocommand\n@hourly 5 x /a\n#jobwright# 7 5 off /a\n# 7 5 also /a\n1 5 on /a\n"
    entries = entries_of(tmp_path, text)
    assert [entry["kind"] for entry in entries] == ["invalid", "invalid", "invalid", "note", "note", "job"]
    assert entries[-1]["disable"] == f"sed -i '7s/^/#jobwright# /' {tmp_path}/anacrontab"


def test_a_folder_of_scripts_becomes_an_entry_for_each(tmp_path: Path) -> None:
    folder = tmp_path / "cron.weekly"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    entries = entries_of(tmp_path, f"7 10 cron.weekly run-parts --report {folder}\n")
    assert [entry["job"]["name"] for entry in entries] == ["cron.weekly: a", "cron.weekly: b"]


def test_the_place_and_the_time_zone_must_be_right(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a file"):
        ANACRONTAB.read(str(tmp_path), SourceOptions(machine="m"))
    path = tmp_path / "anacrontab"
    path.write_text("1 5 x /a\n")
    with pytest.raises(SourceError, match="Name it as anacrontab:"):
        SOURCES["crontab"].read(str(path), SourceOptions(machine="m"))
    with pytest.raises(SourceError, match="such as --zone Europe/Berlin"):
        make_plan(ANACRONTAB, str(path), SourceOptions(machine="m"), NOW)
