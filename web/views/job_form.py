"""The job form: what the person says of the job, the template's own form, the schedule, the policies. One object reads all four."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from app.errors import FieldError, ValidationFailed
from app.execution.figures import Figures
from app.jobs.body import without_secrets
from app.jobs.model import Job, JobDefinition, to_plain
from app.jobs.reading import json_schema, load_definition
from app.jobs.schema import JobDefinitionSchema
from app.jobtemplates.entry import TemplateVersion
from app.triggers import FIELDS
from app.validation.together import beside
from app.zones import zone_names
from templates_lib.messages import joined, say
from web.current import actor, services
from web.filters.states import ENDS
from web.forms import ABSENT, Form
from web.forms.page.messages import SummaryLine
from web.language import translated
from web.schedule_parts.cron import PRESET
from web.views.beginnings import presets_of, recent_jobs
from web.views.common import CHECK, Editor, Pairs, form_of, live_options, parameters_form
from web.views.schedule_form import CALENDAR, input_ids, merged, parts_context, preview_schedule, read_schedule, schedule_fields

DETAILS, PARAMETERS, AFTER, POLICIES = "d", "p", "w", "o"
_PLACE = {DETAILS: "", PARAMETERS: "/parameters", AFTER: "", POLICIES: ""}  # where a part's values stand in the body
DETAIL_FIELDS = ("name", "description", "tags", "group")
AFTER_FIELDS = ("depends_on",)
POLICY_FIELDS = (
    "timeout_seconds",
    "retry_policy",
    "overlap",
    "misfire",
    "concurrency",
    "priority",
    "pause_after_failures",
    "notifications",
)
_PARTS = {
    "schedule": say("Schedule"),
    **{name: field.title for name, field in FIELDS.items()},
    "timezone": say("Time zone"),
    "start_at": say("Not before"),
    "end_at": say("Not from"),
    "jitter_seconds": say("Spread the start over"),
    "calendars": say("Blackout calendars"),
    "template_type": say("Template"),
    "type": say("Type"),
    "enabled": say("Enabled"),
}
_TITLES = {
    "name": say("Name"),
    "description": say("Description"),
    "tags": say("Tags"),
    "group": say("Group"),
    "timeout_seconds": say("Timeout in seconds"),
    "retry_policy": say("Retries"),
    "overlap": say("When it is due and still runs"),
    "misfire": say("When it could not start in time"),
    "concurrency": say("Concurrency"),
    "priority": say("Priority"),
    "pause_after_failures": say("Pause after failures in a row"),
    "notifications": say("Notifications"),
    "depends_on": say("Run after other jobs"),
}
_ITEMS = {
    "depends_on": say("Job"),
    "tags": say("Tag"),
    "retry_on": say("Ending"),
    "on_success": say("Address"),
    "on_failure": say("Address"),
}
_WORDS: dict[str, Mapping[str, str]] = {
    "overlap": {
        "skip": say("Skip the new run"),
        "queue": say("Let the new run wait"),
        "replace": say("Stop the old run"),
        "allow": say("Run both"),
    },
    "policy": {"skip": say("Leave them out"), "once": say("Run once"), "all": say("Run all, up to the cap")},
    "backoff": {"exponential": say("Longer each time"), "fixed": say("The same each time")},
    "when": {end.value: words for end, words in ENDS.items()},
    "retry_on": {"error": say("An error"), "timeout": say("A timeout"), "lost_worker": say("A lost worker")},
}


_OPTIONAL = {"description", "tags", "group", "depends_on"}
_LISTED = {"group": "groups", "job": "jobs"}  # what is offered for a field, of which others may be typed


@cache
def _definition_schema() -> dict[str, Any]:
    """The JSON Schema of a job's body, out of the one marshmallow schema that REST uses."""
    return json_schema(JobDefinitionSchema())


@cache
def _part(names: tuple[str, ...]) -> dict[str, Any]:
    """The form schema of some fields, with words for people."""
    properties = _definition_schema()["properties"]
    chosen = {name: _worded(name, {**properties[name], "title": _TITLES[name]}) for name in names}
    return {
        "type": "object",
        "properties": chosen,
        "required": [name for name in names if name not in _OPTIONAL],
        "additionalProperties": False,
    }


