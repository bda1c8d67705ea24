"""All settings of a process."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from app.config.notifying import NotifyingSettings
from app.config.outside import OutsideSettings
from app.config.people import PeopleSettings
from app.config.processes import ProcessSettings
from app.config.running import RunningSettings
from app.config.server import ServerSettings
from app.config.storage import StorageSettings


@dataclass(frozen=True, kw_only=True)
class Settings(NotifyingSettings, OutsideSettings, PeopleSettings, ProcessSettings, RunningSettings, ServerSettings, StorageSettings):
    """All that the environment decides. `docs/reference/settings.md` is checked against this class by a test."""

    @property
    def by_celery(self) -> bool:
        """Whether workers run the jobs, and schedulers run none."""
        return self.executor == "celery"

    @property
    def behind_tls(self) -> bool:
        """Whether browsers come over TLS: then cookies go no other way."""
        return self.secure_cookies or self.public_url.lower().startswith("https://")

    @property
    def nats_servers(self) -> tuple[str, ...]:
        """The addresses of NATS_URL."""
        return tuple(part.strip() for part in self.nats_url.split(",") if part.strip())

    def chosen(self) -> tuple[dict[str, Any], dict[str, str]]:
        """What differs from the defaults, by variable: what may be shown, and what may not as text."""
        shown: dict[str, Any] = {}
        secrets: dict[str, str] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value != item.default:
                if item.metadata["secret"]:
                    secrets[item.metadata["name"]] = str(value)
                else:
                    shown[item.metadata["name"]] = _plain(value)
        return shown, secrets

    def is_empty(self, variable: str) -> bool:
        """Returns whether the setting of a variable has no value. Raises KeyError for a variable that is none."""
        return not getattr(self, {item.metadata["name"]: item.name for item in fields(self)}[variable])

    def service_address(self, service: str) -> str | None:
        """Returns the address that a variable `<NAME>_SERVICE_URL` gives for a service: EMAIL_SERVICE_URL for `email` and `email-service`;
        None if there is none."""
        name = service.lower().replace("_", "-").removesuffix("-service")
        return dict(self.service_addresses).get(name)

    @property
    def data_path(self) -> Path:
        """The data folder, absolute."""
        return Path(self.data_dir).expanduser().resolve()


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
