"""Signatures: the vectors of Standard Webhooks, agreement with its library, and messages that must be refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from jobwright_client import DeclarationError, Keys, SignatureRefused, new_key
from jobwright_client.signatures import key_bytes
from standardwebhooks import Webhook

# The vector and the constants of the specification's own tests, the same in each of its languages.
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
STAMP = 1614265330
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="

HEADERS = {"webhook-id": MESSAGE, "webhook-timestamp": str(STAMP), "webhook-signature": SIGNATURE}


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key != name}


@pytest.mark.parametrize("secret", [SECRET, f"whsec_{SECRET}", f" whsec_{SECRET}\n"])
def test_the_vector_of_the_specification_is_signed_and_verified(secret: str) -> None:
    keys = Keys([secret])
    assert keys.sign(MESSAGE, STAMP, BODY) == HEADERS
    assert keys.verify(HEADERS, BODY, now=STAMP) == MESSAGE


@pytest.mark.parametrize(
    "signatures",
    [
        f"{OTHER} {SIGNATURE}",
        f"{OTHER} v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= {SIGNATURE} {OTHER}",
        f"v1a,abc {SIGNATURE}",
        f"v1,not-base64! {SIGNATURE}",
        f"nonsense {SIGNATURE}",
        SIGNATURE.rstrip("="),
    ],
)
def test_one_right_signature_among_others_is_enough(signatures: str) -> None:
    assert Keys([SECRET]).verify({**HEADERS, "webhook-signature": signatures}, BODY, now=STAMP) == MESSAGE


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_clocks_may_differ_by_five_minutes(seconds: int) -> None:
    assert Keys([SECRET]).verify(HEADERS, BODY, now=STAMP + seconds) == MESSAGE


@pytest.mark.parametrize(("seconds", "words"), [(301, "301 s in the past"), (-301, "301 s in the future"), (86_400, "86400 s in the past")])
def test_a_message_outside_the_window_is_refused_with_how_far_it_is(seconds: int, words: str) -> None:
    with pytest.raises(SignatureRefused, match=words):
        Keys([SECRET]).verify(HEADERS, BODY, now=STAMP + seconds)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (without("webhook-id"), BODY),
        (without("webhook-timestamp"), BODY),
        (without("webhook-signature"), BODY),
        ({}, BODY),
        ({**HEADERS, "webhook-id": ""}, BODY),
        ({**HEADERS, "webhook-id": "msg_other"}, BODY),
        ({**HEADERS, "webhook-timestamp": "hello"}, BODY),
        ({**HEADERS, "webhook-timestamp": str(STAMP + 1)}, BODY),
        ({**HEADERS, "webhook-timestamp": f"{STAMP}.0"}, BODY),
        ({**HEADERS, "webhook-timestamp": f"+{STAMP}"}, BODY),
        ({**HEADERS, "webhook-timestamp": "١٦١٤٢٦٥٣٣٠"}, BODY),
        ({**HEADERS, "webhook-timestamp": "9" * 400}, BODY),
        ({**HEADERS, "webhook-signature": "v1,"}, BODY),
        ({**HEADERS, "webhook-signature": SIGNATURE[:8]}, BODY),
        ({**HEADERS, "webhook-signature": "v1,dawfeoifkpqwoekfpqoekf"}, BODY),
        ({**HEADERS, "webhook-signature": OTHER}, BODY),
        ({**HEADERS, "webhook-signature": SIGNATURE.replace("v1,", "v2,")}, BODY),
        ({**HEADERS, "webhook-signature": SIGNATURE.removeprefix("v1,")}, BODY),
        ({**HEADERS, "webhook-signature": " ".join([OTHER] * 20 + [SIGNATURE])}, BODY),
        (HEADERS, b""),
        (HEADERS, BODY + b" "),
        (HEADERS, b'{"test":2432232314}'),
    ],
)
def test_a_message_that_is_not_as_it_was_signed_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(SignatureRefused):
        Keys([SECRET]).verify(headers, body, now=STAMP)


def test_each_flipped_byte_of_the_body_is_noticed() -> None:
    keys = Keys([SECRET])
    for place in range(len(BODY)):
        changed = bytearray(BODY)
        changed[place] ^= 1
        with pytest.raises(SignatureRefused):
            keys.verify(HEADERS, bytes(changed), now=STAMP)


def test_headers_are_found_in_any_spelling_and_order() -> None:
    spelled = {"Webhook-Signature": SIGNATURE, "WEBHOOK-TIMESTAMP": str(STAMP), "Webhook-Id": MESSAGE}
    assert Keys([SECRET]).verify(spelled, BODY, now=STAMP) == MESSAGE


def test_while_a_key_is_rotated_each_of_two_keys_verifies_and_the_first_signs() -> None:
    old, new, third = new_key(), new_key(), new_key()
    both = Keys([new, old])
    assert both.verify(Keys([old]).sign("m", STAMP, BODY), BODY, now=STAMP) == "m"
    assert Keys([new]).verify(both.sign("m", STAMP, BODY), BODY, now=STAMP) == "m"
    with pytest.raises(SignatureRefused, match="No signature matches"):
        both.verify(Keys([third]).sign("m", STAMP, BODY), BODY, now=STAMP)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_====", "whsec_not base64", "whsec_ä", "whsec_abcde"])
def test_what_is_not_a_key_is_refused_when_the_program_starts(secret: str) -> None:
    with pytest.raises(DeclarationError, match="signing key"):
        Keys([secret])


@pytest.mark.parametrize("size", [24, 25, 26, 32, 64])
def test_a_key_decodes_the_same_with_and_without_prefix_and_padding(size: int) -> None:
    value = bytes(range(size))
    text = base64.b64encode(value).decode()
    assert {key_bytes(spelled) for spelled in (text, text.rstrip("="), f"whsec_{text}", f"whsec_{text.rstrip('=')}")} == {value}


def test_without_a_key_nothing_is_signed_and_nothing_is_taken() -> None:
    with pytest.raises(SignatureRefused, match="no signing key yet"):
        Keys().verify(HEADERS, BODY, now=STAMP)
    with pytest.raises(DeclarationError, match="JOBWRIGHT_SIGNING_KEYS"):
        Keys().sign("m", STAMP, BODY)
    assert not Keys()


@pytest.mark.parametrize("body", ["{}", '{"name": "Grüße 🎉"}', "", '{"a":1}\n'])
def test_the_library_of_standard_webhooks_agrees(body: str) -> None:
    key, now = new_key(), datetime.now(UTC)
    stamp = int(now.timestamp())
    theirs = {"webhook-id": "m", "webhook-timestamp": str(stamp), "webhook-signature": Webhook(key).sign("m", now, body)}
    assert Keys([key]).sign("m", stamp, body.encode()) == theirs
    assert Keys([key]).verify(theirs, body.encode(), now=stamp) == "m"
    Webhook(key).verify(body, Keys([key]).sign("m", stamp, body.encode()), json_parse=False)
