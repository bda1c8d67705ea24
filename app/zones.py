"""Time zones: the names of the IANA database, which mean the same on each node."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from templates_lib.messages import Said, say

# Of the tz database too, but a notice that no zone was set ("-00", "local time zone must be set").
_NO_ZONE = frozenset({"Factory"})


class UnknownZone(ValueError):
    """A name that the IANA database does not have; the message is for people."""


@cache
def zone_names() -> frozenset[str]:
    """The names of the IANA time zone database, backward ones such as `US/Eastern` included.

    They come from the `tzdata` package, which is the same on each node. A machine's own folder of zones also has names that mean
    something else on each machine (`localtime`) or that other machines lack (`posix/…`, `right/…`).
    """
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split()) - _NO_ZONE


def is_zone(name: Any) -> bool:
    """Whether `name` is a text and an IANA name, letter by letter."""
    return isinstance(name, str) and name in zone_names()


def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises UnknownZone."""
    if not is_zone(name):
        raise UnknownZone(not_a_zone(str(name)))
    return ZoneInfo(name)


def not_a_zone(name: str) -> Said:
    """What is wrong with a name that is none."""
    return say("{timezone!r} is not an IANA time zone, such as Europe/Berlin", timezone=name[:60])
