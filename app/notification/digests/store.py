"""The `digests` collection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.mongo import ANY_DATE, Document, Records
from app.notification.digests.model import DAYS, Digest, Every
from app.shapes import Flag, Instant, Listed, Number, Object, Text, instants, one_of, texts

DIGEST = Object(
    members={
        **texts("owner_id", "name", "language", "created_by", "updated_by"),
        "last_day": Text(pattern=r"([0-9]{4}-[0-9]{2}-[0-9]{2})?"),
        "timezone": Text(),
        "every": one_of([item.value for item in Every], Every.DAILY.value),
        "weekday": one_of(DAYS, DAYS[0]),
        "at": Text(pattern=r"([01][0-9]|2[0-3]):[0-5][0-9]", default="07:00"),
        "only_if_any": Flag(),
        "enabled": Flag(),
        "version": Number(),
        **{name: Listed(of=Text()) for name in ("groups", "tags", "to", "failing")},
        **instants("created_at", "updated_at"),
        **instants("last_until", "next_at", nullable=True),
        "claimed_until": Instant(nullable=True),
    }
)
STATE = ("last_day", "last_until", "failing")  # what sending decides, and no person


class DigestStore:
    """One document a digest. What a person changes and what sending writes never undo each other."""

    def __init__(self, database: Database[Document]) -> None:
        self._digests = Records(database, "digests", DIGEST)

    def get(self, digest_id: str) -> Digest | None:
        row = self._digests.find_one({"_id": digest_id})
        return None if row is None else Digest.from_row(row)

    def of_teams(self) -> list[Digest]:
        """Returns the digests of teams, by name."""
        return [Digest.from_row(row) for row in self._digests.find({"owner_id": ""}).sort([("name", 1), ("_id", 1)])]

    def names_telling(self, recipient: str) -> list[str]:
        """Returns the names of the digests that go to a recipient."""
        return sorted(row["name"] for row in self._digests.find({"to": recipient}, {"name": 1}))

    def add(self, digest: Digest) -> bool:
        """Adds a digest. Returns False if there is one with its id. Raises DuplicateName."""
        try:
            self._digests.insert_one(digest.as_document())
        except DuplicateKeyError as error:
            if self.get(digest.id) is not None:
                return False
            raise DuplicateName(digest.name) from error
        return True

    def replace_version(self, digest: Digest, *, version: int) -> bool:
        """Replaces what people decide of a digest that still has `version`. Returns False if somebody else was quicker. Raises
        DuplicateName."""
        fields = {name: value for name, value in digest.as_document().items() if name not in {*STATE, "_id", "claimed_until"}}
        try:
            return self._digests.update_one({"_id": digest.id, "version": version}, {"$set": fields}).matched_count == 1
        except DuplicateKeyError as error:
            raise DuplicateName(digest.name) from error

    def remove(self, digest_id: str) -> bool:
        return self._digests.delete_one({"_id": digest_id}).deleted_count == 1

    # -- sending --------------------------------------------------------------------------------------------------

    def due(self, now: datetime, limit: int) -> list[Digest]:
        """Returns digests that are due and that no node is about to send, the longest due first. Damaged ones are left out."""
        free: Document = {"$or": [{"claimed_until": None}, {"claimed_until": {"$lte": now}}]}
        where = {"enabled": True, "next_at": {**ANY_DATE, "$lte": now}, **free}
        digests = [Digest.from_row(row) for row in self._digests.find(where).sort("next_at", 1).limit(limit)]
        return [digest for digest in digests if not digest.damaged]

    def claim(self, digest: Digest, *, now: datetime, until: datetime) -> bool:
        """Claims a digest that is due until `until`. Returns False if another node was quicker, or a person has changed it."""
        free: Document = {"$or": [{"claimed_until": None}, {"claimed_until": {"$lte": now}}]}
        due = {"_id": digest.id, "enabled": True, "next_at": digest.next_at, "version": digest.version, **free}
        return self._digests.update_one(due, {"$set": {"claimed_until": until}}).matched_count == 1

    def finish(self, digest: Digest, *, day: str, until: datetime, failing: Sequence[str], next_at: datetime | None) -> None:
        """Records that a digest was written for a local day. One that a person has changed meanwhile keeps their next time."""
        state = {"last_day": day, "last_until": until, "failing": list(failing), "claimed_until": None}
        later = {"_id": digest.id, "last_day": {"$lt": day}}
        self._digests.update_one(later, {"$set": state})
        self.reschedule(digest, next_at=next_at)

    def reschedule(self, digest: Digest, *, next_at: datetime | None) -> None:
        """Gives a claimed digest its next time, unless a person has changed it meanwhile."""
        same = {"_id": digest.id, "version": digest.version, "next_at": digest.next_at}
        self._digests.update_one(same, {"$set": {"next_at": next_at, "claimed_until": None}})
