"""What a form of parameters may begin with besides defaults: presets, and what was used lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request

from app.errors import LimitReached, ValidationFailed
from app.execution.filters import ExecutionFilter
from app.jobs.model import Job
from app.jobtemplates.entry import TemplateVersion
from app.jobtemplates.presets import without_secrets
from app.queue.execution import Execution
from app.queue.model import Trigger
from templates_lib.messages import say
from web.current import actor, services
from web.filters.times import local
from web.forms import ABSENT
from web.views.common import Editor, tell

RECENT = 5
LOOKED_AT = 40  # of a job's runs
BY_HAND = {Trigger.MANUAL.value, Trigger.API.value, Trigger.COMMAND.value, Trigger.RETRY.value}
SAVE = "preset.save"


@dataclass(frozen=True, slots=True)
class Beginning:
    """A link that fills the form: `query` goes to the page's own address."""

    title: str
    query: str
    note: str = ""


def presets_of(entry: TemplateVersion) -> list[Beginning]:
    """Those that the viewer sees of a template."""
    rows = services().presets.of(actor(), entry.type)
    return [Beginning(row["name"], f"preset={row['_id']}", "" if row["owner"] == actor().id else row["by"]) for row in rows]


def recent_jobs(entry: TemplateVersion) -> list[Beginning]:
    """The jobs of a template that were changed last."""
    jobs = services().directory.of_template(actor(), entry.type, RECENT, sort="-updated_at")
    return [Beginning(job.definition.name, f"recent={job.id}") for job in jobs]


def recent_runs(job: Job) -> list[Beginning]:
    """The last runs by hand of a job that had parameters of their own."""
    usual, distinct = services().parameters.shown(job), dict[str, Execution]()
    for row in services().history.page(actor(), ExecutionFilter(job_id=job.id), limit=LOOKED_AT).items:
        if row.triggered_by in BY_HAND and row.template_type == job.definition.template_type and row.parameters != usual:
            distinct.setdefault(repr(row.parameters), row)
    rows = list(distinct.values())[:RECENT]
    return [Beginning(say("{at:%Y-%m-%d %H:%M}", at=local(row.queued_at)), f"recent={row.id}", row.triggered_by_user or "") for row in rows]


def only_connections(schema: Mapping[str, Any]) -> dict[str, str]:
    """Returns the required parameters that name a connection, where there is a default connection of its kind or only one connection."""
    begun = {}
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        source = properties.get(name, {}).get("x-options", {}) if isinstance(properties.get(name), Mapping) else {}
        if source.get("from") != "connections":
            continue
        kind = str(source.get("kind", ""))
        names = list(services().connections.defaults({kind}).values()) or services().connections.options(kind)
        if len(names) == 1:
            begun[name] = str(names[0])
    return begun


def chosen_beginning(entry: TemplateVersion, *, of_job: bool) -> Any:
    """Returns the parameters that the address asks to begin with, as `beginning` does."""
    return beginning(entry, request.args, of_job=of_job)


def beginning(entry: TemplateVersion, asked: Mapping[str, str], *, of_job: bool) -> Any:
    """Returns the parameters to begin with, without secrets; ABSENT where `asked` names neither a `preset` nor what is `recent`. `of_job`:
    what is recent is a run of a job, else a job. Raises NotFound."""
    preset, recent = asked.get("preset"), asked.get("recent")
    if preset:
        parameters: Mapping[str, Any] = services().presets.get(actor(), entry.type, preset)["parameters"]
    elif recent and of_job:
        parameters = services().history.parameters_again(actor(), recent)
    elif recent:
        parameters = services().parameters.shown(services().jobs.get(actor(), recent))
    else:
        return ABSENT
    return without_secrets(entry.parameters_schema, parameters)


def save_preset(entry: TemplateVersion, editor: Editor) -> bool:
    """Saves the values of the form as a preset if its button was pressed. Returns False if it was not."""
    if SAVE not in request.form:
        return False
    value = editor.submission.value if editor.submission else ABSENT
    name = request.form.get("preset.name", "").strip()
    try:
        if not isinstance(value, Mapping):
            tell("There is nothing to save, because the form has no values")
        else:
            services().presets.save(actor(), entry.type, name, value, shared="preset.shared" in request.form)
            tell(say("Preset {name} saved, without secrets", name=name))
    except (ValidationFailed, LimitReached) as failed:
        tell(
            say("Preset not saved: {why}", why=failed.detail)
            if isinstance(failed, LimitReached)
            else say("A preset needs a name of at most 80 characters")
        )
    return True
