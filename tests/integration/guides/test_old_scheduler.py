"""The guide to the migration from the old scheduler: its commands, in their order, with both schedulers alive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.integration.guides.machine import ROOT, Machine
from tests.integration.guides.test_operations import blocks
from tests.support import eventually

GUIDE, OLD_DATABASE = "migrate-the-old-scheduler", "old_shop"


@pytest.fixture
def old(machine: Machine, mongod: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongod, tz_aware=True, tzinfo=UTC) as client:
        name = f"{machine.environment['JOBWRIGHT_DATABASE']}_old"
        yield client[name]
        client.drop_database(name)


def test_the_old_world_is_migrated_compared_cut_over_and_rolled_back(machine: Machine, old: Database[dict[str, Any]], mongod: str) -> None:
    scripts = [block.replace("mongodb://localhost:27017", mongod).replace(OLD_DATABASE, old.name) for block in blocks(GUIDE, "sh")]
    words = scripts[0].replace("python -m", f"exec {sys.executable} -m")
    intervals = {"UNIFIED_SCHEDULER_INTERVALS": json.dumps({"test_scheduler": 1, "data_cleanup": 1})}
    process = subprocess.Popen(["bash", "-c", words], cwd=ROOT, env={**os.environ, **intervals})
    try:
        _runs(old, "test_scheduler", 1)
        said = {script: _run(machine, script, old) for script in scripts[1:]}
    finally:
        process.terminate()
        assert process.wait(60) == 0
    plan, compared, shown, rolled_back, removed = (
        next(text for script, text in said.items() if words in script)
        for words in (" plan ", " compare ", "job show", "roll-back --connection old-scheduler --job", "--remove")
    )
    assert "auto_delete_resolved_tickets" in plan
    assert "0 19 * * *" in plan
    report = json.loads(compared[compared.index("{") :])["comparisons"][0]
    assert report["counts"]["matched"] >= 1
    assert "double" not in report["counts"]
    assert "enabled" in shown
    assert rolled_back.strip() == "test_scheduler: shadow"
    assert removed.count("removed") == 3
    rows = {row["_id"]: row["owner"] for row in old["scheduler_jobs"].find()}
    assert set(rows.values()) == {"old"}


def _run(machine: Machine, script: str, old: Database[dict[str, Any]]) -> str:
    """Runs a block, and lets both sides run some due times after it."""
    done = machine.run(script)
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    if "cut-over" not in script:
        _runs(old, "test_scheduler", 3)
    return done.stdout


def _runs(old: Database[dict[str, Any]], name: str, count: int) -> None:
    """Waits for so many further runs of the old scheduler."""
    wanted = old["scheduler_runs"].count_documents({"job": name}) + count
    eventually(lambda: old["scheduler_runs"].count_documents({"job": name}) >= wanted)
