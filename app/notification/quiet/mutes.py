"""Mutes, for people: they see, create, change and end them, and see beforehand what a mute would hold."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, FieldError, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.instants import InstantRefused, parse
from app.notification.announcing import AlertSeverity
from app.notification.quiet.entry import Entry
from app.notification.quiet.entry_store import EntryStore
from app.notification.quiet.mute_store import MuteStore
from app.notification.quiet.muting import LONGEST, MATCHED, Matcher, Mute, matcher_from
from app.notification.quiet.quieting import Outlook
from app.validation import SchemaValidator
from app.validation.names import read_names
from app.validation.together import beside, sound
from templates_lib.messages import say

MOST_MUTES = 100  # that have not ended: each of them is compared with each alert
MOST_ENDED = 50  # that a list shows
LOOK_BACK = timedelta(days=7)
MOST_LOOKED_AT, MOST_SHOWN = 20_000, 20


def _values(title: str, description: str) -> dict[str, Any]:
    item = {"type": "string", "minLength": 1, "maxLength": 200}
    return {"type": "array", "title": title, "description": description, "maxItems": 50, "uniqueItems": True, "items": item}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["reason", "ends_at"],
    "additionalProperties": False,
    "properties": {
        "reason": {
            "type": "string",
            "title": "Reason",
            "minLength": 1,
            "maxLength": 500,
            "description": "Shown to everyone who sees the mute.",
        },
        "ends_at": {
            "type": "string",
            "format": "date-time",
            "title": "Ends at",
            "maxLength": 40,
            "description": "At most 30 days from now. What still fires then is sent once.",
        },
        "rules": _values(say("Rules"), say("Names of alert rules.")),
        "jobs": _values(say("Jobs"), say("Names of jobs.")),
        "tags": _values(say("Tags"), say("Alerts of jobs with one of these tags.")),
        "groups": _values(say("Groups"), say("Alerts of jobs in one of these groups.")),
        "templates": _values(say("Templates"), say("Alerts of jobs of one of these templates.")),
        "severities": {
            "type": "array",
            "title": "Severities",
            "description": "Alerts of one of these severities.",
            "uniqueItems": True,
            "items": {"type": "string", "enum": [item.value for item in AlertSeverity]},
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a mute would hold: how many alerts that fire now, how many of the last days, and the newest of them."""

    firing: int
    lately: int
    newest: tuple[Entry, ...]


