"""The secret token in the address by which a message lets its reader acknowledge an incident without signing in."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

from app.keys import KeyRing

PURPOSE = "acknowledge"
LASTS = timedelta(days=7)


class AcknowledgeLinks:
    """Makes and reads tokens.

    A token is the id of its incident and the second at which it expires, with a MAC over both: HMAC-SHA256 with a key that is derived from
    the installation's. An incident is acknowledged once, so that no token has any use after it; nothing has to be stored.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys.derive_strong(PURPOSE)

    def make(self, incident_id: str, now: datetime) -> str:
        """Returns the token of an incident."""
        name = f"{incident_id}.{int((now + LASTS).timestamp())}"
        return f"{name}.{_mac(self._keys[0], name)}"

    def read(self, token: str, now: datetime) -> str | None:
        """Returns the id of the incident that a token is for; None if it has expired, or if this installation has not made it."""
        name, _, mac = token.rpartition(".")
        if not any(hmac.compare_digest(_mac(key, name).encode(), mac.encode()) for key in self._keys):
            return None
        incident_id, expires = name.rsplit(".", 1)
        return incident_id if now.timestamp() < int(expires) else None


def _mac(key: bytes, name: str) -> str:
    return base64.urlsafe_b64encode(hmac.new(key, name.encode(), hashlib.sha256).digest()).decode().rstrip("=")
