"""Where Jobwright is, and how this service is reached: from the environment, or given by the program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from jobwright_client.errors import DeclarationError

OnStale = Literal["continue", "pause"]


@dataclass(frozen=True)
class Settings:
    """Settings of a service.

    `url` is the address of Jobwright; without it, the service does not register. `token` is that of a service account. `address` is the
    base address at which Jobwright reaches the service. `instance_address` is that of this process, where instances have their own.
    `verify=False` takes unsigned calls, for experiments. `ttl_seconds` is how long the service may be without a heartbeat. `most_running`
    bounds the runs at one time. `grace_seconds` is how long a process that stops lets them finish; Kubernetes
    gives 30 s.
    """

    url: str = ""
    token: str = field(default="", repr=False)
    signing_keys: tuple[str, ...] = field(default=(), repr=False)
    address: str = ""
    instance_address: str = ""
    state_path: str = ""
    verify: bool = True
    ttl_seconds: int = 90
    on_stale: OnStale = "continue"
    most_running: int = 16
    grace_seconds: float = 25.0

    def __post_init__(self) -> None:
        for name in ("url", "address", "instance_address"):
            value = getattr(self, name)
            if value and not value.startswith(("http://", "https://")):
                raise DeclarationError(f"{name} must begin with http:// or https://, not {value!r}")
        if not 10 <= self.ttl_seconds <= 86_400:
            raise DeclarationError(f"ttl_seconds must be between 10 and 86400, not {self.ttl_seconds}")
        if self.most_running < 1:
            raise DeclarationError(f"most_running must be at least 1, not {self.most_running}")
        if self.grace_seconds < 0:
            raise DeclarationError(f"grace_seconds must be at least 0, not {self.grace_seconds:g}")
        if self.url and not self.token:
            raise DeclarationError("There is no token for Jobwright; set JOBWRIGHT_TOKEN")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Reads JOBWRIGHT_URL, JOBWRIGHT_TOKEN, JOBWRIGHT_SIGNING_KEYS (one or two, with a space between), JOBWRIGHT_SERVICE_ADDRESS,
        JOBWRIGHT_INSTANCE_ADDRESS, JOBWRIGHT_STATE (a file) and JOBWRIGHT_GRACE_SECONDS. `NAME_FILE` names a file that holds the value."""
        variables = os.environ if environment is None else environment
        return cls(
            url=_value(variables, "JOBWRIGHT_URL").rstrip("/"),
            token=_value(variables, "JOBWRIGHT_TOKEN"),
            signing_keys=tuple(_value(variables, "JOBWRIGHT_SIGNING_KEYS").replace(",", " ").split()),
            address=_value(variables, "JOBWRIGHT_SERVICE_ADDRESS").rstrip("/"),
            instance_address=_value(variables, "JOBWRIGHT_INSTANCE_ADDRESS").rstrip("/"),
            state_path=_value(variables, "JOBWRIGHT_STATE"),
            grace_seconds=_number(variables, "JOBWRIGHT_GRACE_SECONDS", cls.grace_seconds),
        )


def _value(variables: Mapping[str, str], name: str) -> str:
    path = variables.get(f"{name}_FILE")
    if not path:
        return variables.get(name, "").strip()
    if variables.get(name):
        raise DeclarationError(f"Set {name} or {name}_FILE, not both")
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes long to import
            return file.read().strip()
    except OSError as error:
        raise DeclarationError(f"{name}_FILE: {path} cannot be read: {error.strerror}") from error


def _number(variables: Mapping[str, str], name: str, default: float) -> float:
    text = _value(variables, name)
    try:
        return float(text) if text else default
    except ValueError as error:
        raise DeclarationError(f"{name} must be a number, not {text!r}") from error
