"""The signing keys of addresses, sealed at rest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from app.connections.inventory import Inventory
from app.connections.vault import Vault
from app.integrations.inbound.model import Address

OVERLAP = timedelta(hours=24)  # the time in which the old signing key is valid beside the new one
_SCHEMA = {"type": "array", "items": {"type": "string", "writeOnly": True}}


class SigningKeys:
    """Seals new keys, and opens those that are valid."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal(self, keys: Sequence[str]) -> tuple[Any, ...]:
        """Returns keys as they are stored."""
        return tuple(self._vault.seal(Inventory.of(_SCHEMA, list(keys))))

    def valid(self, address: Address, now: datetime) -> list[str]:
        """Returns the keys of an address that are valid now, the current one first."""
        overlaps = address.earlier_until is not None and address.earlier_until > now
        return list(self._vault.open(list(address.keys[: 2 if overlaps else 1])))
