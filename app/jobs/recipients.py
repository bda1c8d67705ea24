"""Who is notified: mail addresses, and channels as `channel:NAME`."""

from __future__ import annotations

from collections.abc import Iterable

CHANNEL = "channel:"


def channel_of(recipient: str) -> str | None:
    """Returns the name of the channel that a recipient is; None for a mail address."""
    return recipient.removeprefix(CHANNEL).strip() if recipient.startswith(CHANNEL) else None


def as_recipient(channel: str) -> str:
    """Returns how a job names a channel."""
    return f"{CHANNEL}{channel}"


def split(recipients: Iterable[str]) -> tuple[list[str], list[str]]:
    """Returns the mail addresses and the names of channels among recipients, in their order."""
    addresses, channels = [], []
    for recipient in recipients:
        name = channel_of(recipient)
        if name is None:
            addresses.append(recipient)
        else:
            channels.append(name)
    return addresses, list(dict.fromkeys(channels))
