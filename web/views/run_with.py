"""One run with other values: of a job, or of an execution again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import redirect, render_template, url_for

from app.errors import FieldError, ValidationFailed
from app.jobs.model import Job
from app.queue.execution import Execution
from templates_lib.messages import say
from web.current import services
from web.views.beginnings import presets_of, recent_runs, save_preset
from web.views.common import CHECK, Editor, posted, tell


def answer_run_with(job: Job, editor: Editor, start: Callable[[Any], Execution], *, again: Execution | None = None) -> Any:
    """What a post of the form gets: the execution that `start` makes of the values, or the page anew."""
    editor.read(posted())
    if save_preset(services().parameters.entry_of(job), editor):
        return run_with_page(job, editor, again=again)
    try:
        if editor.pressed and editor.pressed != CHECK:
            return run_with_page(job, editor, again=again)
        values = editor.value
        if editor.pressed == CHECK:
            return run_with_page(job, editor, again=again)
        execution = start(values)
    except ValidationFailed as failed:
        errors = tuple(FieldError(e.pointer.removeprefix("/parameters"), e.message) for e in failed.errors)
        return run_with_page(job, editor, errors, again=again), 200 if editor.pressed else failed.status
    tell(services().runs.standing(execution))
    return redirect(url_for("executions_pages.show", execution_id=execution.id))


def run_with_page(job: Job, editor: Editor, errors: tuple[FieldError, ...] = (), *, again: Execution | None = None) -> str:
    """The form; `again` is the execution that is run again."""
    shown = editor.present(errors)
    presets = presets_of(services().parameters.entry_of(job))
    return render_template(
        "run_with.html",
        job=job,
        again=again,
        controls=shown.controls,
        errors=shown.summary,
        is_json=shown.is_json,
        beginnings=None if again else {say("Presets"): presets, say("Values of an earlier run"): recent_runs(job)},
    )
