"""The job form: name and labels, the template's own form, the schedule, notifications, policies. One object reads them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from app.errors import FieldError, NotFound, ValidationFailed
from app.execution.figures import Figures
from app.jobs.body import as_request, without_secrets
from app.jobs.model import Job, JobDefinition, to_plain
from app.jobs.policy_presets import PolicyPreset, matching, presets
from app.jobs.reading import load_definition
from app.jobs.registered import LOCKED_FIELDS
from app.jobtemplates.entry import TemplateVersion
from app.jobtemplates.presets import without_secrets as without_secrets_of_form
from app.triggers import CronTrigger
from app.validation.together import beside
from app.validation.words import DEFAULT_LOCALE
from app.zones import zone_names
from templates_lib.messages import say
from web.current import actor, services, viewer_zone
from web.filters.job_words import titles_on_the_way
from web.forms import ABSENT
from web.forms.page.messages import SummaryLine
from web.language import translated
from web.schedule_parts import PARTS as SCHEDULE_PARTS
from web.views.beginnings import Beginning, beginning, only_connections, presets_of, recent_jobs
from web.views.common import CHECK, Editor, Pairs, parameters_form
from web.views.job_fields import (
    AFTER_FIELDS,
    DETAIL_FIELDS,
    NOTIFY_FIELDS,
    POLICY_FIELDS,
    after_form,
    details_form,
    notifications_form,
    policies_form,
)
from web.views.schedule_form import CALENDAR, input_ids, merged, parts_context, preview_schedule, read_schedule, schedule_fields

DETAILS, PARAMETERS, AFTER, NOTIFY, POLICIES = "d", "p", "w", "n", "o"
PARTS = (DETAILS, PARAMETERS, AFTER, NOTIFY, POLICIES)
# Where the values of a part stand in the body of a job, and the fields of the body that it holds.
_PLACE = {DETAILS: "", PARAMETERS: "/parameters", AFTER: "", NOTIFY: "/notifications", POLICIES: ""}
_FIELDS = {DETAILS: DETAIL_FIELDS, PARAMETERS: ("parameters",), AFTER: AFTER_FIELDS, NOTIFY: NOTIFY_FIELDS, POLICIES: POLICY_FIELDS}
BEGIN = "begin"  # begins the action of a button that fills in the parameters of another job or a preset; what to copy follows
BEGUN = "begun"  # the field with what the parameters were filled in from last
_SCHEDULE_PRESETS = tuple(part.preset for part in SCHEDULE_PARTS.values() if part.preset)
USE_PRESET = "preset"  # begins the action of a button that fills in the policies of a preset; its name follows


@dataclass
class JobForm:
    """One page's worth of form; `body` is what the service is given, `errors` what keeps it from being sent.

    `job` is the one that is edited, `like` the one that a new one is made after: without its name and its secrets. `begin` are
    parameters that a new one begins with. `begun` says what these were copied from, in the words of the
    address. `schedule` are the posted fields of the schedule; empty for a page that was only asked for.
    """

    entry: TemplateVersion
    job: Job | None = None
    like: Job | None = None
    begin: Any = ABSENT
    schedule: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[FieldError, ...] = ()
    pressed: str | None = None
    policies_open: bool = False
    begun: str = ""
    parts: dict[str, Editor] = field(init=False)

    def __post_init__(self) -> None:
        shown = self.job or self.like
        plain = to_plain(shown.definition if shown else _defaults(self.entry.type))
        details: Any = {name: plain[name] for name in DETAIL_FIELDS if plain[name]} if shown else ABSENT
        if not shown and actor().groups:  # whoever is kept to groups makes jobs of theirs
            details = {"group": min(actor().groups or ())}
        after: Any = {"depends_on": services().dependencies.with_names(actor(), plain["depends_on"])}
        if self.locked:
            details = {name: value for name, value in details.items() if name not in LOCKED_FIELDS}
        parameters = services().parameters.shown(shown) if shown else self._begun()
        if self.like:
            details = {**details, "name": translated(say("Copy of {name}", name=self.like.definition.name))[:200]}
            parameters = without_secrets(parameters)
        self.parts = {
            DETAILS: Editor(details_form(locked=self.locked), details, DETAILS),
            PARAMETERS: Editor(
                parameters_form(self.entry.parameters_schema, new_connections=True),
                parameters,
                PARAMETERS,
                fresh=self.job is None and parameters is not ABSENT,
            ),
            AFTER: Editor(after_form(), after, AFTER),
            NOTIFY: Editor(notifications_form(), plain["notifications"], NOTIFY),
            POLICIES: Editor(
                policies_form(locked=self.locked),
                {name: plain[name] for name in POLICY_FIELDS if not (self.locked and name in LOCKED_FIELDS)},
                POLICIES,
            ),
        }

    @classmethod
    def read(cls, entry: TemplateVersion, pairs: Pairs, job: Job | None = None) -> JobForm:
        """The posted form; a button has done its work already, and a check has told what is wrong so far."""
        form = cls(entry, job, schedule=merged(dict(pairs)))
        for prefix, part in form.parts.items():
            if not (form.locked and prefix in (PARAMETERS, AFTER)):
                part.read(pairs)
        presets = (name for name in _SCHEDULE_PRESETS if name in dict(pairs))
        form.pressed = next((part.pressed for part in form.parts.values() if part.pressed), next(presets, None))
        form._use_preset()
        form._use_beginning()
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
        emptied = {"description": "", "tags": [], "group": "", "needs": []}
        after = self._value(AFTER).get("depends_on", [])
        body = {
            **emptied,
            **self._value(DETAILS),
            **self._value(POLICIES),
            "notifications": self._value(NOTIFY),
            "depends_on": services().dependencies.with_ids(actor(), after),
            "template_type": self.entry.type,
            "parameters": self._value(PARAMETERS),
            "schedule": read_schedule(self.schedule)[0],
        }
        if self.job is not None and self.locked:
            body["schedule"] = _with_spelling_of(self.job.definition.schedule.values(), body["schedule"])
            body |= {name: value for name, value in as_request(self.job.definition).items() if name in LOCKED_FIELDS}
        return body

    @property
    def locked(self) -> bool:
        """Whether the code of a service decides what the job does."""
        return self.job is not None and self.job.registered is not None

    def _begun(self) -> Any:
        """Returns the parameters that a new job begins with: those that were asked for, else the connections without an alternative."""
        if self.begin is not ABSENT:
            return self.begin
        return only_connections(self.entry.parameters_schema) or ABSENT

    def _use_preset(self) -> None:
        """Puts the values of a preset into the policies if its button was pressed."""
        part = self.parts[POLICIES]
        action, _, name = (part.pressed or "").partition(" ")
        preset = next((preset for preset in self._presets() if preset.name == name), None) if action == USE_PRESET else None
        if preset is not None:
            value = part.submission.value if part.submission and not part.submission.errors else part.stored
            self.parts[POLICIES] = Editor(policies_form(locked=self.locked), preset.applied(value), POLICIES, pressed=part.pressed)

    def _use_beginning(self) -> None:
        """Fills in the parameters of another job or a preset if its button was pressed. What was typed into other fields stays, except
        what an earlier press has filled in."""
        part = self.parts[PARAMETERS]
        action, _, asked = (part.pressed or "").partition(" ")
        if action != BEGIN or self.job is not None:
            return
        copied = beginning(self.entry, dict(parse_qsl(asked)), of_job=False)
        if copied is ABSENT:
            return
        typed = part.submission.value if part.submission else ABSENT
        schema = self.entry.parameters_schema
        typed = without_secrets_of_form(schema, typed) if isinstance(typed, Mapping) else {}
        kept = {name: value for name, value in typed.items() if name not in copied and value != self._begun_with(name)}
        values = {**kept, **copied}
        form = parameters_form(schema, new_connections=True)
        self.parts[PARAMETERS] = Editor(form, values, PARAMETERS, pressed=part.pressed, fresh=True)
        self.begun = asked

    def _begun_with(self, name: str) -> Any:
        """Returns what the form held in a parameter before a person typed: from an earlier beginning, else the default."""
        try:
            before = beginning(self.entry, dict(parse_qsl(self.schedule.get(BEGUN, ""))), of_job=False)
        except NotFound:
            before = ABSENT
        before = self._begun() if before is ABSENT else before
        member = self.entry.parameters_schema.get("properties", {}).get(name, {})
        default = member.get("default", ABSENT) if isinstance(member, Mapping) else ABSENT
        return before.get(name, default) if isinstance(before, Mapping) else default

    def _presets(self) -> Sequence[PolicyPreset]:
        return () if self.locked else presets(_policies(_defaults(self.entry.type)))

    def _preset(self) -> PolicyPreset | None:
        """Returns the preset whose values the policies have now; None for values of a person's own."""
        part = self.parts[POLICIES]
        value = part.submission.value if part.submission else part.stored
        return matching(value, self._presets()) if isinstance(value, Mapping) else None

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
            "notifications": drawn[NOTIFY].controls,
            "mail_problem": services().outlook.mail_problem(),
            "mail_is_named": bool(services().settings.notify_connection),
            "policies": drawn[POLICIES].controls,
            "locked": services().parameters.shown(self.job) if self.job is not None and self.locked else None,
            "policy_presets": self._presets(),
            "policy_preset": self._preset(),
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
                *drawn[NOTIFY].summary,
                *drawn[POLICIES].summary,
            ],
            "zones": sorted(zone_names()),
            "other_zone": schedule.get("s.timezone") != viewer_zone(),
            "calendars": services().calendars.names(),
            "chosen_calendars": [name.removeprefix(CALENDAR) for name in schedule if name.startswith(CALENDAR)],
            "typical": schedule.get("s.typical") or self._typical_seconds(),
            "entry": self.entry,
            "job": self.job,
            "version": self.schedule.get("version") or (self.job.version if self.job else ""),
            "note": services().catalogue.standing(self.entry.type).note,
            "begun": self.begun or self.schedule.get(BEGUN, ""),
            "beginnings": None if shown else self._beginnings(),
        }

    def _beginnings(self) -> dict[str, list[Beginning]]:
        return {say("Presets"): presets_of(self.entry), say("Values of another job"): recent_jobs(self.entry)}

    def _typical_seconds(self) -> int:
        """How long a run of the job takes, as the middle of the latest ones; 0 where none has succeeded."""
        latest = services().history.latest(actor(), self.job.id) if self.job else []
        return round(Figures.of(latest).median_seconds or 0)

    def _errors_of(self, prefix: str) -> list[FieldError]:
        return [
            error.within(_PLACE[prefix]) for error in self.errors if error.pointer.split("/")[1:2] in [[name] for name in _FIELDS[prefix]]
        ]

    def _other_errors(self) -> list[SummaryLine]:
        """What is wrong with the schedule, or with the job as a whole."""
        parts = {name for fields in _FIELDS.values() for name in fields}
        return [
            SummaryLine(
                error.pointer,
                f"#{input_ids().get(error.pointer, 'job-form')}",
                titles_on_the_way(error.pointer),
                error.message,
            )
            for error in self.errors
            if error.pointer.split("/")[1:2] not in [[name] for name in parts]
        ]


def _with_spelling_of(stored: Mapping[str, Any], schedule: dict[str, Any]) -> dict[str, Any]:
    """Returns a schedule with the stored cron expression if that means the same: the form writes `MON` as `1`, and that is no change of an
    admin."""
    old, new = stored.get("expression"), schedule.get("expression")
    if schedule["type"] != CronTrigger.type or not isinstance(old, str) or not isinstance(new, str) or old == new:
        return schedule
    same = _words_of(old) == _words_of(new) != ""
    return {**schedule, "expression": old} if same else schedule


def _words_of(expression: str) -> str:
    try:
        return CronTrigger(expression=expression).words(DEFAULT_LOCALE)
    except ValueError:  # it is not an expression
        return ""


def _policies(definition: JobDefinition) -> dict[str, Any]:
    plain = to_plain(definition)
    return {name: plain[name] for name in POLICY_FIELDS}


def _defaults(template_type: str) -> JobDefinition:
    return load_definition({"name": "x", "template_type": template_type}, services().settings)
