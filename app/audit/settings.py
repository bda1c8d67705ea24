"""Records changed settings. They come from the environment, so a change is noticed only at the next start."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from app.audit.model import SYSTEM, field_diff
from app.audit.service import AuditTrail
from app.audit.store import SettingsStore
from app.keys import KeyRing
from app.validation.secret import MASK


class SettingsTrail:
    """Compares the settings of a start with those of the last start of the same process. Of secrets it stores only keyed digests."""

    def __init__(self, store: SettingsStore, audit: AuditTrail, keys: KeyRing) -> None:
        self._store, self._audit, self._key = store, audit, keys.derive("settings")

    def record(self, process: str, values: Mapping[str, Any], secrets: Mapping[str, str]) -> int:
        """Writes an audit event if settings differ from the last start of `process` (host and role); returns how many differ.

        `values` are the settings that may be shown, by variable name; `secrets` are those that may not.
        """
        digests = {name: self._digest(text) for name, text in secrets.items()}
        row = self._store.last(process)
        before, before_secret = row.get("values", {}), row.get("secrets", {})
        diff = field_diff(before, values)
        diff += [
            {"field": f"/{name}", **({"before": MASK} if name in before_secret else {}), **({"after": MASK} if name in digests else {})}
            for name in sorted(before_secret.keys() | digests.keys())
            if before_secret.get(name) != digests.get(name)
        ]
        if diff:
            with self._audit.action(SYSTEM, "settings.change", kind="installation", target_id=process, name=process, diff=diff):
                self._store.save(process, {"values": dict(values), "secrets": digests})
        return len(diff)

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
