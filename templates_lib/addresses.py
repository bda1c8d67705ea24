"""Which mail addresses are the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def address_key(address: str) -> str:
    """What two spellings of one mail address have in common.

    A domain is the same in capitals (RFC 1035, 2.3.3). The part before it is compared as it is written: only the host that keeps the
    mailbox knows whether capitals matter there (RFC 5321, 2.4), and a mail too many does less harm than one too few.
    """
    local, at, domain = unicodedata.normalize("NFC", address.strip()).rpartition("@")
    return f"{local}{at}{domain.casefold().rstrip('.')}"


def distinct_addresses(addresses: Iterable[str]) -> list[str]:
    """The addresses in their order, each once, as it is spelled first."""
    first: dict[str, str] = {}
    for address in addresses:
        first.setdefault(address_key(address), address)
    return list(first.values())
