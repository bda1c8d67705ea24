"""Settings come from the environment, where nobody asks anybody: what a start finds changed is recorded."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from pymongo.database import Database

from app.audit.model import SYSTEM, field_diff
from app.audit.service import AuditTrail
from app.keys import KeyRing
from app.mongo import Document
from app.validation.secret import MASK


class SettingsTrail:
    """The `settings_seen` collection: what each place last started with, secrets as keyed digests."""

    def __init__(self, database: Database[Document], audit: AuditTrail, keys: KeyRing) -> None:
        self._seen, self._audit, self._key = database["settings_seen"], audit, keys.derive("settings")

    def record(self, place: str, values: Mapping[str, Any], secrets: Mapping[str, str]) -> int:
        """Write an audit event for what differs from the last start at `place` (host and role); returns how many settings do.

        `values` are the settings that may be shown, by variable; `secrets` those that may not.
        """
        digests = {name: self._digest(text) for name, text in secrets.items()}
        row = self._seen.find_one({"_id": place}) or {}
        before, before_secret = row.get("values", {}), row.get("secrets", {})
        diff = field_diff(before, values)
        diff += [
            {"field": f"/{name}", **({"before": MASK} if name in before_secret else {}),
             **({"after": MASK} if name in digests else {})}
            for name in sorted(before_secret.keys() | digests.keys()) if before_secret.get(name) != digests.get(name)
        ]  # fmt: skip
        if diff:
            with self._audit.action(SYSTEM, "settings.change", kind="installation", target_id=place, name=place, diff=diff):
                self._seen.replace_one({"_id": place}, {"values": dict(values), "secrets": digests}, upsert=True)
        return len(diff)

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
