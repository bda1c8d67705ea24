"""The vault: what is sealed opens only with its key, and is shown only as a mask."""

from __future__ import annotations

import pytest

from app.connections.inventory import Inventory
from app.connections.vault import Vault, mask
from app.errors import StartError
from app.keys import KeyRing
from app.validation.secret import MASK

SECRETS = {
    "properties": {"s": {"type": "string", "writeOnly": True}, "list": {"items": {"properties": {"t": {"writeOnly": True}}}}, "p": {}}
}


def test_what_is_sealed_opens_only_with_its_key() -> None:
    vault = Vault(KeyRing("key"))
    sealed = vault.seal(Inventory.of(SECRETS, {"s": "geheim", "p": 1, "list": [{"t": {"deep": 1}}]}))
    assert "geheim" not in str(sealed)
    assert vault.open(sealed) == {"s": "geheim", "p": 1, "list": [{"t": {"deep": 1}}]}
    assert mask(sealed) == {"s": MASK, "p": 1, "list": [{"t": MASK}]}
    with pytest.raises(StartError, match="another key"):
        Vault(KeyRing("other")).open(sealed)
    kept = vault.seal(Inventory.of(SECRETS, {"s": dict(MASK), "p": 2}, sealed))
    assert (kept["s"], kept["p"]) == (sealed["s"], 2)
    assert vault.keep(Inventory.of(SECRETS, {"s": dict(MASK)}, sealed)).value == {"s": "geheim"}
    assert vault.keep(Inventory.of(SECRETS, {"s": dict(MASK)}, {})).value == {"s": MASK}
    assert vault.seal(Inventory.of(SECRETS, {"s": dict(MASK)}, {})) == {"s": None}
