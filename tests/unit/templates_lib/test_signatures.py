"""Signatures of messages between Jobwright and services (Standard Webhooks 1.0)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from templates_lib.signatures import SignatureRefused, require_signature, signed_headers

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
BODY = '{"jobName": "weekly-digest", "config": {"text": "é"}}'.encode()


def headers(*keys: str, seconds: float = 0, message_id: str = "e1:1", body: bytes = BODY) -> dict[str, str]:
    return signed_headers(keys, message_id, body, now=datetime.now(UTC) + timedelta(seconds=seconds))


def test_the_example_of_the_specification() -> None:
    signed = signed_headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        now=datetime.fromtimestamp(1614265330, UTC),
    )
    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_signature_of_either_key_is_accepted_and_a_call_carries_one_for_each() -> None:
    for signed in (headers(KEY), headers(OTHER), headers(KEY, OTHER)):
        require_signature([OTHER, KEY], signed, BODY)
        require_signature([KEY.removeprefix("whsec_").rstrip("="), OTHER], signed, BODY)
    both = headers(KEY, OTHER)
    assert both["webhook-signature"].count("v1,") == 2
    for key in (KEY, OTHER):  # a receiver that knows only one of them
        Webhook(key).verify(BODY, both)


def test_without_keys_a_call_is_named_and_not_signed() -> None:
    assert headers().keys() == {"webhook-id", "webhook-timestamp"}


@pytest.mark.parametrize("seconds", [-299, 299])
def test_a_clock_that_is_a_little_off_passes(seconds: float) -> None:
    require_signature([KEY], headers(KEY, seconds=seconds), BODY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"webhook-signature": None}, "not signed"),
        ({"webhook-id": None}, "not signed"),
        ({"webhook-timestamp": None}, "not signed"),
        ({"webhook-timestamp": "now"}, "seconds since 1970"),
        ({"webhook-timestamp": "nan"}, "seconds since 1970"),
        ({"webhook-id": "e1:2"}, "does not match"),
        ({"webhook-signature": "v2,abcd"}, "does not match"),
        ({"webhook-signature": "v1"}, "not well-formed"),
        ({"webhook-signature": "v1,not base64!"}, "not well-formed"),
    ],
)
def test_what_is_missing_or_wrong_is_named(changes: dict[str, str | None], words: str) -> None:
    given = {name: value for name, value in {**headers(KEY), **changes}.items() if value is not None}
    with pytest.raises(SignatureRefused, match=words):
        require_signature([KEY], given, BODY)


@pytest.mark.parametrize(("seconds", "words"), [(-301, "more than 300 s"), (301, "more than 300 s")])
def test_a_clock_301_seconds_off_is_refused(seconds: float, words: str) -> None:
    with pytest.raises(SignatureRefused, match=words):
        require_signature([KEY], headers(KEY, seconds=seconds + (0.9 if seconds > 0 else 0)), BODY)


def test_another_body_another_key_and_no_key_are_refused() -> None:
    with pytest.raises(SignatureRefused, match="does not match"):
        require_signature([KEY], headers(KEY), BODY.replace(b"weekly", b"Weekly"))
    with pytest.raises(SignatureRefused, match="does not match"):
        require_signature([KEY], headers(OTHER), BODY)
    with pytest.raises(SignatureRefused, match="not well-formed"):
        require_signature([KEY], headers(KEY), b"\xff\xfe")
    with pytest.raises(SignatureRefused, match="no key"):
        require_signature([], headers(KEY), BODY)


def test_names_of_headers_may_be_written_in_any_case() -> None:
    require_signature([KEY], {name.title(): value for name, value in headers(KEY).items()}, BODY)
