"""Secrets at rest: sealed with the key, masked for people, and opened only for the process that needs them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.connections.inventory import Inventory, Site
from app.errors import StartError
from app.keys import KeyRing
from app.validation.secret import MASK, secret_name

SEALED = "$sealed"  # {"$sealed": "<Fernet token>"}: what MongoDB holds


class Vault:
    """Seals the `writeOnly` members of values by their schema. Fernet: AES-128-CBC with HMAC-SHA256 (cryptography.io)."""

    def __init__(self, keys: KeyRing) -> None:
        fernets = [Fernet(base64.urlsafe_b64encode(key)) for key in keys.derive_all("vault")]
        self._current, self._fernet = fernets[0], MultiFernet(fernets)

    def seal(self, inventory: Inventory) -> Any:
        """Returns a value with each secret sealed. A secret that is MASK keeps the one that is stored at its place, sealed or named."""
        return inventory.with_secrets(self._stored_form).value

    def _stored_form(self, site: Site) -> Any:
        if site.value == MASK:
            return site.stored if _is_stored_secret(site.stored) else None
        if secret_name(site.value) is not None:
            return site.value
        return self._sealed(site.value)

    def keep(self, inventory: Inventory) -> Inventory:
        """Returns a value in the clear, with MASK replaced by the secret that is stored at its place; for validation.

        A MASK with nothing stored stays as it is, and the validator refuses it.
        """
        return inventory.with_secrets(
            lambda site: self.open(site.stored) if site.value == MASK and _is_stored_secret(site.stored) else site.value
        )

    def open(self, value: Any) -> Any:
        """Returns `value` with each sealed secret in the clear. Raises StartError if no known key opens a secret."""
        if is_sealed(value):
            try:
                return json.loads(self._fernet.decrypt(value[SEALED].encode()))
            except InvalidToken as error:
                raise StartError(
                    "A secret was sealed with another key; name the one that it was made with in JOBWRIGHT_OLD_SECRET_KEYS"
                ) from error
        if isinstance(value, Mapping):
            return {key: self.open(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.open(item) for item in value]
        return value

    def is_outdated(self, value: Any) -> bool:
        """Returns whether `value` holds a secret, at any depth, that is sealed with an earlier key."""
        if is_sealed(value):
            return not self._is_current(value)
        if isinstance(value, Mapping):
            return any(self.is_outdated(item) for item in value.values())
        return isinstance(value, list) and any(self.is_outdated(item) for item in value)

    def renew(self, value: Any) -> Any:
        """Returns `value` with each outdated secret sealed with the current key. Raises StartError if no known key opens one."""
        if is_sealed(value):
            return value if self._is_current(value) else self._sealed(self.open(value))
        if isinstance(value, Mapping):
            return {key: self.renew(item) for key, item in value.items()}
        return [self.renew(item) for item in value] if isinstance(value, list) else value

    def _is_current(self, sealed: Mapping[str, str]) -> bool:
        try:
            self._current.decrypt(sealed[SEALED].encode())
        except InvalidToken:
            return False
        return True

    def _sealed(self, secret: Any) -> dict[str, str]:
        return {SEALED: self._fernet.encrypt(json.dumps(secret, ensure_ascii=False).encode()).decode()}


def mask(value: Any) -> Any:
    """Returns `value` with MASK in place of each sealed secret."""
    if is_sealed(value):
        return dict(MASK)
    if isinstance(value, Mapping):
        return {key: mask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return value


def is_sealed(value: Any) -> bool:
    """Returns whether `value` is a sealed secret itself."""
    return isinstance(value, Mapping) and set(value) == {SEALED} and isinstance(value[SEALED], str)


def _is_stored_secret(value: Any) -> bool:
    return is_sealed(value) or secret_name(value) is not None
