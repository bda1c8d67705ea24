"""The types of channels that are installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Self

from app.events import get_logger
from app.notification.channels.base import Channel

log = get_logger(__name__)

GROUP = "jobwright.channels"


class ChannelTypes:
    """The types by their names."""

    def __init__(self, types: Mapping[str, Channel]) -> None:
        self._types = dict(types)

    @classmethod
    def discover(cls) -> Self:
        """Returns the types that packages of this environment declare. One that cannot be loaded is left out, and the log names it."""
        types: dict[str, Channel] = {}
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            try:
                declared = entry.load()()
                if not isinstance(declared, Channel) or declared.type != entry.name:
                    raise TypeError(f"{entry.value} is not a channel of the type {entry.name!r}")
                declared.settings_schema()
            except Exception as error:  # the code of somebody else
                log.exception("channel.not_loaded", channel=entry.name, reason=type(error).__name__)
            else:
                types[entry.name] = declared
        return cls(types)

    def usable(self) -> Self:
        """Returns the types whose libraries are installed."""
        return type(self)({name: channel for name, channel in self._types.items() if all(map(find_spec, channel.libraries))})

    def get(self, name: str) -> Channel | None:
        """Returns a type; None if it is not installed."""
        return self._types.get(name)

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._types.values())

    def names(self) -> list[str]:
        """Returns the names of all types, sorted."""
        return sorted(self._types)
