"""Digests, for people: those of teams, and each person's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import DuplicateName, FieldError, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.jobs.recipients import as_recipient, channel_of
from app.notification.digests.model import Contents, Digest, Every
from app.notification.digests.schema import MINE, TEAM
from app.notification.digests.sending import Addressees, DigestWriter
from app.notification.digests.store import DigestStore
from app.notification.digests.times import day_of, next_due
from app.notification.message import Message
from app.validation import SchemaValidator
from app.validation.names import normal
from templates_lib.messages import say

MOST_DIGESTS = 200
NEVER = "never"  # how often a person gets a digest who has none
_TEAM, _MINE = SchemaValidator(TEAM), SchemaValidator(MINE)
DECIDED = ("name", "every", "weekday", "at", "timezone", "groups", "tags", "to", "language", "only_if_any", "enabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A digest as it would be now: what it says, and the message."""

    contents: Contents
    message: Message
    timezone: str


class Digests:
    """People who are kept to groups manage the digests about these groups alone. `known_channel` says whether a channel has a name."""

    def __init__(
        self,
        *,
        store: DigestStore,
        addressees: Addressees,
        writer: DigestWriter,
        audit: AuditTrail,
        clock: Clock,
        known_channel: Callable[[str], bool],
    ) -> None:
        self._store, self._addressees, self._writer = store, addressees, writer
        self._audit, self._clock, self._known_channel = audit, clock, known_channel

    # -- of teams -------------------------------------------------------------------------------------------------

    def all(self, actor: Actor) -> list[Digest]:
        """Returns the digests of teams that `actor` sees, by name."""
        require(actor, May.SEE_DIGESTS)
        return [digest for digest in self._store.of_teams() if _sees(actor, digest)]

    def get(self, actor: Actor, digest_id: str) -> Digest:
        """Returns a digest of a team. Raises NotFound."""
        require(actor, May.SEE_DIGESTS)
        return self._visible(actor, digest_id)

    def create(self, actor: Actor, body: Mapping[str, Any]) -> Digest:
        """Creates a digest of a team. Raises ValidationFailed, DuplicateName, LimitReached."""
        require(actor, May.MANAGE_DIGESTS)
        self._check(actor, body)
        if len(self._store.of_teams()) >= MOST_DIGESTS:
            raise LimitReached(say("There are {most} digests, which is the limit. Delete one first.", most=MOST_DIGESTS))
        digest = self._planned(Digest(id=uuid.uuid4().hex, version=1, **self._made(actor), **_fields(body)))
        diff = field_diff({}, _audited(digest))
        with self._audit.action(actor, "digest.create", kind="digest", target_id=digest.id, name=digest.name, diff=diff):
            self._store.add(digest)
        return digest

    def update(self, actor: Actor, digest_id: str, body: Mapping[str, Any], *, version: int | None = None) -> Digest:
        """Changes a digest of a team. Raises NotFound, ValidationFailed, DuplicateName, StaleVersion."""
        require(actor, May.MANAGE_DIGESTS)
        old = self._visible(actor, digest_id)
        if version is not None and version != old.version:
            raise StaleVersion(version, old.version)
        self._check(actor, body, old)
        return self._replace(actor, old, _fields(body))

    def delete(self, actor: Actor, digest_id: str) -> None:
        """Deletes a digest of a team. Raises NotFound."""
        require(actor, May.MANAGE_DIGESTS)
        digest = self._visible(actor, digest_id)
        with self._audit.action(actor, "digest.delete", kind="digest", target_id=digest_id, name=digest.name):
            self._store.remove(digest_id)

    def preview(self, actor: Actor, digest_id: str, *, language: str) -> Preview:
        """Returns a digest of a team as it would be now. Raises NotFound."""
        return self._preview(self.get(actor, digest_id), language)

    # -- of one person --------------------------------------------------------------------------------------------

    def mine(self, actor: Actor) -> Digest | None:
        """Returns the digest of the actor; None if they never had one."""
        require(actor, May.OWN_ACCOUNT)
        return self._store.get(_own_id(actor.id))

    def set_mine(self, actor: Actor, body: Mapping[str, Any]) -> Digest:
        """Sets how often and when the actor gets a digest. Raises ValidationFailed, StaleVersion."""
        require(actor, May.OWN_ACCOUNT)
        require(actor, May.SEE_EXECUTIONS)
        errors = _MINE.errors(body)
        if errors:
            raise ValidationFailed(errors)
        enabled, old = body["every"] != NEVER, self.mine(actor)
        fields = {**_fields(body), "enabled": enabled}
        if not enabled:
            fields["every"] = old.every if old is not None else Every.DAILY
        if old is not None:
            return self._replace(actor, old, fields)
        digest = self._planned(Digest(id=_own_id(actor.id), owner_id=actor.id, version=1, **self._made(actor), **fields))
        with self._audit.action(
            actor, "digest.create", kind="digest", target_id=digest.id, name=actor.email, diff=field_diff({}, _audited(digest))
        ):
            if not self._store.add(digest):
                raise StaleVersion(0, 1)
        return digest

    def preview_mine(self, actor: Actor, *, language: str) -> Preview:
        """Returns the digest of the actor as it would be now, also if they get none."""
        require(actor, May.SEE_EXECUTIONS)
        usual = Digest(
            id=_own_id(actor.id), owner_id=actor.id, version=1, **self._made(actor), **_fields({"every": "daily", "at": "07:00"})
        )
        return self._preview(self.mine(actor) or usual, language)

    def replan_mine(self, actor: Actor) -> None:
        """Moves the next digest of the actor after a change of their time zone."""
        digest = self._store.get(_own_id(actor.id))
        if digest is not None and digest.enabled:
            self._store.replace_version(self._planned(digest), version=digest.version)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _check(self, actor: Actor, body: Any, old: Digest | None = None) -> None:
        errors = list(_TEAM.errors(body))
        if errors:
            raise ValidationFailed(errors)
        groups = set(body.get("groups", ()))
        if actor.groups is not None and not (groups and groups <= actor.groups):
            yours = ", ".join(sorted(actor.groups))
            errors.append(FieldError("/groups", say("must be some of your groups: {groups}", groups=yours)))
        for place, recipient in enumerate(body["to"]):
            name = channel_of(recipient)
            if name is not None and not self._known_channel(normal(name)):
                errors.append(FieldError(f"/to/{place}", say("is not the name of a channel: {name!r}", name=name)))
        name = normal(body["name"])
        if any(digest.name == name and (old is None or digest.id != old.id) for digest in self._store.of_teams()):
            errors += DuplicateName(name).errors
        if errors:
            raise ValidationFailed(errors)

    def _replace(self, actor: Actor, old: Digest, fields: Mapping[str, Any]) -> Digest:
        changed = replace(old, **fields, version=old.version + 1, updated_at=self._clock.now(), updated_by=actor.email)
        digest, name = self._planned(changed), changed.name or actor.email
        diff = field_diff(_audited(old), _audited(digest))
        with self._audit.action(actor, "digest.update", kind="digest", target_id=old.id, name=name, diff=diff):
            if not self._store.replace_version(digest, version=old.version):
                stored = self._store.get(old.id)
                raise StaleVersion(old.version, stored.version if stored is not None else old.version + 1)
        return digest

    def _made(self, actor: Actor) -> dict[str, Any]:
        now = self._clock.now()
        return {"created_at": now, "created_by": actor.email, "updated_at": now, "updated_by": actor.email}

    def _planned(self, digest: Digest) -> Digest:
        addressee = self._addressees.of(digest)
        if addressee is None or not digest.enabled:
            return replace(digest, next_at=None)
        return replace(digest, next_at=next_due(digest, addressee.timezone, self._clock.now()))

    def _preview(self, digest: Digest, language: str) -> Preview:
        addressee = self._addressees.of(digest)
        if addressee is None:
            raise NotFound("digest", digest.id)
        contents = self._writer.contents(digest, addressee, self._clock.now())
        day = day_of(contents.reading.end, addressee.timezone)
        message = self._writer.writer(language, addressee.timezone).message(digest, contents, key="preview", day=day)
        return Preview(contents=contents, message=message, timezone=addressee.timezone)

    def _visible(self, actor: Actor, digest_id: str) -> Digest:
        digest = self._store.get(digest_id)
        if digest is None or digest.owner_id or not _sees(actor, digest):
            raise NotFound("digest", digest_id)
        return digest


def _own_id(user_id: str) -> str:
    return f"person-{user_id}"


def _sees(actor: Actor, digest: Digest) -> bool:
    return actor.groups is None or (bool(digest.groups) and set(digest.groups) <= actor.groups)


def _fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a digest that a valid body decides."""
    recipients = [as_recipient(normal(name)) if (name := channel_of(item)) is not None else item for item in body.get("to", ())]
    return {
        "name": normal(body.get("name", "")),
        "every": Every(body["every"]) if body["every"] != NEVER else Every.DAILY,
        "weekday": body.get("weekday", "monday"),
        "at": body["at"],
        "timezone": body.get("timezone", ""),
        "groups": tuple(dict.fromkeys(body.get("groups", ()))),
        "tags": tuple(dict.fromkeys(body.get("tags", ()))),
        "to": tuple(dict.fromkeys(recipients)),
        "language": body.get("language", ""),
        "only_if_any": body.get("only_if_any", False),
        "enabled": body.get("enabled", True),
    }


def _audited(digest: Digest) -> dict[str, Any]:
    row = digest.as_document()
    return {name: row[name] for name in DECIDED}
