"""The `channels` collection, and the `channel_states` collection: whether each of them can be reached."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.mongo import Document, Records
from app.sealing import SealedFields
from app.shapes import UNKNOWN, Flag, Instant, Number, Object, Text, instants, texts
from app.validation.names import normal
from templates_lib.messages import say

CHANNEL = Object(
    members={
        "name": Text(default=UNKNOWN),
        "type": Text(default=UNKNOWN),
        "settings": Object(),
        "enabled": Flag(),
        "language": Text(),
        "version": Number(),
        **texts("created_by", "updated_by"),
        **instants("created_at", "updated_at"),
    }
)
STATE = Object(members={"unreachable_since": Instant(nullable=True), "scout_at": Instant(nullable=True)})
SEALED_FIELDS = (SealedFields("channels", ("settings",)),)


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
        return self._channels.find_one({"_id": channel_id})

    def by_names(self, names: Iterable[str]) -> list[Document]:
        wanted = sorted(names)
        return list(self._channels.find({"name": {"$in": wanted}})) if wanted else []

    def all(self) -> list[Document]:
        """Returns all channels, by name."""
        return list(self._channels.find().sort("name", 1))

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
    """One document for each channel that could not be reached at some time. The built-in channel has one too."""

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
        """A channel was reached. Returns whether it could not be reached before."""
        change = {"$set": {"unreachable_since": None, "scout_at": None}}
        return self._states.update_one({"_id": channel_id, "unreachable_since": {"$ne": None}}, change).matched_count == 1

    def claim_scout(self, channel_id: str, *, now: datetime, next_at: datetime) -> bool:
        """Claims the next look whether a channel can be reached again. Returns False if it is not due, or somebody else was quicker."""
        due = {"_id": channel_id, "unreachable_since": {"$ne": None}, "scout_at": {"$lte": now}}
        return self._states.update_one(due, {"$set": {"scout_at": next_at}}).matched_count == 1

    def remove(self, channel_id: str) -> None:
        self._states.delete_one({"_id": channel_id})


def channel_problem(channels: ChannelStore, name: str) -> str | None:
    """Returns why messages cannot go to the channel of this name; None if they can."""
    row = next(iter(channels.by_names({normal(name)})), None)
    if row is None:
        return say("There is no channel {name!r}. Create it, or name another one.", name=name)
    return None if row["enabled"] else say("The channel {name!r} is disabled.", name=name)
