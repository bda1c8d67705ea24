"""The `alert_rules` collection."""

from __future__ import annotations

from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.errors import DuplicateName
from app.mongo import Document, Records
from app.notification.announcing import AlertSeverity
from app.notification.rules.rule import AlertRule, ScopeKind, as_document, rule_from
from app.notification.rules.texts import Fault
from app.shapes import UNKNOWN, Anything, Flag, Json, Listed, Number, Object, Text, instants, one_of, texts
from templates_lib.messages import parts_of

RULE = Object(
    members={
        "name": Text(default=UNKNOWN),
        "enabled": Flag(),
        "scope": Object(members={"kind": one_of([kind.value for kind in ScopeKind], ScopeKind.JOB.value), "values": Listed(of=Text())}),
        "condition": Json(),
        "where": Text(optional=True),
        "to": Listed(of=Text()),
        "severity": one_of([severity.value for severity in AlertSeverity], AlertSeverity.WARNING.value),
        "recovery": Flag(),
        "remind": Object(nullable=True, members={"every_seconds": Number(default=86_400), "most": Number(default=1)}),
        "escalate": Object(nullable=True, members={"after_seconds": Number(default=86_400), "to": Listed(of=Text())}),
        "wait_seconds": Number(),
        # Nothing of these keeps a rule from being applied.
        "texts": Anything(optional=True),
        "texts_fault": Anything(optional=True),
        "version": Number(),
        **texts("created_by", "updated_by"),
        **instants("created_at", "updated_at"),
    }
)


class AlertRuleStore:
    """One document a rule."""

    def __init__(self, database: Database[Document]) -> None:
        self._rules = Records(database, "alert_rules", RULE)

    def add(self, rule: AlertRule) -> None:
        """Adds a rule. Raises DuplicateName."""
        try:
            self._rules.insert_one(as_document(rule))
        except DuplicateKeyError as error:
            raise DuplicateName(rule.name) from error

    def get(self, rule_id: str) -> AlertRule | None:
        row = self._rules.find_one({"_id": rule_id})
        return None if row is None else rule_from(row)

    def all(self) -> list[AlertRule]:
        """Returns all rules, by name."""
        return [rule_from(row) for row in self._rules.find().sort("name", 1)]

    def versions(self) -> dict[str, int]:
        """Returns the version of each rule by its id: they change whenever a rule does."""
        return {row["_id"]: row["version"] for row in self._rules.find({}, {"version": 1})}

    def count(self) -> int:
        return self._rules.count_documents({})

    def name_taken(self, name: str, *, by_other_than: str) -> bool:
        """Returns whether another rule has this name."""
        return self._rules.find_one({"name": name, "_id": {"$ne": by_other_than}}, {"_id": 1}) is not None

    def names_telling(self, recipient: str) -> list[str]:
        """Returns the names of the rules that tell a recipient, sorted."""
        rows = self._rules.find({"$or": [{"to": recipient}, {"escalate.to": recipient}]}, {"name": 1})
        return sorted(row["name"] for row in rows)

    def replace_version(self, rule: AlertRule, *, version: int) -> bool:
        """Replaces a rule that still has `version`. Returns False if somebody else was quicker. Raises DuplicateName."""
        try:
            return self._rules.replace_one({"_id": rule.id, "version": version}, as_document(rule)).matched_count == 1
        except DuplicateKeyError as error:
            raise DuplicateName(rule.name) from error

    def note_fault(self, rule: AlertRule, fault: Fault, at: datetime) -> None:
        """Notes why the texts of a rule could not be used, unless the rule was changed meanwhile."""
        noted = {"field": fault.field, "error": fault.error[:], "said": parts_of(fault.error), "at": at}
        self._rules.update_one({"_id": rule.id, "version": rule.version}, {"$set": {"texts_fault": noted}})

    def remove(self, rule_id: str) -> bool:
        return self._rules.delete_one({"_id": rule_id}).deleted_count == 1