def _worded(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    worded = dict(schema)
    if "enum" in worded and name in _WORDS:
        worded["oneOf"] = [{"const": value, "title": _WORDS[name].get(value, value)} for value in worded.pop("enum")]
        worded.pop("type", None)
    if "properties" in worded:
        worded["properties"] = {key: _worded(key, inner) for key, inner in worded["properties"].items()}
        worded["required"] = list(worded["properties"])
    if "items" in worded:
        worded["items"] = _worded(name, {**worded["items"], "title": _ITEMS[name]})
    if name == "description":
        worded["x-widget"] = "textarea"
        worded.pop("description", None)
    if name in _LISTED:
        worded["x-options"] = {"from": _LISTED[name], "free": True}
    if name == "depends_on":
        worded["x-item-title"] = _ITEMS[name]
    if name in {"job", "when"}:  # said by what is offered
        worded.pop("description", None)
    if name in {"name", "priority", "timeout_seconds", "depends_on"} and "properties" not in worded:
        worded["description"] = {
            "depends_on": say("Besides its schedule: once each of these has ended so, since it last ran for them."),
            "name": say("Unique; what you will look for at 3 a.m."),
            "priority": say("1 to 10; when places are short, a level is worth a minute of waiting."),
            "timeout_seconds": say("After that the run and all its processes are ended."),
        }[name]
    return worded


def details_form() -> Form:
    return form_of(_part(DETAIL_FIELDS), options=live_options)


def after_form() -> Form:
    return form_of(_part(AFTER_FIELDS), options=live_options)


def policies_form() -> Form:
    return form_of(_part(POLICY_FIELDS))


@dataclass
class JobForm:
    """One page's worth of form; `body` is what the service is given, `errors` what keeps it from being sent.

    `job` is the one that is edited, `like` the one that a new one is made after: without its name and its secrets. `begin` are
    parameters that a new one begins with. `schedule` are the posted fields of the schedule; empty for a page that was only asked for.
    """

    entry: TemplateVersion
    job: Job | None = None
    like: Job | None = None
    begin: Any = ABSENT
    schedule: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[FieldError, ...] = ()
    pressed: str | None = None
    policies_open: bool = False
    parts: dict[str, Editor] = field(init=False)

    def __post_init__(self) -> None:
        shown = self.job or self.like
        plain = to_plain(shown.definition if shown else _defaults(self.entry.type))
        details: Any = {name: plain[name] for name in DETAIL_FIELDS} if shown else ABSENT
        if not shown and actor().groups:  # whoever is kept to groups makes jobs of theirs
            details = {"group": min(actor().groups or ())}
        after: Any = {"depends_on": services().dependencies.with_names(actor(), plain["depends_on"])}
        parameters = services().parameters.shown(shown) if shown else self.begin
        if self.like:
            details = {**details, "name": translated(say("Copy of {name}", name=self.like.definition.name))[:200]}
            parameters = without_secrets(parameters)
        self.parts = {
            DETAILS: Editor(details_form(), details, DETAILS),
            PARAMETERS: Editor(
                parameters_form(self.entry.parameters_schema), parameters, PARAMETERS, fresh=self.job is None and parameters is not ABSENT
            ),
            AFTER: Editor(after_form(), after, AFTER),
            POLICIES: Editor(policies_form(), {name: plain[name] for name in POLICY_FIELDS}, POLICIES),
        }

    @classmethod
    def read(cls, entry: TemplateVersion, pairs: Pairs, job: Job | None = None) -> JobForm:
        """The posted form; a button has done its work already, and a check has told what is wrong so far."""
        form = cls(entry, job, schedule=merged(dict(pairs)))
        for part in form.parts.values():
            part.read(pairs)
        form.pressed = next((part.pressed for part in form.parts.values() if part.pressed), PRESET if PRESET in dict(pairs) else None)
        form.policies_open = form.parts[POLICIES].pressed is not None
        if form.pressed == CHECK:  # one of the whole page, whichever part it was posted with
            for part in form.parts.values():
                part.pressed = CHECK
            form.fail(form._wrong())
        return form

    @property
    def body(self) -> dict[str, Any]:
        """The definition as JSON. Raises ValidationFailed where a part of the form holds no value that could be sent."""
        errors = self._wrong()
        if errors:
            raise ValidationFailed(beside(errors, self._wrong_beyond()))
        return self._body()

    def _body(self) -> dict[str, Any]:
        """What the parts hold, whether that is right or not."""
        emptied = {"description": "", "tags": [], "group": ""}
        after = self._value(AFTER).get("depends_on", [])
        return {
            **emptied,
            **self._value(DETAILS),
            **self._value(POLICIES),
            "depends_on": services().dependencies.with_ids(actor(), after),
            "template_type": self.entry.type,
            "parameters": self._value(PARAMETERS),
            "schedule": read_schedule(self.schedule)[0],
        }

    def _value(self, prefix: str) -> Any:
        submission = self.parts[prefix].submission
        return {} if submission is None or submission.value is ABSENT else submission.value

    def _wrong_beyond(self) -> tuple[FieldError, ...]:
        """What the registry would say of the job, beside what the parts themselves find."""
        body = self._body()
        whole = {name: value for name, value in body.items() if name != "parameters" or isinstance(value, dict)}
        return services().jobs.problems(actor(), whole, job_id=self.job.id if self.job else None)

    def _wrong(self) -> list[FieldError]:
        errors = [
            error.below(_PLACE[prefix])
            for prefix, part in self.parts.items()
            if part.submission is not None
            for error in part.submission.errors
        ]
        return errors + read_schedule(self.schedule)[1]

    def fail(self, errors: Iterable[FieldError]) -> None:
        """Show these beside what was typed."""
        self.errors = tuple(errors)

    def render(self) -> dict[str, Any]:
        """What the page needs."""
        shown = self.job or self.like
        schedule = self.schedule or schedule_fields(shown.definition.schedule if shown else None)
        drawn = {prefix: part.present(self._errors_of(prefix)) for prefix, part in self.parts.items()}
        return {
            "details": drawn[DETAILS].controls,
            "parameters": drawn[PARAMETERS].controls,
            "parameters_are_json": drawn[PARAMETERS].is_json,
            "after": drawn[AFTER].controls,
            "policies": drawn[POLICIES].controls,
            "policies_open": self.policies_open or bool(drawn[POLICIES].summary),
            "schedule": schedule,
            "schedule_errors": {e.pointer.rpartition("/")[2]: e.message for e in self.errors if e.pointer.startswith("/schedule")},
            "preview": preview_schedule({**schedule, "s.typical": str(self._typical_seconds()), "s.job": self.job.id if self.job else ""}),
            **parts_context(schedule),
            "errors": [
                *drawn[DETAILS].summary,
                *drawn[PARAMETERS].summary,
                *self._other_errors(),
                *drawn[AFTER].summary,
                *drawn[POLICIES].summary,
            ],
            "zones": sorted(zone_names()),
            "calendars": services().calendars.names(),
            "chosen_calendars": [name.removeprefix(CALENDAR) for name in schedule if name.startswith(CALENDAR)],
            "typical": schedule.get("s.typical") or self._typical_seconds(),
            "entry": self.entry,
            "job": self.job,
            "note": services().catalogue.standing(self.entry.type).note,
            "beginnings": None if shown else {say("Presets"): presets_of(self.entry), say("As in"): recent_jobs(self.entry)},
        }

    def _typical_seconds(self) -> int:
        """How long a run of the job takes, as the middle of the latest ones; 0 where none has succeeded."""
        latest = services().history.latest(actor(), self.job.id) if self.job else []
        return round(Figures.of(latest).median_seconds or 0)

    def _errors_of(self, prefix: str) -> list[FieldError]:
        fields = {DETAILS: DETAIL_FIELDS, PARAMETERS: ("parameters",), AFTER: AFTER_FIELDS, POLICIES: POLICY_FIELDS}[prefix]
        return [error.within(_PLACE[prefix]) for error in self.errors if error.pointer.split("/")[1:2] in [[name] for name in fields]]

    def _other_errors(self) -> list[SummaryLine]:
        """What is wrong with the schedule, or with the job as a whole."""
        parts = {*DETAIL_FIELDS, *AFTER_FIELDS, *POLICY_FIELDS, "parameters"}
        return [
            SummaryLine(error.pointer, f"#{input_ids().get(error.pointer, 'job-form')}", _in_words(error.pointer), error.message)
            for error in self.errors
            if error.pointer.split("/")[1:2] not in [[name] for name in parts]
        ]


def _in_words(pointer: str) -> str:
    """What a place outside the forms is called: "Schedule › Run at"."""
    return joined((_PARTS.get(part, part) for part in pointer.strip("/").split("/")), " › ") if pointer else say("Job")


def _defaults(template_type: str) -> JobDefinition:
    return load_definition({"name": "x", "template_type": template_type}, services().settings)
