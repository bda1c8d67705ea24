"""The catalogue: which templates there are, code and derived, and what their schemas say about a job's parameters."""

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
from app.mongo import Document
from app.validation.schema import prepare
from templates_lib.base import JobTemplate
from templates_lib.messages import Said, say

log = get_logger(__name__)

_CLOSED: dict[State, Said] = {State.DRAFT: say("is a draft"), State.DEPRECATED: say("is deprecated"), State.RETIRED: say("is retired")}

ENTRY_POINTS = "jobwright.templates"
STALE_AFTER_SECONDS = 1.0  # what another process has changed holds here within so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What super-admins have said of a template: whether it is on, what its jobs do while it is off, which roles may use it (empty:
    all that may use any), and a note for who makes jobs of it."""

    enabled: bool = True
    when_off: WhenOff = WhenOff.KEEP
    roles: tuple[Role, ...] = ()
    note: str = ""

    @property
    def pauses(self) -> bool:
        """True while its jobs' due times go by."""
        return not self.enabled and self.when_off is WhenOff.PAUSE


class Catalogue:
    """Templates by type. One that cannot be loaded is in `broken` with the reason, and the others work.

    `rows` are what the database has of templates; without it there are those that are code.
    """

    def __init__(
        self,
        templates: Mapping[str, JobTemplate],
        broken: Mapping[str, str] | None = None,
        *,
        rows: Callable[[], Sequence[Document]] | None = None,
        monotonic: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._code, self._code_broken = {kind: of_code(one) for kind, one in templates.items()}, dict(broken or {})
        self._look_into(rows, monotonic)

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

    def over(self, rows: Callable[[], Sequence[Document]], monotonic: Callable[[], float]) -> Catalogue:
        """The same code, with what a database has of templates."""
        fresh = copy.copy(self)
        fresh._look_into(rows, monotonic)
        return fresh

    # -- looking up -----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[TemplateVersion]:
        """The version of each that new jobs are of, or that its latest jobs were; by category and name."""
        found = [entry for kind in self.types() if (entry := self.find(kind)) is not None]
        return iter(sorted(found, key=lambda entry: (entry.category, entry.name)))

    def types(self) -> list[str]:
        """Of all that were ever published."""
        return sorted({*self._code, *(kind for kind, row in self._known().items() if row.get("versions"))})

    def find(self, kind: str, version: int | None = None) -> TemplateVersion | None:
        """A template in `version`, by default the current one: the newest published, else the newest. Code has one version only, which
        stands for all. None where there is none, or it cannot be made any more (`why_not`)."""
        if kind in self._code:
            return self._code[kind]
        found = self._derived(kind, version)
        return found if isinstance(found, TemplateVersion) else None

    def get(self, kind: str, version: int | None = None) -> TemplateVersion:
        """As `find`. Raises NotFound."""
        found = self.find(kind, version)
        if found is None:
            raise NotFound("template", kind)
        return found

    def why_not(self, kind: str, version: int | None = None) -> str | None:
        """Why there is no such template, in words for whoever has a job of it; None where there is."""
        if kind in self._code:
            return None
        if kind in self._code_broken:
            return say("its code does not load: {why}", why=self._code_broken[kind])
        found = self._derived(kind, version)
        return found if isinstance(found, str) else None

    def code(self) -> list[TemplateVersion]:
        """Those that are code, by category and name."""
        return sorted(self._code.values(), key=lambda entry: (entry.category, entry.name))

    @property
    def broken(self) -> dict[str, str]:
        """What cannot be used, with the reason: code that does not load, derived templates whose base has changed under them."""
        derived = {kind: why for kind, row in self._known().items() if row.get("versions") and (why := self.why_not(kind)) is not None}
        return {**self._code_broken, **derived}

    def standing(self, kind: str) -> Standing:
        """What super-admins have said of it."""
        said = self._known().get(kind, {}).get("standing") or {}
        return Standing(
            enabled=said.get("enabled", True),
            when_off=WhenOff(said.get("when_off", WhenOff.KEEP)),
            roles=tuple(Role(role) for role in said.get("roles", ())),
            note=said.get("note", ""),
        )

    def closed(self, kind: str) -> str | None:
        """Why no new job may be of it, None where one may."""
        if not self.standing(kind).enabled:
            return say("is switched off")
        entry = self.find(kind)
        return None if entry is None else _CLOSED.get(entry.state)

    def refresh(self) -> None:
        """Something was changed here: ask the database again at the next look."""
        self._changes += 1

    def draft(self, row: Document) -> TemplateVersion:
        """What the draft of a derived template would be, as the next version of it. It has no problems."""
        base = self._code[row["base"]]
        definition = row["draft"]["definition"]
        return of_definition(row["_id"], base, definition, version=next_number(row), state=State.DRAFT)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _look_into(self, rows: Callable[[], Sequence[Document]] | None, monotonic: Callable[[], float]) -> None:
        self._ask, self._monotonic = rows, monotonic
        self._read: tuple[dict[str, Document], int, float] = {}, -1, 0.0  # the rows, after how many changes here, and when
        self._changes = 0
        self._made: dict[tuple[str, int], tuple[Any, TemplateVersion | str]] = {}

    def _known(self) -> dict[str, Document]:
        rows, changes, at = self._read
        now = self._monotonic()
        if self._ask is not None and (changes != self._changes or now - at > STALE_AFTER_SECONDS):
            # Counted before they are read: what another thread changes meanwhile is asked for at the next look.
            changes = self._changes
            rows = {row["_id"]: row for row in self._ask()}
            self._read = rows, changes, now
        return rows

    def _derived(self, kind: str, version: int | None) -> TemplateVersion | str:
        row = self._known().get(kind)
        versions = {one["number"]: one for one in row.get("versions", ())} if row else {}
        if row is None or not versions:
            return "there is no such template here"
        number = version or current_number(row)
        one = versions.get(number)
        if one is None:
            return f"there is no version {number} of it"
        key, stamp = (kind, number), (one["at"], one["state"])
        made = self._made.get(key)
        if made is None or made[0] != stamp:
            made = stamp, self._make(kind, row["base"], one)
            self._made[key] = made
        return made[1]

    def _make(self, kind: str, base_type: str, one: Document) -> TemplateVersion | str:
        base = self._code.get(base_type)
        if base is None:
            return say("it is made from {base}, which is not here", base=base_type)
        definition = one["definition"]
        wrong = problems(base.template, definition)
        if wrong:
            return say("{base} has changed under it: {pointer} {why}", base=base_type, pointer=wrong[0].pointer, why=wrong[0].message)
        return of_definition(kind, base, definition, version=one["number"], state=State(one["state"]))


def current_number(row: Document) -> int:
    """The version that new jobs are of: the newest published; where none is, the newest of all. 0 where there is none."""
    versions = row.get("versions", ())
    published = [one["number"] for one in versions if one["state"] == State.PUBLISHED]
    return int(max(published or [one["number"] for one in versions], default=0))


def next_number(row: Document) -> int:
    """The version that a draft becomes."""
    return int(max((one["number"] for one in row.get("versions", ())), default=0)) + 1


def _check_declaration(template: Any) -> None:
    if not isinstance(template, JobTemplate):
        raise TypeError("is not a JobTemplate")
    for name in ("type", "name", "description", "category", "icon", "parameters_schema"):
        if not getattr(template, name, None):
            raise TypeError(f"declares no {name}")
    prepare(template.parameters_schema)
    if template.parameters_schema.get("type") != "object":
        raise TypeError("parameters_schema must be of type object")
