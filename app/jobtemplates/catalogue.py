"""The catalogue of templates: those that are code, and those that are derived from them."""

from __future__ import annotations

import copy
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.accounts.model import Role
from app.errors import NotFound
from app.events import get_logger
from app.jobtemplates.derived import problems
from app.jobtemplates.entry import State, TemplateVersion, WhenOff, of_code, of_definition
from app.labels import union
from app.mongo import Document
from app.validation.older import Converted, converted
from app.validation.schema import prepare
from templates_lib.base import JobTemplate
from templates_lib.messages import Said, say

log = get_logger(__name__)

_CLOSED: dict[State, Said] = {State.DRAFT: say("is a draft"), State.DEPRECATED: say("is deprecated"), State.RETIRED: say("is retired")}

ENTRY_POINTS = "jobwright.templates"
STALE_AFTER_SECONDS = 1.0  # changes by another process are seen here after this time at the latest


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The settings of super-admins for a template.

    They say whether it is on, what its jobs do while it is off, which roles may use it (empty: all roles that may use templates), a note
    for people who make jobs of it, and the labels of nodes that its jobs need.
    """

    enabled: bool = True
    when_off: WhenOff = WhenOff.KEEP
    roles: tuple[Role, ...] = ()
    note: str = ""
    needs: tuple[str, ...] = ()

    @property
    def pauses(self) -> bool:
        """Whether the due times of its jobs pass without a run."""
        return not self.enabled and self.when_off is WhenOff.PAUSE


class Catalogue:
    """Templates by type. A template that cannot be loaded is in `broken` with the reason, and the others work.

    `rows` reads the documents of templates from the database. Without it, the catalogue has only templates that are code.
    """

    def __init__(
        self,
        templates: Mapping[str, JobTemplate],
        broken: Mapping[str, str] | None = None,
        *,
        conversions: Mapping[str, Converted] | None = None,
        rows: Callable[[], Sequence[Document]] | None = None,
        monotonic: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._code = {kind: of_code(template) for kind, template in templates.items()}
        self._code_broken = dict(broken or {})
        self._off: dict[str, str] = {}  # templates that are off, with the setting that they need
        self.conversions = dict(conversions or {})  # of schemas that were written in an older draft
        self._read_from(rows, monotonic)

    @classmethod
    def discover(cls) -> Catalogue:
        """Loads every entry point of the group `jobwright.templates`: ours and those of other packages."""
        templates: dict[str, JobTemplate] = {}
        broken: dict[str, str] = {}
        conversions: dict[str, Converted] = {}
        for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
            try:
                template = point.load()()
                conversion = _convert_schema(template)
                _check_declaration(template)
                if conversion.changes:
                    conversions[template.type] = conversion
                if template.type in templates:
                    raise TypeError(f"the type {template.type!r} is there already")
                templates[template.type] = template
            except Exception as error:
                broken[point.name] = f"{type(error).__name__}: {error}"
                log.exception("catalogue.broken", template=point.name, reason=broken[point.name])
        return cls(templates, broken, conversions=conversions)

    def over(
        self,
        rows: Callable[[], Sequence[Document]],
        monotonic: Callable[[], float],
        *,
        is_empty: Callable[[str], bool] = lambda variable: False,
    ) -> Catalogue:
        """Returns a catalogue of the same code, with the documents of templates from a database. `is_empty` returns whether a setting has
        no value; a template that needs it is then off."""
        fresh = copy.copy(self)
        needed = {kind: entry.template.needs_setting for kind, entry in self._code.items() if entry.template.needs_setting}
        fresh._off = {kind: setting for kind, setting in needed.items() if is_empty(setting)}
        fresh._read_from(rows, monotonic)
        return fresh

    # -- looking up -----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[TemplateVersion]:
        """Iterates over the current version of each template, sorted by category and name."""
        entries = [entry for kind in self.types() if (entry := self.find(kind)) is not None]
        return iter(sorted(entries, key=lambda entry: (entry.category, entry.name)))

    def types(self) -> list[str]:
        """Returns the types of all templates that were ever published."""
        return sorted({*self._code, *(kind for kind, row in self._known().items() if row.get("versions"))})

    def find(self, kind: str, version: int | None = None) -> TemplateVersion | None:
        """Returns a template in `version`, by default in the current one: the newest published version, else the newest of all.

        Code has one version only, which is returned for every number. None if there is no such template, or if it cannot be used any
        more (`why_not` gives the reason).
        """
        if kind in self._code:
            return self._code[kind]
        entry = self._derived(kind, version)
        return entry if isinstance(entry, TemplateVersion) else None

    def get(self, kind: str, version: int | None = None) -> TemplateVersion:
        """Returns the same as `find`. Raises NotFound."""
        entry = self.find(kind, version)
        if entry is None:
            raise NotFound("template", kind)
        return entry

    def why_not(self, kind: str, version: int | None = None) -> str | None:
        """Returns why there is no such template, in words for the owner of a job of it; None if the template can be used."""
        if kind in self._code:
            return None
        if kind in self._code_broken:
            return say("its code cannot be loaded: {why}", why=self._code_broken[kind])
        reason = self._derived(kind, version)
        return reason if isinstance(reason, str) else None

    def code(self) -> list[TemplateVersion]:
        """Returns the templates that are code, sorted by category and name."""
        return sorted(self._code.values(), key=lambda entry: (entry.category, entry.name))

    @property
    def broken(self) -> dict[str, str]:
        """The templates that cannot be used, with the reason: code that does not load, and derived templates that no longer fit their
        base."""
        derived = {kind: why for kind, row in self._known().items() if row.get("versions") and (why := self.why_not(kind)) is not None}
        return {**self._code_broken, **derived}

    def standing(self, kind: str) -> Standing:
        """Returns the settings of super-admins for a template."""
        stored = self._known().get(kind, {}).get("standing") or {}
        return Standing(
            enabled=stored.get("enabled", True),
            when_off=WhenOff(stored.get("when_off", WhenOff.KEEP)),
            roles=tuple(Role(role) for role in stored.get("roles", ())),
            note=stored.get("note", ""),
            needs=tuple(stored.get("needs", ())),
        )

    def needs(self, kind: str) -> tuple[str, ...]:
        """Returns the labels of nodes that the jobs of a template need: its own, and those of its base."""
        entry = self.find(kind)
        return union(*(self.standing(each).needs for each in (entry.families if entry else (kind,))))

    def closed(self, kind: str) -> str | None:
        """Returns why no new job may be made of the template; None if new jobs are allowed."""
        if kind in self._off:
            return say("is switched off here, because the setting {setting} is empty", setting=self._off[kind])
        if not self.standing(kind).enabled:
            return say("is disabled")
        entry = self.find(kind)
        return None if entry is None else _CLOSED.get(entry.state)

    def is_offered(self, entry: TemplateVersion) -> bool:
        """Returns whether people can choose the template for a new job, or could if it were enabled."""
        return entry.template.listed and not any(kind in self._off for kind in entry.families)

    def refresh(self) -> None:
        """Reads the database again at the next access, because this process has changed a template."""
        self._changes += 1

    def draft(self, row: Document) -> TemplateVersion:
        """Returns the draft of a derived template as its next version. The draft must have no problems."""
        base = self._code[row["base"]]
        definition = row["draft"]["definition"]
        return of_definition(row["_id"], base, definition, version=next_number(row), state=State.DRAFT)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _read_from(self, rows: Callable[[], Sequence[Document]] | None, monotonic: Callable[[], float]) -> None:
        self._read_rows, self._monotonic = rows, monotonic
        self._read: tuple[dict[str, Document], int, float] = {}, -1, 0.0  # the rows, the number of changes before, and when
        self._changes = 0
        self._composed: dict[tuple[str, int], tuple[Any, TemplateVersion | str]] = {}

    def _known(self) -> dict[str, Document]:
        rows, changes, at = self._read
        now = self._monotonic()
        if self._read_rows is not None and (changes != self._changes or now - at > STALE_AFTER_SECONDS):
            # The count is taken before the read, so that a change by another thread during the read leads to another read.
            changes = self._changes
            rows = {row["_id"]: row for row in self._read_rows()}
            self._read = rows, changes, now
        return rows

    def _derived(self, kind: str, version: int | None) -> TemplateVersion | str:
        """Returns a version of a derived template, or the reason why there is none."""
        row = self._known().get(kind)
        versions = {stored["number"]: stored for stored in row.get("versions", ())} if row else {}
        if row is None or not versions:
            return "there is no such template here"
        number = version or current_number(row)
        stored = versions.get(number)
        if stored is None:
            return f"there is no version {number} of it"
        key, stamp = (kind, number), (stored["at"], stored["state"])
        cached = self._composed.get(key)
        if cached is None or cached[0] != stamp:
            cached = stamp, self._compose(kind, row["base"], stored)
            self._composed[key] = cached
        return cached[1]

    def _compose(self, kind: str, base_type: str, stored: Document) -> TemplateVersion | str:
        base = self._code.get(base_type)
        if base is None:
            return say("it is derived from {base}, which is not installed", base=base_type)
        definition = stored["definition"]
        wrong = problems(base.template, definition)
        if wrong:
            at, why = wrong[0].pointer, wrong[0].message
            return say("{base} has changed and no longer fits: {pointer} {why}", base=base_type, pointer=at, why=why)
        return of_definition(kind, base, definition, version=stored["number"], state=State(stored["state"]))


def current_number(row: Document) -> int:
    """Returns the version that new jobs get: the newest published version, else the newest of all. 0 if there is no version."""
    versions = row.get("versions", ())
    published = [version["number"] for version in versions if version["state"] == State.PUBLISHED]
    return int(max(published or [version["number"] for version in versions], default=0))


def next_number(row: Document) -> int:
    """Returns the number that the draft gets when it is published."""
    return int(max((version["number"] for version in row.get("versions", ())), default=0)) + 1


def _convert_schema(template: Any) -> Converted:
    """Converts the schema of a template that was written in an older draft, so that everything that reads it sees draft 2020-12."""
    conversion = converted(getattr(template, "parameters_schema", None))
    if conversion.changes:
        type(template).parameters_schema = conversion.schema
        log.info("catalogue.converted", template=template.type, draft=conversion.source.title, changes=len(conversion.changes))
    return conversion


def _check_declaration(template: Any) -> None:
    if not isinstance(template, JobTemplate):
        raise TypeError("is not a JobTemplate")
    for name in ("type", "name", "description", "category", "icon", "parameters_schema"):
        if not getattr(template, name, None):
            raise TypeError(f"declares no {name}")
    prepare(template.parameters_schema)
    if template.parameters_schema.get("type") != "object":
        raise TypeError("parameters_schema must be of type object")
