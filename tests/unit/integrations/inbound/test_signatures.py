"""Signatures of webhooks: those of the libraries of senders hold, everything else is refused with a reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from app.errors import SignatureRefused
from app.integrations.inbound.model import Proof
from app.integrations.inbound.signatures import identity_of, key_problem, new_key

# The vector of the library's own tests.
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
NAME = "msg_p5jXN8AQM9LWM0D4loKWxJek"


def signed(*, seconds: float = 0, key: str = KEY, body: bytes = BODY, name: str = NAME) -> dict[str, str]:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(key).sign(name, at, body.decode()),
    }


def refusal(headers: dict[str, str], body: bytes = BODY, keys: tuple[str, ...] = (KEY,), proof: Proof = Proof.STANDARD) -> str:
    with pytest.raises(SignatureRefused) as refused:
        identity_of(proof, keys, headers, body)
    return str(refused.value)


def test_a_signed_request_has_its_id_and_its_time() -> None:
    headers = signed()
    identity = identity_of(Proof.STANDARD, [KEY], headers, BODY)
    assert (identity.key, identity.stamp) == (NAME, headers["webhook-timestamp"])


def test_each_of_two_keys_is_valid_while_they_overlap() -> None:
    other = new_key(Proof.STANDARD)
    assert identity_of(Proof.STANDARD, [other, KEY], signed(), BODY).key == NAME
    assert identity_of(Proof.STANDARD, [other, KEY], signed(key=other), BODY).key == NAME
    assert refusal(signed(), keys=(other,)) == "The signature does not fit the body and the key of this address"


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_clock_that_is_301_seconds_off_is_refused(seconds: int) -> None:
    assert refusal(signed(seconds=seconds)) == "The time in webhook-timestamp is more than 5 minutes away from now"
    assert identity_of(Proof.STANDARD, [KEY], signed(seconds=seconds // abs(seconds) * 295), BODY)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e400"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,???"},
        {"webhook-signature": "v1,ä"},
        {"webhook-signature": "v2,AAAA"},
        {"webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()},
        {"webhook-signature": "," * 50},
    ],
)
def test_changed_headers_are_refused(change: dict[str, str]) -> None:
    refusal({**signed(), **change})


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_named(name: str) -> None:
    assert refusal({key: value for key, value in signed().items() if key != name}) == f"The header {name} is missing"


def test_a_changed_body_is_refused() -> None:
    for body in (BODY + b" ", BODY.replace(b"4", b"5"), b"", b"\xff"):
        refusal(signed(), body)


def test_no_key_means_no_entry() -> None:
    refusal(signed(), keys=())
    refusal({"x-hub-signature-256": "sha256=" + hmac.new(b"", BODY, hashlib.sha256).hexdigest()}, keys=(), proof=Proof.GITHUB)


def test_githubs_own_example_holds() -> None:
    """docs.github.com, Validating webhook deliveries, "Testing the webhook payload validation"."""
    key, body = "It's a Secret to Everybody", b"Hello, World!"
    headers = {
        "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "x-github-delivery": "72d3",
    }
    assert identity_of(Proof.GITHUB, [key], headers, body).shown == "72d3"
    copy = identity_of(Proof.GITHUB, [key], {**headers, "x-github-delivery": "other"}, body)
    assert copy.key == identity_of(Proof.GITHUB, [key], headers, body).key, "an unsigned id makes no other delivery"
    for change in ({"x-hub-signature-256": ""}, {"x-hub-signature-256": "sha256=0"}, {"x-hub-signature-256": "ä"}):
        refusal({**headers, **change}, body, (key,), Proof.GITHUB)
    refusal(headers, body + b"!", (key,), Proof.GITHUB)


def test_weak_keys_are_refused() -> None:
    assert key_problem(Proof.STANDARD, KEY) is None
    assert key_problem(Proof.STANDARD, KEY.removeprefix("whsec_").rstrip("=")) is None
    for weak in ("", "whsec_", "whsec_AAAA", "not base64 at all", "password"):
        assert key_problem(Proof.STANDARD, weak) is not None
    assert key_problem(Proof.GITHUB, "short") is not None
    for proof in (Proof.STANDARD, Proof.GITHUB):
        assert key_problem(proof, new_key(proof)) is None
    assert new_key(Proof.SECRET) == ""
