"""Settings: their defaults, their variables, and which values stop a start."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from app.config import Settings, load_settings
from app.errors import ConfigError
from tests.support import KEY


def test_settings_have_defaults_and_read_their_variables(tmp_path: Path) -> None:
    assert load_settings({}) == Settings()
    secret = tmp_path / "key"
    secret.write_text(f"{KEY}\n")
    found = load_settings(
        {
            "PORT": "9000",
            "log_level": "x",
            "LOG_LEVEL": "debug",
            "JOBWRIGHT_SECRET_KEY_FILE": str(secret),
            "JOBWRIGHT_ALLOWED_HOSTS": " A.example , b:80 ",
            "JOBWRIGHT_SECURE_COOKIES": "true",
            "SCHEDULER_TIMEZONE": "Asia/Tokyo",
        }
    )
    assert (found.port, found.log_level, found.secret_key, found.allowed_hosts) == (9000, "DEBUG", KEY, ("a.example", "b:80"))
    assert (found.secure_cookies, found.timezone) == (True, "Asia/Tokyo")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("PORT", ""),
        ("LOG_LEVEL", "loud"),
        ("SCHEDULER_TIMEZONE", "Mars"),
        ("LOCK_TIMEOUT_SECONDS", "0"),
        ("JOBWRIGHT_KILL_GRACE_SECONDS", "9"),
        ("SCHEDULER_EXECUTOR_POOL_SIZE", "-1"),
        ("JOBWRIGHT_SECURE_COOKIES", "perhaps"),
        ("MONGODB_URI_FILE", "/no/such/file"),
    ],
)
def test_a_bad_value_stops_the_start_naming_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        load_settings({name: value, "JOBWRIGHT_MAX_JOBS": "none"})
    assert "JOBWRIGHT_MAX_JOBS" in str(caught.value), "all of them are named at once"


def test_labels_of_a_node_are_sorted_and_refused_by_name() -> None:
    assert load_settings({"JOBWRIGHT_NODE_LABELS": " site=berlin, gpu ,gpu,, a.b-c_1=2 "}).node_labels == (
        "a.b-c_1=2",
        "gpu",
        "site=berlin",
    )
    for text in ("GPU", "site=", "=berlin", "a=b=c", "-x", "two words", "ü", "x" * 64, ",".join(f"l{n}" for n in range(33))):
        with pytest.raises(ConfigError, match="JOBWRIGHT_NODE_LABELS"):
            load_settings({"JOBWRIGHT_NODE_LABELS": text})


@pytest.mark.parametrize("secret", [" ", "changeme", "Change-Me!", "secret", "xxxx", "your_secret", "password", "********"])
def test_a_placeholder_is_no_client_secret(secret: str) -> None:
    with pytest.raises(ConfigError, match="JOBWRIGHT_OIDC_CLIENT_SECRET"):
        load_settings({"JOBWRIGHT_OIDC_CLIENT_SECRET": secret})
    assert load_settings({"JOBWRIGHT_OIDC_CLIENT_SECRET": "s3-of-a-provider"}).oidc_client_secret


@pytest.mark.parametrize("name", [item.metadata["name"] for item in dataclasses.fields(Settings) if item.metadata["secret"]])
def test_an_empty_file_is_no_secret(name: str, tmp_path: Path) -> None:
    """A secret that was not mounted would otherwise pass for one that was not set: each node would make its own key."""
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match=f"{name}_FILE"):
        load_settings({f"{name}_FILE": str(tmp_path / "empty")})
