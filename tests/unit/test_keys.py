"""Secret keys: weak ones are refused, made ones are kept, earlier ones still open what they sealed."""

from __future__ import annotations

import base64
import secrets
import threading
from pathlib import Path

import pytest

from app.config import load_settings
from app.errors import ConfigError, StartError
from app.keys import KeyRing, load_key
from tests.lengths import examples
from tests.support import KEY, OTHER_KEY

# Keys that can be guessed.
WEAK_KEYS = [
    " ",
    "dev",
    "changeme",
    "k" * 40,
    "changeme" * 5,
    "k" * 31,
    " " * 50,
    "0123456789abcdef" * 2,
    "abcdefghijklmnopqrstuvwxyz012345",
    "deadbeef" * 5,
    "qwertyuiopasdfghjklzxcvbnm123456",
    "please-change-this-secret-key-before-production",
    "django-insecure-development-key-0000000000",
    "PASSWORD-of-our-Scheduler-in-2026-x9",
    "12345678901234567890123456789012",
    "ab" * 30,
    "2026-01-01-2026-01-01-2026-01-01-01",
]


@pytest.mark.parametrize("key", WEAK_KEYS)
def test_a_key_that_can_be_guessed_stops_the_start(key: str, tmp_path: Path) -> None:
    """However it is given; it is not told, how to make one is."""
    path = tmp_path / "key"
    path.write_text(key)
    for given in ({"JOBWRIGHT_SECRET_KEY": key}, {"JOBWRIGHT_SECRET_KEY_FILE": str(path)}):
        with pytest.raises(ConfigError, match="JOBWRIGHT_SECRET_KEY") as caught:
            load_settings(given)
        assert key.strip() == "" or len(key) < 5 or key not in str(caught.value)
        assert "openssl rand" in str(caught.value) or "is empty" in str(caught.value)
    (tmp_path / "secret.key").write_text(key)
    with pytest.raises(StartError, match=r"secret\.key") as refused:
        load_key("", tmp_path)
    assert "JOBWRIGHT_OLD_SECRET_KEYS" in str(refused.value)


def test_keys_that_are_made_as_advised_are_taken(tmp_path: Path) -> None:
    for n in range(examples(50)):
        for key in (
            secrets.token_hex(16),
            secrets.token_hex(32),
            secrets.token_urlsafe(24),
            base64.b64encode(secrets.token_bytes(48)).decode(),
        ):
            assert load_settings({"JOBWRIGHT_SECRET_KEY": key}).secret_key == key
        made = load_key("", tmp_path / str(n))
        assert load_key("", tmp_path / str(n)) == made
        assert load_settings({"JOBWRIGHT_SECRET_KEY": made}).secret_key == made


def test_an_earlier_key_may_be_weak_as_one_must_get_away_from_it() -> None:
    """It opens what it sealed; what anybody may send, such as a cookie, it does not vouch for."""
    ring = KeyRing(KEY, load_settings({"JOBWRIGHT_OLD_SECRET_KEYS": f"dev {OTHER_KEY}"}).old_secret_keys)
    assert len(ring.derive_all("vault")) == 3
    assert ring.derive_strong("session") == [KeyRing(KEY).derive("session"), KeyRing(OTHER_KEY).derive("session")]


def test_the_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(load_key("", tmp_path / "d"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert (tmp_path / "d" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert load_key("given", tmp_path / "d") == "given"
