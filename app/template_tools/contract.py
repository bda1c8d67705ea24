"""The rules that every template must keep, built-in or third-party: `jobwright template check`."""

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

from app.connections.inventory import Inventory
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import TemplateVersion
from templates_lib.base import Cancelled, JobResult, Problem, RunContext, TemplateError
from web.forms import Form

CANCEL_SECONDS = 5.0
LONG_SECONDS = 3.0  # an example that runs longer is cancelled, and its result is not checked
NO_RESULT = object()
# Parameters that an attacker might send. None of them may make a check raise an exception.
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
class Breach:
    """One way in which a template breaks a rule: the name of the rule, and a sentence that says how it is broken."""

    rule: str
    text: str


def check_template(catalogue: Catalogue, template_type: str) -> list[Breach]:
    """Returns every breach of the contract by the template; an empty list if it keeps every rule.

    Runs those `examples` of its schema that need no connection. Raises NotFound if the catalogue has no such template.
    """
    entry = catalogue.get(template_type)
    rules: dict[str, Callable[[TemplateVersion], Iterator[str]]] = {
        "documents itself": _documented,
        "draws a form": _form,
        "survives hostile parameters": _hostile,
        "has examples": _examples,
        "previews without effect": _preview,
        "stops when cancelled": _cancel,
        "returns JSON": _result,
        "can run twice": _twice,
    }
    return [Breach(rule, text) for rule, check in rules.items() for text in _guarded(check, entry)]


def _guarded(check: Callable[[TemplateVersion], Iterator[str]], entry: TemplateVersion) -> Iterator[str]:
    try:
        yield from check(entry)
    except Exception as error:
        yield f"{type(error).__name__}: {str(error)[:300]}"


def _documented(entry: TemplateVersion) -> Iterator[str]:
    readme = entry.help_text
    if not readme.strip():
        yield "the template has no README.md, so its help page is empty"
    for name in entry.parameters_schema.get("properties", {}):
        if readme.strip() and f"`{name}`" not in readme:
            yield f"README.md does not explain the parameter `{name}`"


def _form(entry: TemplateVersion) -> Iterator[str]:
    form = Form(entry.parameters_schema)
    if "<input" not in form.render() and entry.parameters_schema.get("properties"):
        yield "its form has no input field"
    if entry.parameters_schema.get("additionalProperties") is not False:
        yield "`additionalProperties` is not false, so a misspelt parameter is accepted and ignored"


def _hostile(entry: TemplateVersion) -> Iterator[str]:
    names = list(entry.parameters_schema.get("properties", {}))
    base = _examples_of(entry)[0] if _examples_of(entry) else {}
    for value in (*HOSTILE, *({**base, name: odd} for name in names for odd in HOSTILE)):
        if entry.validator.errors(value):
            continue
        problems = list(entry.template.check(value))
        if not all(isinstance(problem, Problem) for problem in problems):
            yield f"check() yields something other than a Problem for {json.dumps(value)[:100]}"


def _examples(entry: TemplateVersion) -> Iterator[str]:
    if not _examples_of(entry):
        yield "its schema has no `examples`, so nothing shows what a job of it looks like"
    for number, example in enumerate(_examples_of(entry), 1):
        for error in entry.validator.errors(example):
            yield f"example {number} is wrong at {error.pointer or '/'}: {error.message}"
        if not entry.validator.errors(example):
            for problem in entry.template.check(example):
                yield f"example {number} is wrong at {problem.pointer}: {problem.message}"


def _preview(entry: TemplateVersion) -> Iterator[str]:
    template = entry.template
    if template.destructive and template.preview is None:
        yield "it destroys data but has no preview, so nobody can see what a run would do before they approve it"
    preview = template.preview
    for example in _runnable(entry) if preview is not None else ():
        with _context() as context:
            if preview is not None and not isinstance(preview(example, context), JobResult):
                yield "preview() does not return a JobResult"
            if list(context.files.iterdir()):
                yield "preview() writes files"


def _cancel(entry: TemplateVersion) -> Iterator[str]:
    for example in _runnable(entry):
        with _context(stop_after=0.2) as context:
            began = time.monotonic()
            try:
                _run(entry, example, context)
            except Cancelled:
                pass
            except TemplateError:
                continue  # an example may show a failure
            if time.monotonic() - began > CANCEL_SECONDS:
                yield f"it runs for more than {CANCEL_SECONDS:g} s after its cancellation; call ctx.check_cancelled() at safe points"


def _result(entry: TemplateVersion) -> Iterator[str]:
    for example in _runnable(entry):
        with _context(stop_after=LONG_SECONDS) as context:
            result = _run_or_fail(entry, example, context)
        if result is NO_RESULT:
            continue
        if not isinstance(result, JobResult):
            yield f"run() returns {type(result).__name__}, not a JobResult"
            return
        json.dumps(dict(result.data), allow_nan=False)


def _twice(entry: TemplateVersion) -> Iterator[str]:
    """A worker may die after the work was done and before that is recorded. The second attempt has the same key and must not fail."""
    for example in _runnable(entry):
        with _context(stop_after=LONG_SECONDS) as first_attempt:
            if _run_or_fail(entry, example, first_attempt) is NO_RESULT:
                continue
        with _context(attempt=2, stop_after=LONG_SECONDS) as second_attempt:
            try:
                _run(entry, example, second_attempt)
            except Cancelled:
                pass  # a cancelled run did not fail
            except TemplateError as error:
                yield f"the second attempt fails: {error}"


def _run_or_fail(entry: TemplateVersion, example: Mapping[str, Any], context: RunContext) -> Any:
    """Returns the result of the run; NO_RESULT if it fails, since an example may show a failure, or if it takes too long."""
    try:
        return _run(entry, example, context)
    except TemplateError:
        return NO_RESULT


def _run(entry: TemplateVersion, example: Mapping[str, Any], context: RunContext) -> Any:
    result = entry.template.run(example, context)
    return asyncio.run(_await(result)) if inspect.isawaitable(result) else result


async def _await(awaitable: Any) -> Any:
    return await awaitable


def _examples_of(entry: TemplateVersion) -> list[dict[str, Any]]:
    return [dict(example) for example in entry.parameters_schema.get("examples", ()) if isinstance(example, Mapping)]


def _runnable(entry: TemplateVersion) -> list[dict[str, Any]]:
    """Returns the valid examples that need no connection; none for a template that uses the network."""
    if entry.template.network:
        return []
    schema = entry.parameters_schema
    valid = [example for example in _examples_of(entry) if not entry.validator.errors(example)]
    return [example for example in valid if not any(Inventory.of(schema, example).connections())]


@contextmanager
def _context(*, attempt: int = 1, stop_after: float | None = None) -> Iterator[RunContext]:
    """Yields the context of a run, with a folder of its own. The run is cancelled `stop_after` seconds later, never if that is None."""
    with tempfile.TemporaryDirectory(prefix="jobwright-check-") as folder:
        context = RunContext(log=logging.getLogger("job"), execution_id="check", attempt=attempt, now=datetime.now(UTC), files=Path(folder))
        timer = threading.Timer(stop_after or 0, context.stop.set)
        if stop_after is not None:
            timer.start()
        try:
            yield context
        finally:
            timer.cancel()
