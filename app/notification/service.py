"""Channels: super-admins create, change, test and delete them; admins see them and name them in jobs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.accounts.permissions import May, lacks, require
from app.accounts.preferences import LANGUAGES
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.connections.destinations import kept_elsewhere
from app.connections.inventory import Inventory
from app.connections.named import no_connection
from app.connections.service import NAME_SCHEMA
from app.connections.vault import Vault, mask
from app.errors import Conflict, DuplicateName, FieldError, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.mongo import Document
from app.notification.channel_store import Broken, ChannelStateStore, ChannelStore, broken_channels
from app.notification.channels.base import Channel
from app.notification.channels.catalogue import ChannelTypes
from app.notification.delivery import Delivery, DeliveryStatus, Try
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.fallback import fallback_problem
from app.notification.posting import Posting
from app.notification.quiet.hours import problems as quiet_problems
from app.notification.sending import note_answer
from app.notification.texts import InWords, about_test
from app.validation import SchemaValidator
from app.validation.names import normal
from app.validation.words import DEFAULT_LOCALE
from templates_lib.messages import say

MOST_CHANNELS = 100
KEEP: Any = object()  # says that quiet hours stay as they are
SEEN_BY_ALL = ("_id", "name", "type", "enabled", "language", "fallback", "version")
_NAMES = SchemaValidator(NAME_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStores:
    """What channels are kept in."""

    channels: ChannelStore
    states: ChannelStateStore
    deliveries: NotificationDeliveryStore


class Channels:
    """The channels, with masked secrets. `connection_names` returns the names of the connections of a kind, and `used_by` those of the jobs
    and channels that name a channel."""

    def __init__(
        self,
        *,
        stores: ChannelStores,
        types: ChannelTypes,
        vault: Vault,
        audit: AuditTrail,
        clock: Clock,
        posting: Posting,
        in_words: InWords,
        connection_names: Callable[[str], Iterable[str]],
        used_by: Callable[[str], list[str]],
    ) -> None:
        self._stores, self.types, self._vault, self._audit, self._clock = stores, types, vault, audit, clock
        self._posting, self._in_words, self._connection_names, self._used_by = posting, in_words, connection_names, used_by

    def all(self, actor: Actor) -> list[Document]:
        """Returns every channel, by name, with masked secrets, `unreachable_since` and `broken`. Only super-admins see settings."""
        require(actor, May.SEE_CHANNELS)
        manages = lacks(actor, May.MANAGE_CHANNELS) is None
        rows = [_masked(row) if manages else {name: row[name] for name in SEEN_BY_ALL} for row in self._stores.channels.all()]
        return self._with_states(rows)

    def names(self) -> list[str]:
        """Returns the names of all channels that are enabled, for the select of a form."""
        return [row["name"] for row in self._stores.channels.all() if row["enabled"]]

    def get(self, actor: Actor, channel_id: str) -> Document:
        """Returns a channel with masked secrets, `unreachable_since` and `broken`. Raises NotFound."""
        require(actor, May.MANAGE_CHANNELS)
        (row,) = self._with_states([_masked(self._stored(channel_id))])
        return row

    def broken(self) -> list[tuple[str, Broken]]:
        """Returns the names of the channels that refuse messages, each with its mark."""
        return broken_channels(self._stores.channels, self._stores.states)

    def users(self, actor: Actor, channel_id: str) -> list[str]:
        """Returns the names of the jobs, and of the channels as `channel:NAME`, that name a channel."""
        require(actor, May.MANAGE_CHANNELS)
        return self._used_by(self._stored(channel_id)["name"])

    def create(
        self,
        actor: Actor,
        *,
        name: str,
        type: str,
        settings: Any,
        enabled: bool = True,
        language: str = "",
        fallback: str = "",
        quiet: Any = None,
    ) -> Document:
        """Creates a channel and returns it with masked secrets. `quiet` are its quiet hours (app.notification.quiet.hours), or None.
        Raises ValidationFailed, DuplicateName, LimitReached."""
        require(actor, May.MANAGE_CHANNELS)
        name = normal(name) if isinstance(name, str) else name
        channel, now = self._validate(name, type, settings, language, fallback, quiet), self._clock.now()
        if self._stores.channels.count() >= MOST_CHANNELS:
            raise LimitReached(say("There are {most} channels already. Delete one first.", most=MOST_CHANNELS))
        row: Document = {
            "_id": str(uuid.uuid4()),
            "name": name,
            "type": type,
            "settings": self._vault.seal(Inventory.of(channel.settings_schema(), settings)),
            "enabled": enabled,
            "language": language,
            "fallback": normal(fallback),
            "quiet": quiet,
            "version": 1,
            "created_by": actor.email,
            "created_at": now,
            "updated_by": actor.email,
            "updated_at": now,
        }
        diff = field_diff({}, _audited(row))
        with self._audit.action(actor, "channel.create", kind="channel", target_id=row["_id"], name=name, diff=diff):
            self._stores.channels.add(row)
        return _masked(row)

    def update(
        self,
        actor: Actor,
        channel_id: str,
        *,
        name: str,
        settings: Any,
        enabled: bool | None = None,
        language: str | None = None,
        fallback: str | None = None,
        quiet: Any = KEEP,
        version: int | None = None,
    ) -> Document:
        """Changes a channel and returns it with masked secrets. A secret that is given as MASK stays, unless it would go elsewhere; what is
        None stays, too. Raises ValidationFailed, DuplicateName, StaleVersion, NotFound; Conflict for another name while it is in use."""
        require(actor, May.MANAGE_CHANNELS)
        old = self._stored(channel_id)
        if version is not None and version != old["version"]:
            raise StaleVersion(version, old["version"])
        name = normal(name) if isinstance(name, str) else name
        enabled = old["enabled"] if enabled is None else enabled
        language = old["language"] if language is None else language
        fallback = old["fallback"] if fallback is None else fallback
        quiet = old.get("quiet") if quiet is KEEP else quiet
        channel = self._validate(name, old["type"], settings, language, fallback, quiet, old)
        if name != old["name"]:
            self._require_unused(old["name"])
        new = {
            **old,
            "name": name,
            "settings": self._vault.seal(Inventory.of(channel.settings_schema(), settings, old["settings"])),
            "enabled": enabled,
            "language": language,
            "fallback": normal(fallback),
            "quiet": quiet,
            "version": old["version"] + 1,
            "updated_by": actor.email,
            "updated_at": self._clock.now(),
        }
        diff = field_diff(_audited(old), _audited(new))
        with self._audit.action(actor, "channel.update", kind="channel", target_id=channel_id, name=name, diff=diff):
            if not self._stores.channels.replace_version(new, version=old["version"]):
                raise StaleVersion(old["version"], self._stored(channel_id)["version"])
        return _masked(new)

    def delete(self, actor: Actor, channel_id: str) -> None:
        """Deletes a channel that no job and no other channel names. Raises Conflict, NotFound."""
        require(actor, May.MANAGE_CHANNELS)
        row = self._stored(channel_id)
        self._require_unused(row["name"])
        with self._audit.action(actor, "channel.delete", kind="channel", target_id=channel_id, name=row["name"]):
            self._stores.channels.remove(channel_id)
            self._stores.states.remove(channel_id)

    def test(self, actor: Actor, channel_id: str) -> Try:
        """Sends a test message through a channel, now, and returns how that went. The log of deliveries keeps it. Raises NotFound."""
        require(actor, May.MANAGE_CHANNELS)
        row = self._stored(channel_id)
        with self._audit.action(actor, "channel.test", kind="channel", target_id=channel_id, name=row["name"]):
            delivery = self._test_delivery(actor, row)
            outcome = self._posting.send(delivery)
            attempt, status = outcome.attempt, DeliveryStatus.SENT if outcome.error is None else DeliveryStatus.REFUSED
            # Written when it has ended, because a person waits for the answer: no sender tries it again, however long the receiver takes.
            self._stores.deliveries.add([replace(delivery, status=status, settled_at=attempt.at, attempts=(attempt,))])
            if note_answer(self._stores.states, delivery, outcome):
                self._stores.deliveries.hasten(channel_id, now=self._clock.now())
        return attempt

    def problems(
        self,
        name: Any,
        type: Any,
        settings: Any,
        language: Any = "",
        fallback: Any = "",
        quiet: Any = None,
        *,
        old: Document | None = None,
    ) -> list[FieldError]:
        """Returns all errors for which a channel cannot be created with these values (JSON that nobody has checked yet), or `old` changed
        to them."""
        errors = []
        if _NAMES.errors(name):
            words = say("must start with a letter or digit. It may contain letters, digits, spaces, and . _ - (at most 80 characters)")
            errors.append(FieldError("/name", words))
        elif any(row["_id"] != (old or {}).get("_id") for row in self._stores.channels.by_names({name})):
            errors += DuplicateName(name).errors
        if language and language not in LANGUAGES:
            errors.append(FieldError("/language", say("must be one of {known}", known=", ".join(LANGUAGES))))
        if fallback and isinstance(name, str):
            before = old["name"] if old else ""
            problem = fallback_problem(self._stores.channels, fallback, own=name, before=before)
            errors += [FieldError("/fallback", problem)] if problem else []
        if quiet is not None:
            errors += [error.below("/quiet") for error in quiet_problems(quiet)]
        channel = self.types.get(type) if isinstance(type, str) else None
        if channel is None:
            return [*errors, FieldError("/type", say("must be one of {known}", known=", ".join(self.types.names())))]
        return errors + self._settings_problems(channel, settings, old)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _settings_problems(self, channel: Channel, settings: Any, old: Document | None) -> list[FieldError]:
        schema, elsewhere, unmasked = channel.settings_schema(), list[FieldError](), settings
        if isinstance(settings, Mapping):
            inventory = Inventory.of(schema, settings, old["settings"] if old else {})
            unmasked = self._vault.keep(inventory).value
            elsewhere = [error.below("/settings") for error in kept_elsewhere(inventory)]
        wrong = [*elsewhere, *SchemaValidator(schema).errors(unmasked, prefix="/settings")]
        if wrong:
            return wrong
        missing = [
            FieldError(f"/settings{pointer}", no_connection(kind, name))
            for pointer, name, kind in Inventory.of(schema, unmasked).connections()
            if name not in self._connection_names(kind)
        ]
        return missing + [FieldError(f"/settings{pointer}", words) for pointer, words in self._posting.problems(channel, unmasked)]

    def _validate(
        self, name: str, type: str, settings: Any, language: str, fallback: str, quiet: Any, old: Document | None = None
    ) -> Channel:
        errors = self.problems(name, type, settings, language, fallback, quiet, old=old)
        if errors == list(DuplicateName(name).errors):
            raise DuplicateName(name)
        channel = self.types.get(type)
        if errors or channel is None:
            raise ValidationFailed(errors)
        return channel

    def _require_unused(self, name: str) -> None:
        users = sorted(self._used_by(name))
        if len(users) > 5:
            shown = ", ".join(users[:5])
            raise Conflict(say("Channel {name!r} is used by {users} and {more} more", name=name, users=shown, more=len(users) - 5))
        if users:
            raise Conflict(say("Channel {name!r} is used by {users}", name=name, users=", ".join(users)))

    def _with_states(self, rows: list[Document]) -> list[Document]:
        unreachable, broken = self._stores.states.unreachable(), self._stores.states.broken()
        marks = {channel_id: {"since": mark.since, "reason": mark.reason} for channel_id, mark in broken.items()}
        return [{**row, "unreachable_since": unreachable.get(row["_id"]), "broken": marks.get(row["_id"])} for row in rows]

    def _test_delivery(self, actor: Actor, row: Document) -> Delivery:
        new_id, now, language = uuid.uuid4().hex, self._clock.now(), row["language"] or DEFAULT_LOCALE
        message = about_test(row["name"], actor.email, key=new_id, language=language, in_words=self._in_words, at=now)
        return Delivery(
            id=new_id,
            channel_id=row["_id"],
            channel=row["name"],
            type=row["type"],
            message=message,
            status=DeliveryStatus.WAITING,
            created_at=now,
            due_at=now,
        )

    def _stored(self, channel_id: str) -> Document:
        row = self._stores.channels.get(channel_id)
        if row is None:
            raise NotFound("channel", channel_id)
        return row


def _masked(row: Document) -> Document:
    return {**row, "settings": mask(row["settings"])}


def _audited(row: Document) -> dict[str, Any]:
    same = {name: row[name] for name in ("name", "type", "enabled", "language", "fallback")}
    return {**same, "quiet": row.get("quiet"), "settings": mask(row["settings"])}
