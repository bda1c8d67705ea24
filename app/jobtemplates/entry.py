"""A version of a template. Each job is made of one version."""

from __future__ import annotations

import copy
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.errors import FieldError, MigrationFailed
from app.jobtemplates.derived import Definition, compose, fixed_values
from app.validation import SchemaValidator, pointer
from app.validation.defaults import fill_defaults
from app.validation.dynamic import Known, resolve
from app.validation.together import beside
from templates_lib.base import JobTemplate
from templates_lib.messages import said


class State(StrEnum):
    """The state of a version of a derived template."""

    DRAFT = "draft"  # somebody is writing it: no job can use it
    PUBLISHED = "published"  # new jobs get the newest published version
    DEPRECATED = "deprecated"  # its jobs go on; new jobs cannot use it
    RETIRED = "retired"  # no job uses it, and none will


class WhenOff(StrEnum):
    """What happens with the jobs of a template that is switched off."""

    KEEP = "keep"  # they go on; no new ones are made
    PAUSE = "pause"  # their due times pass until it is switched on again, and nobody can run them by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """One version of a template: the parameters that it asks for, and the code that runs its jobs.

    `base` is the type of the base of a derived template; it is empty for a template that is code.
    """

    template: JobTemplate
    type: str
    version: int
    name: str
    description: str
    category: str
    icon: str
    parameters_schema: Mapping[str, Any]
    validator: SchemaValidator
    stores: bool  # its parameters can name a file store
    base: str = ""
    definition: Definition = field(default_factory=dict)
    state: State = State.PUBLISHED

    @property
    def load(self) -> str:
        """The place of its class, as "module:class"."""
        return f"{type(self.template).__module__}:{type(self.template).__qualname__}"

    @property
    def previews(self) -> bool:
        """Whether the template can preview a run."""
        return self.template.preview is not None

    @property
    def dangerous(self) -> bool:
        """Whether a super-admin must approve what an admin does with it."""
        return self.template.destructive or self.template.risk_level == "high"

    @property
    def families(self) -> tuple[str, ...]:
        """Its type and the type of its base. A rule that admits one of them admits the template."""
        return (self.type, self.base) if self.base else (self.type,)

    def unfixed(self, parameters: Any) -> list[str]:
        """Returns the pointers of parameters that have another value than the one that this version fixes."""
        fixed, values = fixed_values(self.definition), parameters if isinstance(parameters, Mapping) else {}
        return [pointer((name,)) for name, value in fixed.items() if name in values and values[name] != value]

    @property
    def help_text(self) -> str:
        """Its own help, followed by the README in the folder of its code, as Markdown."""
        return "\n\n".join(filter(None, (self.definition.get("help", ""), _readme(self.template))))

    def check(self, parameters: Any, *, prefix: str = "") -> list[FieldError]:
        """Returns the errors of `parameters`, whose dynamic values must be resolved. The schema is checked first; the code's own rules
        are checked if the schema is met."""
        errors = self.validator.errors(parameters, prefix=prefix)
        if errors:
            return errors
        return [FieldError(prefix + problem.pointer, problem.message) for problem in self.template.check(parameters)]

    def check_ahead(self, parameters: Any, known: Known, *, prefix: str = "") -> list[FieldError]:
        """Returns the errors of the parameters of a later run, as far as their dynamic values are known now."""
        resolved = resolve(self.parameters_schema, parameters, known, prefix=prefix)
        complete = not resolved.open and not resolved.errors  # the code's own rules need all values
        wrong = self.check(resolved.value, prefix=prefix) if complete else self.validator.errors(resolved.value, prefix=prefix)
        errors = beside(resolved.errors, [error for error in wrong if error.pointer not in resolved.open])
        reported = {error.pointer for error in errors}
        unfixed = [FieldError(prefix + at, "is fixed by the template") for at in self.unfixed(parameters)]
        return [*errors, *(error for error in unfixed if error.pointer not in reported)]

    def upgrade_parameters(self, parameters: Mapping[str, Any], written_for: int) -> dict[str, Any]:
        """Upgrades parameters that were written for the version `written_for` of the code with the code's own migrations, one version at
        a time, and returns them. Does not fill in defaults. Raises MigrationFailed."""
        steps = [step for step in range(written_for, self.template.version) if step in self.template.migrations]
        upgraded = copy.deepcopy(dict(parameters)) if steps else dict(parameters)  # a migration may change its argument
        for step in steps:
            try:
                upgraded = self.template.migrations[step](upgraded)
            except Exception as error:
                why = f"the migration of {self.template.name} from version {step} raised {type(error).__name__}: {error}"
                raise MigrationFailed(why[:500]) from error
        return upgraded

    def convert_parameters(self, parameters: Mapping[str, Any], written_for: int) -> dict[str, Any]:
        """Converts parameters of another version of this template to this one and returns them: upgraded, with the fixed values of this
        version, and with its defaults for what they leave out."""
        return with_defaults(self.parameters_schema, {**self.upgrade_parameters(parameters, written_for), **fixed_values(self.definition)})


def of_code(template: JobTemplate) -> TemplateVersion:
    """Returns a template that is code, as its only version."""
    return TemplateVersion(
        template=template,
        type=template.type,
        version=template.version,
        name=said(template.name),
        description=said(template.description),
        category=said(template.category),
        icon=template.icon,
        parameters_schema=template.parameters_schema,
        validator=SchemaValidator(template.parameters_schema),
        stores=_names_stores(template.parameters_schema),
    )


def of_definition(kind: str, base: TemplateVersion, definition: Definition, *, version: int, state: State) -> TemplateVersion:
    """Returns one version of a derived template. The definition must have no problems (derived.problems)."""
    schema = compose(base.parameters_schema, definition)
    return TemplateVersion(
        template=base.template,
        type=kind,
        version=version,
        name=definition["name"],
        description=definition["description"],
        category=definition["category"],
        icon=definition.get("icon", base.icon),
        parameters_schema=schema,
        validator=SchemaValidator(schema),
        stores=base.stores,
        base=base.type,
        definition=definition,
        state=state,
    )


def with_defaults(schema: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `value` with the defaults of the schema for what it leaves out, as an empty form shows them (app.validation.defaults)."""
    return fill_defaults(schema, value)


def _readme(template: JobTemplate) -> str:
    package = type(template).__module__.rpartition(".")[0]
    if not package:  # a module by itself
        return ""
    readme = importlib.resources.files(package).joinpath("README.md")
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


def _names_stores(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        options = schema.get("x-options")
        return (isinstance(options, Mapping) and options.get("kind") == "file_store") or any(map(_names_stores, schema.values()))
    return isinstance(schema, list) and any(map(_names_stores, schema))
