"""Signatures as Standard Webhooks describes them: HMAC-SHA256 of id, time and body, with one or two keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping

from jobwright_client.errors import DeclarationError, SignatureRefused

PREFIX = "whsec_"
WINDOW_SECONDS = 300  # how far the clocks of both sides may differ
MOST_SIGNATURES = 20  # of one message; a sender has as many as it has active keys
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def new_key() -> str:
    """Returns a new random signing key."""
    return PREFIX + base64.b64encode(os.urandom(32)).decode()


def key_bytes(key: str) -> bytes:
    """Returns the bytes of a signing key. Its prefix and its padding are optional. Raises DeclarationError if it is not one."""
    text = key.strip()
    text = (text[len(PREFIX) :] if text.startswith(PREFIX) else text).rstrip("=")
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DeclarationError(f"A signing key is not valid base64: expected {PREFIX}… as Jobwright shows it") from error
    if not value:
        raise DeclarationError("A signing key is empty")
    return value


class Keys:
    """The active signing keys of a service: the first one signs, and each of them verifies."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = tuple(key_bytes(key) for key in keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def sign(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Returns the three headers of a message. Raises DeclarationError without a key."""
        if not self._keys:
            raise DeclarationError("There is no signing key; set JOBWRIGHT_SIGNING_KEYS")
        signature = f"v1,{base64.b64encode(_hmac(self._keys[0], message_id, timestamp, body)).decode()}"
        return {ID: message_id, TIMESTAMP: str(timestamp), SIGNATURE: signature}

    def verify(self, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
        """Returns the id of a message that one of the keys has signed within the last or next 300 s. Raises SignatureRefused otherwise.

        `headers` may be spelled in upper or lower case. `now` is the time in seconds since 1970.
        """
        if not self._keys:
            raise SignatureRefused("This service has no signing key yet")
        lower = {name.lower(): value for name, value in headers.items()}
        for name in (ID, TIMESTAMP, SIGNATURE):
            if not lower.get(name):
                raise SignatureRefused(f"The header {name} is missing")
        stamp = lower[TIMESTAMP]
        if re.fullmatch(r"[0-9]{1,12}", stamp, re.ASCII) is None:
            raise SignatureRefused(f"The header {TIMESTAMP} is not a number of seconds")
        late = int(now) - int(stamp)
        if abs(late) > WINDOW_SECONDS:
            where = "in the past" if late > 0 else "in the future"
            raise SignatureRefused(f"The message was signed {abs(late)} s {where}; compare the clocks of both machines")
        expected = [_hmac(key, lower[ID], int(stamp), body) for key in self._keys]
        # Every signature is compared with every key, so that the time does not depend on which of them is right.
        matches = [hmac.compare_digest(wanted, given) for given in _given(lower[SIGNATURE]) for wanted in expected]
        if not any(matches):
            raise SignatureRefused("No signature matches a signing key of this service")
        return lower[ID]


def _hmac(key: bytes, message_id: str, timestamp: int, body: bytes) -> bytes:
    return hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()


def _given(header: str) -> list[bytes]:
    """The signatures of version 1 in a header; what is not well-formed is passed over."""
    signatures = []
    for part in header.split()[:MOST_SIGNATURES]:
        version, _, text = part.partition(",")
        if version == "v1":
            try:
                signatures.append(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
            except (binascii.Error, ValueError):
                continue
    return signatures
