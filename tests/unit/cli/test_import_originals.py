"""What `jobwright import` says about the originals of imported jobs."""

from __future__ import annotations

from app.cli.import_cut_over import perhaps_changed, to_enable
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
