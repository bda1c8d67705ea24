"""The channels that recipients lead to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.jobs.recipients import split
from app.notification.channel_store import ChannelStore
from app.notification.delivery import MAIL
from app.validation.names import normal
from app.validation.words import DEFAULT_LOCALE
from templates_lib.addresses import distinct_addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A channel that gets one message. `recipients` are the addresses of the built-in channel, and none for any other."""

    channel_id: str
    channel: str
    type: str
    recipients: tuple[str, ...] = ()
    language: str = DEFAULT_LOCALE


def targets_of(channels: ChannelStore, recipients: Iterable[str]) -> list[Target]:
    """Returns one target for all mail addresses together, and one for each channel. A channel that does not exist has a target too: its
    delivery is refused when it is sent, so that people see it."""
    addresses, names = split(recipients)
    rows = {row["name"]: row for row in channels.by_names({normal(name) for name in names})}
    targets = []
    if addresses:
        targets.append(Target(channel_id=MAIL, channel=MAIL, type="mail", recipients=tuple(distinct_addresses(addresses))))
    for name in names:
        row = rows.get(normal(name), {"_id": f"?{name}", "name": name, "type": ""})
        language = row.get("language") or DEFAULT_LOCALE
        targets.append(Target(channel_id=row["_id"], channel=row["name"], type=row["type"], language=language))
    return targets
