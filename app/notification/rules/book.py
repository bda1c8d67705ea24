"""The rules as those that apply them read them: from memory, with a look whether one has changed."""

from __future__ import annotations

import threading

from app.notification.rules.rule import AlertRule
from app.notification.rules.store import AlertRuleStore


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
                self._rules = tuple(rule for rule in rules if rule.enabled and not rule.damaged)
            return self._rules
