"""Proofs of who sent a request: Standard Webhooks (standardwebhooks.com), and GitHub's X-Hub-Signature-256."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.errors import SignatureRefused
from app.integrations.inbound.model import Proof
from templates_lib.messages import say

Headers = Mapping[str, str]  # by lower-case name

KEY_PREFIX = "whsec_"
LEAST_KEY = 16  # bytes, or characters of a key of GitHub
LONGEST_ID = 255  # characters of a delivery's id
# How long a delivery is remembered. The window of Standard Webhooks is five minutes to both sides; GitHub signs no time.
REMEMBERED = {Proof.SECRET: timedelta(days=1), Proof.STANDARD: timedelta(days=1), Proof.GITHUB: timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a delivery from others. `key` is compared, `shown` is for people, and `stamp` differs where the same delivery was signed
    anew; it is empty where the sender cannot do that. An empty `key` means that the request says nothing."""

    key: str
    shown: str
    stamp: str = ""


def new_key(proof: Proof) -> str:
    """Returns a random signing key in the form of its kind; empty where nothing is signed."""
    match proof:
        case Proof.STANDARD:
            return KEY_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
        case Proof.GITHUB:
            return secrets.token_urlsafe(32)
    return ""


def key_problem(proof: Proof, key: str) -> str | None:
    """Returns why a key cannot be used; None if it can."""
    if proof is Proof.GITHUB:
        return None if len(key) >= LEAST_KEY else say("must have at least {least} characters", least=LEAST_KEY)
    text = key.removeprefix(KEY_PREFIX).rstrip("=")
    try:
        size = len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except ValueError:
        size = 0
    wanted = say("must be {prefix} followed by at least {least} bytes in Base64", prefix=KEY_PREFIX, least=LEAST_KEY)
    return None if size >= LEAST_KEY else wanted


def identity_of(proof: Proof, keys: Sequence[str], headers: Headers, body: bytes) -> Identity:
    """Returns the identity of a request whose proof is valid with one of the keys. Raises SignatureRefused, with the reason."""
    match proof:
        case Proof.STANDARD:
            return _standard(keys, headers, body)
        case Proof.GITHUB:
            return _github(keys, headers, body)
    given = headers.get("idempotency-key") or headers.get("webhook-id") or headers.get("x-github-delivery") or ""
    return Identity(given[:LONGEST_ID], given[:LONGEST_ID])


def _standard(keys: Sequence[str], headers: Headers, body: bytes) -> Identity:
    reasons = [_why_not_standard(key, headers, body) for key in keys]
    if not reasons or all(reasons):
        raise SignatureRefused(next(filter(None, reasons), _NOT_VALID))
    delivery_id = headers["webhook-id"]
    if len(delivery_id) > LONGEST_ID:
        raise SignatureRefused(say("The header {name} is too long", name="webhook-id"))
    return Identity(delivery_id, delivery_id, str(int(float(headers["webhook-timestamp"]))))


_NOT_VALID = say("The signature does not fit the body and the key of this address")


def _why_not_standard(key: str, headers: Headers, body: bytes) -> str | None:
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not headers.get(name)]
    if missing:
        return say("The header {name} is missing", name=missing[0])
    try:
        Webhook(key).verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as error:
        text = str(error)
        if "too old" in text or "too new" in text:
            return say("The time in webhook-timestamp is more than 5 minutes away from now")
        return _NOT_VALID
    except ValueError:  # the library lets malformed headers and bodies through to its parsers
        return _NOT_VALID
    return None


def _github(keys: Sequence[str], headers: Headers, body: bytes) -> Identity:
    given = headers.get("x-hub-signature-256", "")
    if not given:
        raise SignatureRefused(say("The header {name} is missing", name="X-Hub-Signature-256"))
    for key in keys:
        expected = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(f"sha256={expected}".encode(), given.encode("utf-8", "replace")):
            # The id of the delivery is not signed, so a copy of the request could carry another one: the body is what counts.
            return Identity(expected, headers.get("x-github-delivery", "")[:LONGEST_ID])
    raise SignatureRefused(_NOT_VALID)
