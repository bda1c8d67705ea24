"""The catalogue: which kinds there are, and what their schemas say about a job's parameters."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from app.errors import FieldError, NotFound
from app.events import get_logger
from app.validation import SchemaValidator
from templates_lib.base import JobTemplate

log = get_logger(__name__)

ENTRY_POINTS = "jobwright.templates"


@dataclass(frozen=True, slots=True)
class Entry:
    """A template with what is computed from it once."""

    template: JobTemplate
    validator: SchemaValidator
    stores: bool  # its parameters can name a file store

    @property
    def load(self) -> str:
        """Where its class is, "module:class"."""
        return f"{type(self.template).__module__}:{type(self.template).__qualname__}"

    @property
    def previews(self) -> bool:
        """True where the template can say what a run would do."""
        return self.template.preview is not None


class Catalogue:
    """Templates by type. A template that cannot be loaded is in `broken` with the reason, and the others work."""

    def __init__(self, templates: Mapping[str, JobTemplate], broken: Mapping[str, str] | None = None) -> None:
        self._entries = {
            kind: Entry(one, SchemaValidator(one.parameters_schema), _names_stores(one.parameters_schema))
            for kind, one in templates.items()
        }
        self.broken = dict(broken or {})

    @classmethod
    def discover(cls) -> Catalogue:
        """Load every entry point of group `jobwright.templates`, ours and those of other packages."""
        templates: dict[str, JobTemplate] = {}
        broken: dict[str, str] = {}
        for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
            try:
                template = point.load()()
                _check_declaration(template)
                if template.type in templates:
                    raise TypeError(f"the type {template.type!r} is there already")
                templates[template.type] = template
            except Exception as error:
                broken[point.name] = f"{type(error).__name__}: {error}"
                log.exception("catalogue.broken", template=point.name, reason=broken[point.name])
        return cls(templates, broken)

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda entry: (entry.template.category, entry.template.name)))

    def get(self, kind: str) -> Entry:
        """Raises NotFound."""
        if kind not in self._entries:
            raise NotFound("template", kind)
        return self._entries[kind]

    def types(self) -> list[str]:
        return sorted(self._entries)

    def check(self, kind: str, parameters: Any, *, prefix: str = "") -> list[FieldError]:
        """What is wrong with `parameters` for template `kind`: by its schema, then by the template's own rules."""
        entry = self.get(kind)
        errors = entry.validator.errors(parameters, prefix=prefix)
        if errors:
            return errors
        return [FieldError(prefix + problem.pointer, problem.message) for problem in entry.template.check(parameters)]

    def help_text(self, kind: str) -> str:
        """The README of a template's folder, Markdown; empty where it has none."""
        package = type(self.get(kind).template).__module__.rpartition(".")[0]
        if not package:  # a module by itself
            return ""
        readme = importlib.resources.files(package).joinpath("README.md")
        return readme.read_text(encoding="utf-8") if readme.is_file() else ""


def with_defaults(schema: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` with the default of each top-level property that it leaves out."""
    missing = {
        name: member["default"] for name, member in schema.get("properties", {}).items() if "default" in member and name not in value
    }
    return {**value, **missing}


def _names_stores(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        options = schema.get("x-options")
        return (isinstance(options, Mapping) and options.get("kind") == "file_store") or any(map(_names_stores, schema.values()))
    return isinstance(schema, list) and any(map(_names_stores, schema))


def _check_declaration(template: Any) -> None:
    if not isinstance(template, JobTemplate):
        raise TypeError("is not a JobTemplate")
    for name in ("type", "name", "description", "category", "icon", "parameters_schema"):
        if not getattr(template, name, None):
            raise TypeError(f"declares no {name}")
    Draft202012Validator.check_schema(template.parameters_schema)
    if template.parameters_schema.get("type") != "object":
        raise TypeError("parameters_schema must be of type object")
