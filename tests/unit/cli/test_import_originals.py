"""What `jobwright import` says about the originals of imported jobs, and what it writes."""

from __future__ import annotations

import json
import os
from pathlib import Path

from click.testing import CliRunner

from app.cli.import_cut_over import perhaps_changed, to_enable
from app.cli.imports import import_jobs
from app.imports.entries import Entry, EntryKind


def entry(entry_id: str, *, kind: EntryKind = EntryKind.JOB, disabled: str = "") -> Entry:
    return Entry(id=entry_id, where="tab:1", kind=kind, raw="", disabled=disabled)


def test_a_roll_back_enables_no_original_that_was_disabled_before() -> None:
    planned = [
        {"id": "on", "enable": "kubectl patch on", "disabled": ""},
        {"id": "off", "enable": "kubectl patch off", "disabled": "is suspended"},
        {"id": "note", "enable": "", "disabled": ""},
    ]
    assert to_enable(planned) == {"on": "kubectl patch on"}


def test_an_original_that_is_gone_may_be_an_entry_that_the_plan_does_not_know() -> None:
    planned = [{"id": "a"}, {"id": "b"}]
    assert perhaps_changed(planned, [entry("a"), entry("new")]) == {"b"}
    assert perhaps_changed(planned, [entry("a")]) == set()
    assert perhaps_changed(planned, [entry("a"), entry("new", kind=EntryKind.NOTE), entry("other", disabled="is suspended")]) == set()


def test_only_its_owner_can_read_a_plan_in_any_form(tmp_path: Path) -> None:
    """With any umask, and also if others could read the file before."""
    tab, files = tmp_path / "tab", [tmp_path / name for name in ("plan.json", "plan.html", "plan.txt")]
    tab.write_text("0 3 * * * /opt/private --customer 7\n")
    files[1].write_text("older")
    files[1].chmod(0o644)
    before = os.umask(0)
    try:
        words = ["plan", str(tab), "--zone", "UTC", "--offline", *(word for file in files for word in ("--output", str(file)))]
        result = CliRunner().invoke(import_jobs, words)
    finally:
        os.umask(before)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"The plan is in {' and '.join(map(str, files))}." in result.stderr
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 3
    plan, page, text = (file.read_text() for file in files)
    assert page.startswith("<!doctype html>")
    assert all(json.loads(plan)["hash"][:16] in form for form in (page, text))
    assert all("/opt/private --customer 7" in form for form in (plan, page, text))
