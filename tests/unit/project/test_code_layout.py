"""The layout of the code."""

from __future__ import annotations

import re

from tests.unit.project.sources import sources


def test_a_collection_is_touched_only_by_its_store() -> None:
    collections = {
        "dynamic_jobs",
        "job_executions",
        "execution_logs",
        "users",
        "api_tokens",
        "sessions",
        "connections",
        "job_revisions",
        "audit_log",
        "run_limits",
        "calendars",
        "switches",
        "settings_seen",
        "approvals",
    }
    stores: dict[str, list[str]] = {}
    for path in sources("app", "web"):
        used = set(re.findall(r'(?:(?:database|db)\[|Records\(database, )"(\w+)"', path.read_text())) & collections
        assert not used or path.name == "store.py" or path.name.endswith("_store.py"), f"{path} touches {used}"
        for name in used:
            stores.setdefault(name, []).append(str(path))
    assert {name: found for name, found in stores.items() if len(found) > 1} == {}
    assert set(stores) == collections
