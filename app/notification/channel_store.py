"""The `channels` collection, and the `channel_states` collection: whether each of them can be reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.mongo import Document, Records
from app.notification.delivery import MAIL
from app.sealing import SealedFields
from app.shapes import UNKNOWN, Anything, Flag, Instant, Listed, Number, Object, Text, instants, texts
from app.validation.names import normal
from templates_lib.messages import parts_of, restored, say

CHANNEL = Object(
    members={
        "name": Text(default=UNKNOWN),
        "type": Text(default=UNKNOWN),
        "settings": Object(),
        "enabled": Flag(),
        "language": Text(),
        "fallback": Text(optional=True),
        "quiet": Object(
            optional=True,
            nullable=True,
            members={**texts("zone", "begin", "end"), "days": Listed(of=Text()), "pass": Listed(of=Text(), optional=True)},
        ),
        "version": Number(),
        **texts("created_by", "updated_by"),
        **instants("created_at", "updated_at"),
    }
)
BROKEN = Object(members={"since": Instant(), "reason": Text(), "said": Anything(optional=True)}, optional=True, nullable=True)
STATE = Object(members={**instants("unreachable_since", "scout_at", nullable=True), "broken": BROKEN})
SEALED_FIELDS = (SealedFields("channels", ("settings",)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """Since when a channel refuses messages, and what the receiver said last. Somebody must change the channel, or the receiver."""

    since: datetime
    reason: str


class ChannelStore:
    """One document a channel. Its secrets are sealed by whoever writes it."""

    def __init__(self, database: Database[Document]) -> None:
        self._channels = Records(database, "channels", CHANNEL)

    def add(self, channel: Document) -> None:
        """Adds a channel. Raises DuplicateName."""
        try:
            self._channels.insert_one(channel)
        except DuplicateKeyError as error:
            raise DuplicateName(channel["name"]) from error

    def get(self, channel_id: str) -> Document | None:
        return next(self._read({"_id": channel_id}), None)

    def named(self, name: str) -> Document | None:
        """Returns the channel of a name, however the name is written in Unicode; None if there is none."""
        return next(self._read({"name": normal(name)}), None)

    def by_names(self, names: Iterable[str]) -> list[Document]:
        wanted = sorted(names)
        return list(self._read({"name": {"$in": wanted}})) if wanted else []

    def all(self) -> list[Document]:
        """Returns all channels, by name."""
        return list(self._read({}))

    def _read(self, query: Document) -> Iterator[Document]:
        """Yields channels by name. Those that are older than fallbacks have none."""
        return ({"fallback": "", **row} for row in self._channels.find(query).sort("name", 1))

    def names_falling_back(self, name: str) -> list[str]:
        """Returns the names of the channels whose fallback is the channel of this name."""
        return [row["name"] for row in self._read({"fallback": name})]

    def count(self) -> int:
        return self._channels.count_documents({})

    def replace_version(self, channel: Document, *, version: int) -> bool:
        """Replaces a channel that still has `version`. Returns False if somebody else was quicker. Raises DuplicateName."""
        try:
            return self._channels.replace_one({"_id": channel["_id"], "version": version}, channel).matched_count == 1
        except DuplicateKeyError as error:
            raise DuplicateName(channel["name"]) from error

    def remove(self, channel_id: str) -> bool:
        return self._channels.delete_one({"_id": channel_id}).deleted_count == 1


class ChannelStateStore:
    """One document for each channel that could not be reached, or refused a message, at some time. The built-in channel has one too."""

    def __init__(self, database: Database[Document]) -> None:
        self._states = Records(database, "channel_states", STATE)

    def unreachable(self) -> dict[str, datetime]:
        """Returns since when which channels cannot be reached."""
        rows = self._states.find({"unreachable_since": {"$ne": None}})
        return {row["_id"]: row["unreachable_since"] for row in rows if row["unreachable_since"] is not None}

    def note_unreachable(self, channel_id: str, *, at: datetime, scout_at: datetime) -> None:
        """A channel could not be reached."""
        change = {"$set": {"unreachable_since": at, "scout_at": scout_at}}
        with suppress(DuplicateKeyError):  # it is noted already
            self._states.update_one({"_id": channel_id, "unreachable_since": None}, change, upsert=True)

    def note_reached(self, channel_id: str) -> bool:
        """A channel took a message. Returns whether it could not be reached, or was broken, before."""
        change = {"$set": {"unreachable_since": None, "scout_at": None, "broken": None}}
        in_trouble = {"_id": channel_id, "$or": [{"unreachable_since": {"$ne": None}}, {"broken": {"$ne": None}}]}
        return self._states.update_one(in_trouble, change).matched_count == 1

    def broken(self) -> dict[str, Broken]:
        """Returns which channels refuse what is sent."""
        marks = {row["_id"]: row.get("broken") for row in self._states.find({"broken": {"$ne": None}})}
        return {
            channel_id: Broken(since=mark["since"], reason=restored(mark["reason"], mark.get("said")))
            for channel_id, mark in marks.items()
            if mark is not None  # an unreadable record
        }

    def note_broken(self, channel_id: str, *, at: datetime, reason: str) -> None:
        """A channel refused a message for good. It is broken since the first time, until it takes one."""
        said = {"reason": reason[:], "said": parts_of(reason)}
        again = {"$set": {f"broken.{name}": value for name, value in said.items()}}
        if self._states.update_one({"_id": channel_id, "broken": {"$type": "object"}}, again).matched_count:
            return
        first = {"$set": {"broken": {"since": at, **said}}, "$setOnInsert": {"unreachable_since": None, "scout_at": None}}
        with suppress(DuplicateKeyError):  # another thread was quicker
            self._states.update_one({"_id": channel_id, "broken": None}, first, upsert=True)

    def claim_scout(self, channel_id: str, *, now: datetime, next_at: datetime) -> bool:
        """Claims the next look whether a channel can be reached again. Returns False if it is not due, or somebody else was quicker."""
        due = {"_id": channel_id, "unreachable_since": {"$ne": None}, "scout_at": {"$lte": now}}
        return self._states.update_one(due, {"$set": {"scout_at": next_at}}).matched_count == 1

    def remove(self, channel_id: str) -> None:
        self._states.delete_one({"_id": channel_id})


def channel_problem(channels: ChannelStore, name: str) -> str | None:
    """Returns why messages cannot go to the channel of this name; None if they can."""
    row = channels.named(name)
    if row is None:
        return say("There is no channel {name!r}. Create it, or name another one.", name=name)
    return None if row["enabled"] else say("The channel {name!r} is disabled.", name=name)


def broken_channels(channels: ChannelStore, states: ChannelStateStore) -> list[tuple[str, Broken]]:
    """Returns the names and marks of the broken channels that are enabled. The built-in channel is the first one."""
    broken = states.broken()
    if not broken:
        return []
    names = {MAIL: say("Mail addresses"), **{row["_id"]: row["name"] for row in channels.all() if row["enabled"]}}
    return [(name, broken[channel_id]) for channel_id, name in names.items() if channel_id in broken]
