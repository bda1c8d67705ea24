"""A version of a template, as jobs are made of it."""

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
    """Where a version of a derived template is."""

    DRAFT = "draft"  # being written: no job can be of it
    PUBLISHED = "published"  # the newest of these is the one that new jobs are of
    DEPRECATED = "deprecated"  # its jobs go on; there are no new ones
    RETIRED = "retired"  # no job is of it, nor will be


class WhenOff(StrEnum):
    """What becomes of the jobs of a template that is switched off."""

    KEEP = "keep"  # they run on; there are no new ones
    PAUSE = "pause"  # their due times go by until it is switched on again, and none is run by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """One version of a template: what its jobs are asked, and the code that runs them.

    `base` is the type that a derived template is made from, empty for one that is code.
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
        """Where its class is, "module:class"."""
        return f"{type(self.template).__module__}:{type(self.template).__qualname__}"

    @property
    def previews(self) -> bool:
        """True where the template can say what a run would do."""
        return self.template.preview is not None

    @property
    def dangerous(self) -> bool:
        """True where a super-admin is to approve what an admin does with it."""
        return self.template.destructive or self.template.risk_level == "high"

    @property
    def families(self) -> tuple[str, ...]:
        """Its type, and that of the template that it is made from: whoever admits either admits it."""
        return (self.type, self.base) if self.base else (self.type,)

    def unfixed(self, parameters: Any) -> list[str]:
        """Pointers of the parameters that are not what this version fixes them to."""
        fixed, given = fixed_values(self.definition), parameters if isinstance(parameters, Mapping) else {}
        return [pointer((name,)) for name, value in fixed.items() if name in given and given[name] != value]

    @property
    def help_text(self) -> str:
        """Markdown: its own help, then the README of the code's folder."""
        return "\n\n".join(filter(None, (self.definition.get("help", ""), _readme(self.template))))

    def check(self, parameters: Any, *, prefix: str = "") -> list[FieldError]:
        """Returns what is wrong with `parameters`, whose dynamic values are resolved: by the schema, then by the code's own rules."""
        errors = self.validator.errors(parameters, prefix=prefix)
        if errors:
            return errors
        return [FieldError(prefix + problem.pointer, problem.message) for problem in self.template.check(parameters)]

    def check_ahead(self, parameters: Any, known: Known, *, prefix: str = "") -> list[FieldError]:
        """Returns the same for the parameters of a run to come, as far as their dynamic values are known."""
        found = resolve(self.parameters_schema, parameters, known, prefix=prefix)
        own_rules = not found.open and not found.errors  # they are for whole parameters
        judged = self.check(found.value, prefix=prefix) if own_rules else self.validator.errors(found.value, prefix=prefix)
        errors = beside(found.errors, [one for one in judged if one.pointer not in found.open])
        told = {one.pointer for one in errors}
        unfixed = [FieldError(prefix + at, "is fixed by the template") for at in self.unfixed(parameters)]
        return [*errors, *(one for one in unfixed if one.pointer not in told)]

    def upgrade_parameters(self, parameters: Mapping[str, Any], written_for: int) -> dict[str, Any]:
        """Returns parameters that were written for the version `written_for` of the code, upgraded by the code's own migrations, step by
        step. Defaults are not filled in. Raises MigrationFailed."""
        steps = [step for step in range(written_for, self.template.version) if step in self.template.migrations]
        found = copy.deepcopy(dict(parameters)) if steps else dict(parameters)  # a migration may change what it is given
        for step in steps:
            try:
                found = self.template.migrations[step](found)
            except Exception as error:
                why = f"the migration of {self.template.name} from version {step} raised {type(error).__name__}: {error}"
                raise MigrationFailed(why[:500]) from error
        return found

    def convert_parameters(self, parameters: Mapping[str, Any], written_for: int) -> dict[str, Any]:
        """Returns parameters of another version of this template, converted to this one: upgraded, with its fixed values, and with its
        defaults for what they leave out."""
        return with_defaults(self.parameters_schema, {**self.upgrade_parameters(parameters, written_for), **fixed_values(self.definition)})


def of_code(template: JobTemplate) -> TemplateVersion:
    """A template that is code, in the one version that there is."""
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
    """A derived template in one version. `definition` has no problems (derived.problems)."""
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
    """`value` with the schema's defaults for what it leaves out, as a fresh form shows them (app.validation.defaults)."""
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
