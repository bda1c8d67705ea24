"""The actions of super-admins on templates: switch, restrict, derive, publish, deprecate, retire."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.accounts.model import Role
from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, DuplicateName, FieldError, NotFound, StaleVersion, ValidationFailed
from app.jobtemplates.catalogue import Catalogue, next_number
from app.jobtemplates.derived import TYPE, editor_schema, problems, read_definition
from app.jobtemplates.entry import State, TemplateVersion, WhenOff
from app.jobtemplates.store import TemplateStore
from app.labels import LABEL_PATTERN, LONGEST_LABEL, MOST_NEEDS
from app.mongo import Document
from app.signals import Signal
from app.validation import SchemaValidator, pointer
from app.validation.together import sound
from templates_lib.messages import said, say, say_many

STANDING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["enabled", "when_off", "roles", "note"],
    "additionalProperties": False,
    "properties": {
        "enabled": {
            "type": "boolean",
            "title": "Enabled",
            "x-widget": "switch",
            "description": "When off, jobs of this template cannot be created, changed or enabled.",
        },
        "when_off": {
            "title": "Existing jobs while it is off",
            "oneOf": [{"const": "keep", "title": "Keep running"}, {"const": "pause", "title": "Pause until it is on again"}],
            "x-widget": "radio",
        },
        "roles": {
            "type": "array",
            "title": "Allowed roles",
            "uniqueItems": True,
            "items": {"oneOf": [{"const": "admin", "title": "Admins"}, {"const": "super_admin", "title": "Super-admins"}]},
            "description": "Leave empty to allow everyone who can create jobs.",
        },
        "note": {
            "type": "string",
            "title": "Note",
            "maxLength": 500,
            "x-widget": "textarea",
            "description": "Shown to people who create a job from this template.",
        },
        "needs": {
            "type": "array",
            "title": "Labels of nodes",
            "uniqueItems": True,
            "maxItems": MOST_NEEDS,
            "items": {
                "type": "string",
                "title": "Node label",
                "minLength": 1,
                "maxLength": LONGEST_LABEL,
                "pattern": f"^{LABEL_PATTERN}$",
                "x-pattern-words": "a label, such as gpu or site=berlin",
            },
            "x-widget": "tokens",
            "x-options": {"from": "labels", "free": True},
            "description": "Its jobs run only on nodes that have all of these labels. Leave empty to run them on any node.",
        },
    },
}
_MAY_BECOME = {
    State.PUBLISHED: {State.DEPRECATED, State.RETIRED},
    State.DEPRECATED: {State.PUBLISHED, State.RETIRED},
    State.RETIRED: {State.DEPRECATED},
}
LONGEST_NOTE = 1000


class Templates:
    """Templates for people and programs.

    `in_use(kind, version)` returns how many jobs use a template, or one version of it. The signal `switched_on` is sent after a template
    was switched on, so that the jobs that waited for it can go on.
    """

    def __init__(
        self,
        *,
        store: TemplateStore,
        catalogue: Catalogue,
        in_use: Callable[[str, int | None], int],
        audit: AuditTrail,
        clock: Clock,
        switched_on: Signal,
    ) -> None:
        self._store, self._catalogue, self._in_use, self._audit, self._clock = store, catalogue, in_use, audit, clock
        self._standing_validator = SchemaValidator(STANDING_SCHEMA)
        self._switched_on = switched_on

    # -- looking --------------------------------------------------------------------------------------------------

    def get(self, actor: Actor, kind: str) -> Document:
        """Returns what is stored about a template: `revision` and `standing`, and for a derived one `base`, `draft` and `versions`. Raises
        NotFound."""
        require(actor, May.SEE_TEMPLATES)
        return self._stored(kind)

    def drafts(self, actor: Actor) -> list[Document]:
        """Returns the derived templates that were never published."""
        require(actor, May.SEE_TEMPLATES)
        return sorted((row for row in self._store.all() if row.get("draft") and not row.get("versions")), key=lambda row: str(row["_id"]))

    def mendable(self, actor: Actor) -> list[str]:
        """Returns the types of derived templates that cannot be used, but whose base exists: a new version can repair them."""
        require(actor, May.SEE_TEMPLATES)
        broken = self._catalogue.broken
        return [row["_id"] for row in self._store.all() if row["_id"] in broken and self._catalogue.find(row.get("base", "")) is not None]

    def base_of(self, row: Document) -> TemplateVersion:
        """Returns the base of a derived template. Raises NotFound if its code is gone, and Conflict for a template that is code."""
        _refuse_code(row)
        return self._catalogue.get(row["base"])

    def definition_schema(self, kind: str) -> dict[str, Any]:
        """Returns the schema of definitions that are derived from `kind`. Raises NotFound, and Conflict if `kind` is derived itself."""
        base = self._catalogue.get(kind)
        if base.base:
            raise Conflict(say("{kind} is itself derived. Derive from {base} instead", kind=kind, base=base.base))
        return editor_schema(base.template)

    def definition_of(self, row: Document) -> dict[str, Any]:
        """Returns the definition with which the editor of a derived template begins: the draft, else the newest version."""
        return dict((row.get("draft") or {}).get("definition") or self._latest_definition(row))

    def draft(self, actor: Actor, kind: str) -> TemplateVersion:
        """Returns the draft of a derived template as a version. Raises ValidationFailed if it cannot be published."""
        row = self.get(actor, kind)
        if not row.get("draft"):
            raise NotFound("draft", kind)
        self._check(self.base_of(row), row["draft"]["definition"])
        return self._catalogue.draft(row)

    # -- any template ---------------------------------------------------------------------------------------------

    def set_standing(self, actor: Actor, kind: str, body: Any, *, revision: int | None = None) -> Document:
        """Switches a template on or off, restricts it to roles, or sets its note or the labels that it needs. `body` is
        {enabled, when_off, roles, note, needs} (STANDING_SCHEMA); a member that is left out stays. Raises ValidationFailed, NotFound,
        StaleVersion."""
        require(actor, May.MANAGE_TEMPLATES)
        before = self._stored(kind, revision)
        old = {"needs": [], **(before.get("standing") or {"enabled": True, "when_off": WhenOff.KEEP.value, "roles": [], "note": ""})}
        if not isinstance(body, Mapping):
            raise ValidationFailed([FieldError("", "must be an object")])
        new = {**old, **body}
        errors = self._standing_validator.errors(new)
        roles = sound(new, errors).get("roles", ())
        if roles and Role.SUPER_ADMIN.value not in roles:
            errors += [FieldError("/roles", "must include super_admin, because nobody else could change it back")]
        if errors:
            raise ValidationFailed(errors)
        row = self._write(actor, before, {"standing": new}, "template.standing", field_diff(old, new))
        if new["enabled"] and not old["enabled"]:
            self._switched_on.send()
        return row

    # -- derived ones ---------------------------------------------------------------------------------------------

    def derive(self, actor: Actor, body: Any) -> Document:
        """Begins a derived template. `body` is {type, base, definition?}; without a definition, the draft is the unchanged base.

        Raises ValidationFailed, DuplicateName.
        """
        require(actor, May.MANAGE_TEMPLATES)
        if not isinstance(body, Mapping):
            raise ValidationFailed([FieldError("", "must be an object with type, base and definition")])
        kind, base_type = body.get("type"), body.get("base")
        errors = [FieldError(pointer((name,)), "is not a known field") for name in sorted(set(body) - {"type", "base", "definition"})]
        if not isinstance(kind, str) or re.fullmatch(TYPE, kind) is None:
            errors.append(FieldError("/type", "must have 2 to 63 lower-case letters, digits or _, and begin with a letter"))
        bases = {entry.type for entry in self._catalogue.code()}
        if not isinstance(base_type, str) or base_type not in bases:
            errors.append(FieldError("/base", say("must be a template that is written in code, and not derived")))
        elif "definition" in body:
            read, unseen = read_definition(body["definition"])
            errors += _prefixed([*problems(self._catalogue.get(base_type).template, read), *unseen], "/definition")
        if isinstance(kind, str) and (kind in bases or self._store.get(kind) is not None):
            if not errors:
                raise DuplicateName(kind)
            errors += [FieldError("/type", error.message) for error in DuplicateName(kind).errors]
        if errors:
            raise ValidationFailed(errors)
        base = self._catalogue.get(str(base_type))
        first = {"name": f"{base.name} (derived)"[:80], "description": base.description, "category": base.category, "icon": base.icon}
        definition = body.get("definition", first)
        definition = self._check(base, definition, "/definition")
        row: Document = {"_id": kind, "revision": 1, "base": base.type, "versions": [], "draft": self._draft(actor, definition)}
        diff = field_diff({}, {"base": base.type, **dict(definition)})
        with self._audit.action(actor, "template.derive", kind="template", target_id=str(kind), name=definition["name"], diff=diff):
            self._store.add(row)
            self._catalogue.refresh()
        return row

    def save_draft(self, actor: Actor, kind: str, definition: Any, *, revision: int | None = None) -> Document:
        """Saves a definition as the draft, which has no effect on jobs. Raises ValidationFailed, NotFound, StaleVersion, and Conflict for
        a template that is code."""
        require(actor, May.MANAGE_TEMPLATES)
        before = self._derived(kind, revision)
        definition = self._check(self.base_of(before), definition)
        diff = field_diff(self.definition_of(before), dict(definition))
        return self._write(actor, before, {"draft": self._draft(actor, definition)}, "template.draft", diff, definition["name"])

    def drop_draft(self, actor: Actor, kind: str) -> None:
        """Removes the draft. A template that was never published is removed as well."""
        require(actor, May.MANAGE_TEMPLATES)
        before = self._derived(kind, None)
        if not before.get("draft"):
            raise Conflict("There is no draft")
        if before["versions"]:
            self._write(actor, before, {"draft": None}, "template.drop_draft", [])
            return
        with self._audit.action(actor, "template.drop_draft", kind="template", target_id=kind, name=kind):
            if not self._store.remove(kind, revision=before["revision"]):
                raise StaleVersion(before["revision"], before["revision"] + 1)
            self._catalogue.refresh()

    def publish(self, actor: Actor, kind: str, *, note: str = "", revision: int | None = None) -> Document:
        """Makes the draft the next version. New jobs get that version; existing jobs keep theirs. Raises ValidationFailed, and Conflict if
        there is no draft."""
        require(actor, May.MANAGE_TEMPLATES)
        before = self._derived(kind, revision)
        if not before.get("draft"):
            raise Conflict("There is no draft to publish")
        if len(note) > LONGEST_NOTE:
            raise ValidationFailed([FieldError("/note", say("must have at most {most} characters", most=LONGEST_NOTE))])
        definition, base = before["draft"]["definition"], self.base_of(before)
        self._check(base, definition)
        version = {
            "number": next_number(before),
            "definition": definition,
            "base_version": base.version,
            "state": State.PUBLISHED.value,
            "at": self._clock.now(),
            "by": actor.email,
            "note": note.strip(),
        }
        changed = {"draft": None, "versions": [*before["versions"], version]}
        diff = [{"field": "/version", "before": version["number"] - 1 or None, "after": version["number"]}]
        diff += field_diff(self._latest_definition(before), dict(definition))
        return self._write(actor, before, changed, "template.publish", diff, definition["name"])

    def set_state(self, actor: Actor, kind: str, number: int, state: str, *, revision: int | None = None) -> Document:
        """Deprecates or retires a version, or publishes it again. Raises Conflict if the version cannot go to that state, and if jobs use
        a version that is to be retired."""
        require(actor, May.MANAGE_TEMPLATES)
        before = self._derived(kind, revision)
        old = next((version for version in before["versions"] if version["number"] == number), None)
        if old is None:
            raise NotFound("version", str(number))
        if state == old["state"]:
            return before
        if state not in _MAY_BECOME[State(old["state"])]:
            raise Conflict(
                say("Version {number} is {state} and cannot become {wanted}", number=number, state=said(old["state"]), wanted=said(state))
            )
        if state == State.RETIRED and (jobs := self._in_use(kind, number)):
            raise Conflict(
                say_many(
                    "{count} job uses version {number}. Move or delete it first",
                    "{count} jobs use version {number}. Move or delete them first",
                    jobs,
                    number=number,
                )
            )
        versions = [{**version, "state": state} if version["number"] == number else version for version in before["versions"]]
        diff = [{"field": f"/versions/{number}/state", "before": old["state"], "after": state}]
        return self._write(actor, before, {"versions": versions}, _ACTIONS[State(state)], diff)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _stored(self, kind: str, revision: int | None = None) -> Document:
        """Returns the document of a template; an empty one for code that nobody has changed. Raises NotFound, StaleVersion."""
        stored = self._store.get(kind)
        if stored is None and self._catalogue.find(kind) is None:
            raise NotFound("template", kind)
        row: Document = stored or {"_id": kind, "revision": 0}
        if revision is not None and revision != row["revision"]:
            raise StaleVersion(revision, row["revision"])
        return row

    def _derived(self, kind: str, revision: int | None) -> Document:
        row = self._stored(kind, revision)
        _refuse_code(row)
        return row

    def _check(self, base: TemplateVersion, definition: Any, prefix: str = "") -> Any:
        """Returns the definition as it is stored. Raises ValidationFailed."""
        read, unseen = read_definition(definition)
        if errors := [*problems(base.template, read), *unseen]:
            raise ValidationFailed(_prefixed(errors, prefix))
        return read

    def _draft(self, actor: Actor, definition: Mapping[str, Any]) -> Document:
        return {"definition": dict(definition), "by": actor.email, "at": self._clock.now()}

    @staticmethod
    def _latest_definition(row: Document) -> dict[str, Any]:
        return dict(max(row["versions"], key=lambda version: version["number"])["definition"]) if row["versions"] else {}

    def _write(
        self, actor: Actor, before: Document, changed: Mapping[str, Any], action: str, diff: list[dict[str, Any]], name: str = ""
    ) -> Document:
        row = {**before, **changed, "revision": before["revision"] + 1}
        entry = self._catalogue.find(row["_id"])
        with self._audit.action(
            actor, action, kind="template", target_id=row["_id"], name=name or (entry.name if entry else row["_id"]), diff=diff
        ):
            if not self._store.replace(row, revision=before["revision"]):
                raise StaleVersion(before["revision"], before["revision"] + 1)
            self._catalogue.refresh()
        return row


def _refuse_code(row: Document) -> None:
    if "base" not in row:
        raise Conflict(say("{kind} is written in code. Its versions come with the code", kind=row["_id"]))


def _prefixed(errors: Iterable[FieldError], prefix: str) -> list[FieldError]:
    return [error.below(prefix) for error in errors]


_ACTIONS = {
    State.PUBLISHED: "template.publish_again",
    State.DEPRECATED: "template.deprecate",
    State.RETIRED: "template.retire",
}
