"""Compares mail addresses."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def address_key(address: str) -> str:
    """Returns a key that is the same for all spellings of a mail address.

    Capitals do not matter in a domain (RFC 1035, 2.3.3). The part before it is compared as it is written: only the host of the mailbox
    knows whether capitals matter there (RFC 5321, 2.4), and one mail too many does less harm than one too few.
    """
    local, at, domain = unicodedata.normalize("NFC", address.strip()).rpartition("@")
    return f"{local}{at}{domain.casefold().rstrip('.')}"


def distinct_addresses(addresses: Iterable[str]) -> list[str]:
    """Returns the addresses in their order, each once, in its first spelling."""
    first: dict[str, str] = {}
    for address in addresses:
        first.setdefault(address_key(address), address)
    return list(first.values())
