"""The one place that says what every end of an execution writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.queue.endings import LEAVES_QUEUE, ended_fields, ending
from app.queue.model import ENDED, LIVE, Reason, Status
from tests.unit.project.sources import ROOT, sources

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GONE = dict.fromkeys(LEAVES_QUEUE, "")


@pytest.mark.parametrize("status", sorted(ENDED))
def test_an_end_sets_its_status_and_instant_and_leaves_the_queue(status: Status) -> None:
    assert ended_fields(status, NOW) == {"status": status.value, "completed_at": NOW}
    assert ending(status, NOW).update() == {"$set": {"status": status.value, "completed_at": NOW}, "$unset": GONE}


@pytest.mark.parametrize("status", sorted(ENDED))
def test_an_end_says_why_and_what_it_owes(status: Status) -> None:
    end = ending(status, NOW, reason=Reason.REPLACED, owed=("notify", "followers"), fields={"error": None})
    owed = [{"what": what, "at": NOW, "tries": 0, "error": None, "given_up_at": None} for what in ("notify", "followers")]
    fields = {"error": None, "status": status.value, "completed_at": NOW, "reason": "replaced", "owed": owed}
    assert end.update() == {"$set": fields, "$unset": GONE}
    literal = {name: {"$literal": value} for name, value in fields.items()}
    assert end.stages() == [{"$set": literal}, {"$unset": list(LEAVES_QUEUE)}]


def test_what_a_caller_sets_besides_cannot_change_the_end() -> None:
    fields = {"status": "running", "completed_at": None, "reason": "overlap", "result": {"message": "m"}}
    sets = ending(Status.SKIPPED, NOW, reason=Reason.JOB_GONE, fields=fields).sets
    assert sets == {"status": "skipped", "completed_at": NOW, "reason": "job_gone", "result": {"message": "m"}}
    assert ending(Status.SUCCESS, NOW, fields={"reason": None}).sets["reason"] is None, "an end without a reason keeps the caller's"


def test_an_end_that_owes_nothing_has_no_list() -> None:
    """The indexes of what is owed hold only documents that have the field."""
    assert "owed" not in ending(Status.FAILED, NOW).sets


@pytest.mark.parametrize("status", sorted(LIVE))
def test_a_status_that_is_no_end_is_refused(status: Status) -> None:
    with pytest.raises(ValueError, match=f"{status.value} is not how an execution ends"):
        ended_fields(status, NOW)
    with pytest.raises(ValueError, match="is not how an execution ends"):
        ending(status, NOW)


# -- nobody else ends an execution ------------------------------------------------------------------------------------

ENDINGS = "app/queue/endings.py"
# What else has an entry of this name, and why it is no end of an execution.
OTHERS = {
    ("app/queue/updates.py", "takes"): "the attempt that begins",
    ("app/queue/updates.py", "_attempt_fields"): "the attempt that ends",
    ("app/queue/updates.py", "handed_back"): "the attempt that ends",
    ("app/queue/execution.py", "as_document"): "the record that is stored; its end comes from ended_fields",
    ("app/execution/end_store.py", "up_to"): "a query",
    ("app/execution/end_store.py", "counts_since"): "a query",
    ("app/execution/end_store.py", "lost_since"): "a query",
    ("app/queue/shape.py", ""): "what an attempt must be",
    ("app/api/present.py", "execution_json"): "the answer of REST",
    ("app/api/compat/named_jobs/answers.py", "show_named_execution"): "the answer of a compatibility route",
    ("app/api/compat/job_types/answers.py", "show_typed_execution"): "the answer of a compatibility route",
    ("app/api/compat/schedule_executions/answers.py", "show_schedule_execution"): "the answer of a compatibility route",
    ("app/integrations/nats/catalogue.py", ""): "what an event has",
    ("app/integrations/nats/execution_events.py", "_retrying"): "an event of an attempt that ended",
    ("app/integrations/nats/execution_events.py", "_ended"): "an event of an end that was written",
    ("app/node/preparation.py", "_resolved"): "what dynamic values may name",
    ("app/backup/settle.py", "_end_running"): "the attempt of a run that a restore ends; its end comes from ending",
    ("app/samples/history.py", "past_execution"): "the attempt of an invented run; its end comes from ended_fields",
}


def writes(path: Path) -> Iterator[tuple[str, str]]:
    """(file, function) of each entry `completed_at` of a dictionary that is made or changed, and of each copy of a record that sets it.
    What queries compare with (a query operator, or ANY_DATE) and what projections show (a number) is none."""

    def visit(node: ast.AST, function: str) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None and _names_it(key) and not _is_query(value):
                    yield function
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Subscript) and _names_it(target.slice) for target in targets):
                yield function
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"replace", "dict"}:
            yield from (function for keyword in node.keywords if keyword.arg == "completed_at")
        for child in ast.iter_child_nodes(node):
            yield from visit(child, function)

    for function in visit(ast.parse(path.read_text()), ""):
        yield path.relative_to(ROOT).as_posix(), function


def _names_it(node: ast.expr) -> bool:
    """Whether an expression is the field's name, also as the end of a path that is put together."""
    if isinstance(node, ast.JoinedStr):
        last = node.values[-1]
        return isinstance(last, ast.Constant) and str(last.value).endswith("completed_at")
    return isinstance(node, ast.Constant) and str(node.value).split(".")[-1] == "completed_at"


def _is_query(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id == "ANY_DATE"
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int)
    return isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) and str(key.value).startswith("$") for key in node.keys)


def test_only_one_place_writes_the_end_of_an_execution() -> None:
    found = {place for path in sources("app") for place in writes(path)}
    assert found - OTHERS.keys() == {(ENDINGS, "ended_fields")}, "ends are made by app.queue.endings"
    assert OTHERS.keys() - found == set(), "the list names what is there"


@pytest.mark.parametrize(
    "code",
    [
        'update = {"$set": {"status": "failed", "completed_at": now}}',
        'fields["completed_at"] = now',
        'update = {f"{prefix}.completed_at": now}',
        "execution = replace(execution, completed_at=now)",
        "fields = dict(completed_at=now)",
    ],
)
def test_the_test_finds_each_way_to_write_it(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    source = tmp_path / "module.py"
    source.write_text(f"def end():\n    {code}\n")
    assert list(writes(source)) == [("module.py", "end")]


def test_the_test_passes_over_queries_and_projections(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text('where = {"completed_at": ANY_DATE, "x": {"completed_at": {"$gt": begin}}}\nfields = {"completed_at": 1}\n')
    assert list(writes(source)) == []
