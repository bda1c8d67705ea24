"""What any kind of job must keep, ours and other people's: `jobwright template check`."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.connections.references import connection_references
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import Entry
from templates_lib.base import Cancelled, JobResult, Problem, RunContext, TemplateError
from web.forms import Form

CANCEL_SECONDS = 5.0
LONG_SECONDS = 3.0  # an example that takes longer is stopped: what it gives back is not seen
NOTHING = object()
# What somebody might send for parameters: none of it may make a check raise.
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    1e308,
    "",
    "\0",
    "\ud7ff",
    "../../etc/passwd",
    "=cmd()",
    "x" * 100_000,
    [],
    [[[[[]]]]],
    {},
    {"$where": "1"},
    {"__proto__": 1, "": None, "a.b": [], "$gt": ""},
)


@dataclass(frozen=True, slots=True)
class Lapse:
    """What a kind does not keep: which rule, and how it breaks it."""

    rule: str
    words: str


def check_kind(catalogue: Catalogue, kind: str) -> list[Lapse]:
    """All that the kind does not keep. Its schema's `examples` are run where they need no connection. Raises NotFound."""
    entry = catalogue.get(kind)
    rules: dict[str, Callable[[Entry], Iterator[str]]] = {
        "documents itself": lambda one: _documented(one, one.help_text),
        "draws a form": _form,
        "survives hostile parameters": _hostile,
        "has examples": _examples,
        "previews without effect": _preview,
        "stops when it is told to": _cancel,
        "says JSON": _result,
        "does the same twice": _twice,
    }
    return [Lapse(rule, words) for rule, find in rules.items() for words in _guarded(find, entry)]


def _guarded(find: Callable[[Entry], Iterator[str]], entry: Entry) -> Iterator[str]:
    try:
        yield from find(entry)
    except Exception as error:
        yield f"{type(error).__name__}: {str(error)[:300]}"


def _documented(entry: Entry, readme: str) -> Iterator[str]:
    if not readme.strip():
        yield "there is no README.md beside it: the page that explains it is empty"
    for name in entry.parameters_schema.get("properties", {}):
        if readme.strip() and f"`{name}`" not in readme:
            yield f"README.md does not say what `{name}` is"


def _form(entry: Entry) -> Iterator[str]:
    form = Form(entry.parameters_schema)
    if "<input" not in form.render() and entry.parameters_schema.get("properties"):
        yield "its form has no control"
    if entry.parameters_schema.get("additionalProperties") is not False:
        yield "additionalProperties is not false: a misspelt parameter is taken and ignored"


def _hostile(entry: Entry) -> Iterator[str]:
    names = list(entry.parameters_schema.get("properties", {}))
    base = _some(entry)[0] if _some(entry) else {}
    for value in (*HOSTILE, *({**base, name: odd} for name in names for odd in HOSTILE)):
        if entry.validator.errors(value):
            continue
        problems = list(entry.template.check(value))
        if not all(isinstance(one, Problem) for one in problems):
            yield f"check() yields what is no Problem for {json.dumps(value)[:100]}"


def _examples(entry: Entry) -> Iterator[str]:
    if not _some(entry):
        yield "its schema has no `examples`: nothing shows what a job of it looks like"
    for place, example in enumerate(_some(entry)):
        for error in entry.validator.errors(example):
            yield f"example {place + 1} is wrong at {error.pointer or '/'}: {error.message}"
        if not entry.validator.errors(example):
            for problem in entry.template.check(example):
                yield f"example {place + 1} is wrong at {problem.pointer}: {problem.message}"


def _preview(entry: Entry) -> Iterator[str]:
    template = entry.template
    if template.destructive and template.preview is None:
        yield "it destroys data and has no preview: nobody can see what a run would do before they approve it"
    preview = template.preview
    for example in _runnable(entry) if preview is not None else ():
        with _context() as context:
            if preview is not None and not isinstance(preview(example, context), JobResult):
                yield "preview() returns no JobResult"
            if list(context.files.iterdir()):
                yield "preview() writes files"


def _cancel(entry: Entry) -> Iterator[str]:
    for example in _runnable(entry):
        with _context(stop_after=0.2) as context:
            began = time.monotonic()
            try:
                _run(entry, example, context)
            except Cancelled:
                pass
            except TemplateError:
                continue  # it fails by itself, as an example may be there to show
            if time.monotonic() - began > CANCEL_SECONDS:
                yield f"it goes on for more than {CANCEL_SECONDS:g} s after it was told to stop: call ctx.check_cancelled() at safe points"


def _result(entry: Entry) -> Iterator[str]:
    for example in _runnable(entry):
        with _context(stop_after=LONG_SECONDS) as context:
            result = _tried(entry, example, context)
        if result is NOTHING:
            continue
        if not isinstance(result, JobResult):
            yield f"run() returns {type(result).__name__}, not a JobResult"
            return
        json.dumps(dict(result.data), allow_nan=False)


def _twice(entry: Entry) -> Iterator[str]:
    """A worker may die after the work and before the record: the second time has the same key, and must not fail."""
    for example in _runnable(entry):
        with _context(stop_after=LONG_SECONDS) as first:
            if _tried(entry, example, first) is NOTHING:
                continue
        with _context(attempt=2, stop_after=LONG_SECONDS) as again:
            try:
                _run(entry, example, again)
            except Cancelled:
                pass  # it did not fail
            except TemplateError as error:
                yield f"the second time it fails: {error}"


def _tried(entry: Entry, example: Mapping[str, Any], context: RunContext) -> Any:
    """What it gives back; NOTHING where it fails by itself, as an example may be there to show, or takes its time."""
    try:
        return _run(entry, example, context)
    except TemplateError:
        return NOTHING


def _run(entry: Entry, example: Mapping[str, Any], context: RunContext) -> Any:
    result = entry.template.run(example, context)
    return asyncio.run(_await(result)) if inspect.isawaitable(result) else result


async def _await(awaitable: Any) -> Any:
    return await awaitable


def _some(entry: Entry) -> list[dict[str, Any]]:
    return [dict(one) for one in entry.parameters_schema.get("examples", ()) if isinstance(one, Mapping)]


def _runnable(entry: Entry) -> list[dict[str, Any]]:
    """Examples that need no connection, of kinds that call nobody."""
    if entry.template.network:
        return []
    schema = entry.parameters_schema
    return [one for one in _some(entry) if not entry.validator.errors(one) and not list(connection_references(schema, one))]


@contextmanager
def _context(*, attempt: int = 1, stop_after: float | None = None) -> Iterator[RunContext]:
    """A run's context, with a folder of its own; told to stop after so many seconds."""
    with tempfile.TemporaryDirectory(prefix="jobwright-check-") as folder:
        context = RunContext(log=logging.getLogger("job"), execution_id="check", attempt=attempt, now=datetime.now(UTC), files=Path(folder))
        timer = threading.Timer(stop_after or 0, context.stop.set)
        if stop_after is not None:
            timer.start()
        try:
            yield context
        finally:
            timer.cancel()
