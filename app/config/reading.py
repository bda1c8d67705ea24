"""Reads the settings from the environment, and says what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from marshmallow import ValidationError

from app.config.addresses import is_broker_address, is_nats_address, is_web_address
from app.config.settings import Settings
from app.config.values import SERVICE_URL
from app.errors import ConfigError
from app.strength import HOW_TO_MAKE_A_KEY, is_placeholder, key_weakness

LEAST_TOKEN = 16  # characters of the token for metrics


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Raises ConfigError that names every variable with a bad value, or a `NAME_FILE` that cannot be read.
    """
    source = os.environ if environ is None else environ
    problems: list[str] = []
    values: dict[str, Any] = {}
    for item in fields(Settings):
        name = item.metadata["name"]
        try:
            raw = _raw(source, name)
            if raw == "" and item.metadata["secret"] and name not in source:
                problems.append(f"{name}_FILE: {source[f'{name}_FILE']} is empty")
            if raw is not None:
                values[item.name] = item.metadata["parse"].deserialize(raw)
        except ValidationError as error:
            problems.append(_sentence(name, " ".join(map(str, error.messages)), None if item.metadata["secret"] else raw))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}_FILE: {error}")
    if not problems:
        problems = [*_places(Settings(**values)), *_together(Settings(**values))]
    if problems:
        raise ConfigError("\n".join(problems))
    return Settings(**values)


_PLAIN = {
    "Not a valid integer.": "must be a whole number",
    "Not a valid number.": "must be a number",
    "Not a valid boolean.": "must be true or false",
}


def _sentence(name: str, message: str, value: str | None) -> str:
    """Returns what is wrong with a setting. `value` is None for a secret, which is not told."""
    words = _PLAIN.get(message, message).rstrip(".")
    if not words.lower().startswith("must "):
        return f"{name}: {words}."
    instead = "" if value is None else f", not {value!r}"
    return f"{name} {words[0].lower()}{words[1:]}{instead}."


def _places(settings: Settings) -> list[str]:
    """What is wrong with the folder and the addresses that settings name."""
    problems = []
    try:
        settings.data_path  # noqa: B018 - to resolve it is the check
    except (OSError, RuntimeError, ValueError) as error:
        problems.append(f"JOBWRIGHT_DATA_DIR: {settings.data_dir!r} is not a folder: {error}")
    for name, address in (("JOBWRIGHT_PUBLIC_URL", settings.public_url), ("JOBWRIGHT_OIDC_ISSUER", settings.oidc_issuer)):
        if address and not is_web_address(address):
            problems.append(_sentence(name, "must be an address such as https://jobs.example.com", address))
    if settings.nats_url and not all(map(is_nats_address, settings.nats_servers)):
        problems.append("NATS_URL: must be addresses such as nats://user:password@nats.example.com:4222, separated by commas")
    return problems


def _together(settings: Settings) -> list[str]:
    """What is wrong with settings that are right each by itself, and secrets that are none; the secrets themselves are not told."""
    problems = []
    if settings.by_celery and not settings.celery_broker_url:
        problems.append("CELERY_BROKER_URL: is required if JOBWRIGHT_EXECUTOR is celery, such as redis://127.0.0.1:6379/0")
    if settings.celery_broker_url and not is_broker_address(settings.celery_broker_url):
        problems.append("CELERY_BROKER_URL: must be an address that begins with redis://, rediss://, amqp:// or amqps://")
    weakness = key_weakness(settings.secret_key) if settings.secret_key else None
    if weakness is not None:
        problems.append(f"JOBWRIGHT_SECRET_KEY: {weakness}. {HOW_TO_MAKE_A_KEY}")
    if settings.oidc_client_secret and is_placeholder(settings.oidc_client_secret):
        problems.append("JOBWRIGHT_OIDC_CLIENT_SECRET: is a placeholder; set it to the secret that the provider has created")
    if settings.metrics_token and (len(settings.metrics_token) < LEAST_TOKEN or is_placeholder(settings.metrics_token)):
        problems.append(f"JOBWRIGHT_METRICS_TOKEN: must be at least {LEAST_TOKEN} random characters")
    if settings.oidc_issuer:
        if not settings.oidc_issuer.startswith(("https://", "http://")):
            problems.append(_sentence("JOBWRIGHT_OIDC_ISSUER", "must begin with https://", settings.oidc_issuer))
        if not settings.oidc_client_id:
            problems.append("JOBWRIGHT_OIDC_CLIENT_ID: is required if JOBWRIGHT_OIDC_ISSUER is set")
        if "openid" not in settings.oidc_scopes.split():
            problems.append(_sentence("JOBWRIGHT_OIDC_SCOPES", "must contain openid", settings.oidc_scopes))
    elif not settings.password_sign_in:
        problems.append("JOBWRIGHT_PASSWORD_SIGN_IN: without JOBWRIGHT_OIDC_ISSUER nobody could sign in")
    return problems


def _raw(source: Mapping[str, str], name: str) -> str | None:
    if name == f"<NAME>{SERVICE_URL}":
        keys = sorted(key for key in source if key.endswith(SERVICE_URL) and key != SERVICE_URL and source[key])
        return "\n".join(f"{key.removesuffix(SERVICE_URL)}={source[key]}" for key in keys) if keys else None
    if name in source:
        return source[name]
    path = source.get(f"{name}_FILE")
    return None if path is None else Path(path).read_text(encoding="utf-8").strip()


def secret_files(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Returns the files that secrets are read from (`NAME_FILE`), as they are named."""
    source = os.environ if environ is None else environ
    names = [item.metadata["name"] for item in fields(Settings) if item.metadata["secret"]]
    return [Path(source[f"{name}_FILE"]) for name in names if name not in source and source.get(f"{name}_FILE")]