class Mutes:
    """Who is limited to groups sees mutes of these groups, and creates mutes that name some of them. `firing` says which incidents are not
    resolved."""

    def __init__(self, *, mutes: MuteStore, entries: EntryStore, outlook: Outlook, audit: AuditTrail, clock: Clock) -> None:
        self._mutes, self._entries, self._outlook, self._audit, self._clock = mutes, entries, outlook, audit, clock
        self._validator = SchemaValidator(SCHEMA)

    def active(self, actor: Actor) -> list[Mute]:
        """Returns the mutes that have not ended, the one that ends first before the others."""
        require(actor, May.SEE_MUTES)
        return [mute for mute in self._mutes.active(self._clock.now()) if _sees(actor, mute.matcher)]

    def ended(self, actor: Actor) -> list[Mute]:
        """Returns the last mutes that have ended, the newest first."""
        require(actor, May.SEE_MUTES)
        return [mute for mute in self._mutes.ended(self._clock.now(), limit=MOST_ENDED) if _sees(actor, mute.matcher)]

    def get(self, actor: Actor, mute_id: str) -> Mute:
        """Returns a mute. Raises NotFound."""
        require(actor, May.SEE_MUTES)
        return self._existing(actor, mute_id)

    def create(self, actor: Actor, body: Any) -> Mute:
        """Creates a mute. Raises ValidationFailed, LimitReached."""
        require(actor, May.MUTE)
        made, now = self._read(actor, body), self._clock.now()
        if len(self._mutes.active(now)) >= MOST_MUTES:
            raise LimitReached(say("There are {most} mutes already. End one first.", most=MOST_MUTES))
        mute = Mute(id=str(uuid.uuid4()), author=actor.email, created_at=now, **made)
        with self._audit.action(
            actor, "mute.create", kind="mute", target_id=mute.id, name=mute.reason, diff=field_diff({}, _audited(mute))
        ):
            self._mutes.add(mute)
        return mute

    def update(self, actor: Actor, mute_id: str, body: Any, *, version: int | None = None) -> Mute:
        """Changes a mute that has not ended. Raises ValidationFailed, NotFound, StaleVersion; Conflict if it has ended."""
        require(actor, May.MUTE)
        old = self._changeable(actor, mute_id)
        if version is not None and version != old.version:
            raise StaleVersion(version, old.version)
        return self._replace(actor, "mute.update", old, replace(old, version=old.version + 1, **self._read(actor, body)))

    def end(self, actor: Actor, mute_id: str) -> Mute:
        """Ends a mute. What it holds and still fires is sent. Raises NotFound; Conflict if it has ended."""
        require(actor, May.MUTE)
        old = self._changeable(actor, mute_id)
        return self._replace(actor, "mute.end", old, replace(old, version=old.version + 1, ends_at=self._clock.now()))

    def preview(self, actor: Actor, body: Any) -> Preview:
        """Returns what a mute with this body would hold. Its reason and its end do not matter. Raises ValidationFailed."""
        require(actor, May.MUTE)
        matcher = self._matcher(actor, body)
        alarms = self._entries.alarms_since(self._clock.now() - LOOK_BACK, limit=MOST_LOOKED_AT)
        by_incident = {entry.announcement.incident_id: entry for entry in alarms[::-1] if self._shows(actor, entry, matcher)}
        firing = set(self._outlook.firing(sorted(by_incident))) & set(by_incident)
        newest = sorted(by_incident.values(), key=lambda entry: entry.created_at, reverse=True)[:MOST_SHOWN]
        shown = self._entries.of([entry.id for entry in newest])[::-1]
        return Preview(firing=len(firing), lately=len(by_incident), newest=tuple(shown))

    def problems(self, actor: Actor, body: Any) -> list[FieldError]:
        """Returns everything that is wrong with the body of a mute."""
        read, unseen = read_names(body, "reason", *MATCHED)
        wrong = [*self._validator.errors(read), *unseen]
        fields = sound(read, wrong)
        return beside(wrong, [*self._end_problems(fields), *_matcher_problems(actor, fields, read)])

    # -- steps ----------------------------------------------------------------------------------------------------

    def _end_problems(self, fields: Mapping[str, Any]) -> list[FieldError]:
        if "ends_at" not in fields:
            return []
        now = self._clock.now()
        try:
            ends_at = parse(fields["ends_at"])
        except InstantRefused as error:
            return [FieldError("/ends_at", str(error))]
        if ends_at <= now:
            return [FieldError("/ends_at", say("must be in the future"))]
        if ends_at > now + LONGEST:
            return [FieldError("/ends_at", say("must be at most 30 days from now"))]
        return []

    def _read(self, actor: Actor, body: Any) -> dict[str, Any]:
        errors = self.problems(actor, body)
        if errors:
            raise ValidationFailed(errors)
        read, _ = read_names(body, "reason", *MATCHED)
        return {"reason": read["reason"], "ends_at": parse(read["ends_at"]), "matcher": matcher_from(read)}

    def _matcher(self, actor: Actor, body: Any) -> Matcher:
        given = {name: value for name, value in body.items() if name in MATCHED} if isinstance(body, Mapping) else body
        always = {"reason": "-", "ends_at": (self._clock.now() + timedelta(days=1)).isoformat()}
        errors = self.problems(actor, {**given, **always} if isinstance(given, Mapping) else given)
        if errors:
            raise ValidationFailed(errors)
        return matcher_from(read_names(given, *MATCHED)[0])

    def _shows(self, actor: Actor, entry: Entry, matcher: Matcher) -> bool:
        seen = actor.groups is None or entry.announcement.subject.group in actor.groups
        return seen and matcher.matches(entry.announcement)

    def _existing(self, actor: Actor, mute_id: str) -> Mute:
        mute = self._mutes.get(mute_id)
        if mute is None or not _sees(actor, mute.matcher):
            raise NotFound("mute", mute_id)
        return mute

    def _changeable(self, actor: Actor, mute_id: str) -> Mute:
        mute = self._existing(actor, mute_id)
        if not _within(actor.groups, mute.matcher.groups):
            raise NotFound("mute", mute_id)
        if mute.ends_at <= self._clock.now():
            raise Conflict(say("This mute has ended. Create a new one."))
        return mute

    def _replace(self, actor: Actor, action: str, old: Mute, new: Mute) -> Mute:
        diff = field_diff(_audited(old), _audited(new))
        with self._audit.action(actor, action, kind="mute", target_id=old.id, name=new.reason, diff=diff):
            if not self._mutes.replace_version(new, version=old.version):
                raise StaleVersion(old.version, old.version + 1)
            self._entries.recheck(old.id, now=self._clock.now())
        return new


def _matcher_problems(actor: Actor, fields: Mapping[str, Any], body: Any) -> list[FieldError]:
    if not isinstance(body, Mapping):
        return []
    if not any(body.get(name) for name in MATCHED):
        return [FieldError("/rules", say("is empty like all other fields that say what is muted: fill in at least one of them"))]
    if "groups" in body and "groups" not in fields:
        return []
    if not _within(actor.groups, fields.get("groups") or ()):
        own = ", ".join(sorted(actor.groups or ()))
        return [FieldError("/groups", say("must be one or more of your groups: {groups}", groups=own))]
    return []


def _within(own: Collection[str] | None, groups: Sequence[str]) -> bool:
    """Returns whether somebody who is limited to `own` groups may mute these."""
    return own is None or (bool(groups) and set(groups) <= set(own))


def _sees(actor: Actor, matcher: Matcher) -> bool:
    return actor.groups is None or not set(matcher.groups).isdisjoint(actor.groups)


def _audited(mute: Mute) -> dict[str, Any]:
    return {"reason": mute.reason, "ends_at": mute.ends_at, **{name: value for name, value in mute.matcher.as_document().items() if value}}
