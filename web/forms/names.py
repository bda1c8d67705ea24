"""The posted names of fields: `f.mdestination.mpath`, `f.mitems.r0`."""

from __future__ import annotations

import re

_HEX = re.compile("[0-9a-f]{1,6}")
_LARGEST_CODE_POINT = 0x10FFFF


def member_name(name: str, key: str) -> str:
    """Returns the posted name of the member `key` of the object posted as `name`.

    ASCII letters, digits and `_` stand for themselves, every other character stands as its code point: `a b` → `f.ma-20-b`.
    """
    return f"{name}.m" + "".join(ch if ch.isascii() and (ch.isalnum() or ch == "_") else f"-{ord(ch):x}-" for ch in key)


def member_key(part: str) -> str | None:
    """Returns the key of a member from its part of a posted name (`ma-20-b` → `a b`); None if the part is malformed."""
    letters, rest = [], part[1:]
    while rest:
        if rest[0] == "-":
            digits, dash, rest = rest[1:].partition("-")
            if not dash or not _HEX.fullmatch(digits) or int(digits, 16) > _LARGEST_CODE_POINT:
                return None
            letters.append(chr(int(digits, 16)))
        else:
            letters.append(rest[0])
            rest = rest[1:]
    return "".join(letters)


def small_number(text: str) -> int:
    """Returns the number that a posted index or row id stands for, up to eight digits; -1 for any other text.

    `str.isdigit` alone would also accept the digits of every other script.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
