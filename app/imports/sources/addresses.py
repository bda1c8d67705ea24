"""Addresses of stores: with credentials for the connection, and without them for plans and messages."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from app.imports.sources.base import SourceError, SourceOptions

VARIABLE = "JOBWRIGHT_IMPORT_ADDRESS"
HOW = f"Put the whole address into a file and name it with --address-file, or into the variable {VARIABLE}."
# The second form is a password with a slash that nobody has escaped.
_CREDENTIALS = re.compile(r"(?<=://)(?:[^/?#]*|[^/?#:]*:[^?#]*)@")
_SECRET_PART = re.compile(r"[?&](?:[\w-]*(?:pass|pwd|secret|token|key|auth(?!Source|Mechanism))[\w-]*)=[^&#]*", re.IGNORECASE)


def full_address(place: str, options: SourceOptions, schemes: Collection[str]) -> str:
    """Returns the address to connect with: that of the options, else the place. Raises SourceError if there is none, if it is of another
    scheme, or if the place has a password: everybody on the machine can read a command line."""
    credentials = _CREDENTIALS.search(place)
    if (credentials and ":" in credentials[0]) or _SECRET_PART.search(place):
        raise SourceError(f"The address of the source contains a password, which other users of the machine can read. {HOW}")
    address = options.address or place
    if not address:
        raise SourceError(f"The address of the store is missing. If it has no password, write it after the type. {HOW}")
    scheme = address.partition("://")[0].lower()
    if "://" not in address or scheme.partition("+")[0] not in schemes:
        raise SourceError(f"The address of the store must begin with {' or '.join(f'{known}://' for known in sorted(schemes))}.")
    return address


def without_credentials(address: str) -> str:
    """Returns an address without its user, its password and parameters that look secret."""
    bare = _SECRET_PART.sub("", _CREDENTIALS.sub("", address))
    return bare if "?" in bare else bare.replace("&", "?", 1)


def host_of(address: str) -> str:
    """Returns the host of an address, and its port if it says one; the first host if there are several."""
    return urlsplit(without_credentials(address)).netloc.partition(",")[0] or "localhost"
