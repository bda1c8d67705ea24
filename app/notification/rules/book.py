"""The rules as those that apply them read them: from memory, with a look whether one has changed."""

from __future__ import annotations

import threading

from app.notification.rules.conditions import CONDITION_SCHEMA
from app.notification.rules.rule import AlertRule
from app.notification.rules.store import AlertRuleStore
from app.validation import SchemaValidator

_CONDITION = SchemaValidator(CONDITION_SCHEMA)


def is_whole(rule: AlertRule) -> bool:
    """Returns whether a rule has a condition that this version understands: another one may have been stored by another version, or by
    hand. Such a rule finds nothing."""
    return not _CONDITION.errors(dict(rule.condition))


class RuleBook:
    """The rules of one process."""

    def __init__(self, store: AlertRuleStore) -> None:
        self._store, self._lock = store, threading.Lock()
        self._versions: dict[str, int] = {}
        self._rules: tuple[AlertRule, ...] = ()

    def all(self) -> tuple[AlertRule, ...]:
        """Returns the enabled rules as they are now. It asks the database for their versions, and for the rules if one has changed."""
        versions = self._store.versions()
        with self._lock:
            if versions != self._versions:
                rules = self._store.all()
                self._versions = {rule.id: rule.version for rule in rules}
                self._rules = tuple(rule for rule in rules if rule.enabled and not rule.damaged and is_whole(rule))
            return self._rules
