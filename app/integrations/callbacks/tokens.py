"""The secret token in the address of an attempt's reports."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from app.keys import KeyRing
from app.queue.model import Attempt

PURPOSE = "callbacks"


@dataclass(frozen=True, slots=True)
class Named:
    """The attempt that a token names: its execution, its number, and its fencing number."""

    execution_id: str
    number: int
    fence: int


class CallbackTokens:
    """Makes and reads tokens.

    A token is the name of its attempt with a MAC over it: HMAC-SHA256 with a key that is derived from the installation's. So nothing has to
    be stored before a service may report, which it may do before Jobwright has read its answer, or after Jobwright was killed.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys.derive_strong(PURPOSE)

    def make(self, attempt: Attempt) -> str:
        """Returns the token of an attempt."""
        name = f"{attempt.execution_id}.{attempt.number}.{attempt.token}"
        return f"{name}.{_mac(self._keys[0], name)}"

    def read(self, token: str) -> Named | None:
        """Returns the attempt that a token names; None if this installation has not made it."""
        name, _, mac = token.rpartition(".")
        if not any(hmac.compare_digest(_mac(key, name).encode(), mac.encode()) for key in self._keys):
            return None
        execution_id, number, fence = name.rsplit(".", 2)
        return Named(execution_id, int(number), int(fence))


def _mac(key: bytes, name: str) -> str:
    return base64.urlsafe_b64encode(hmac.new(key, name.encode(), hashlib.sha256).digest()).decode().rstrip("=")
