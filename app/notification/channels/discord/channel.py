"""Messages to a Discord channel, through a webhook (discord.com/developers/docs/resources/webhook#execute-webhook)."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from app.notification.channels.chat import Chat
from app.notification.message import Message, Severity, cut, cut_before
from templates_lib.messages import say

# An embed may have 6,000 characters in all its texts. The title, the text, the fields, and their names and values are cut to stay below.
MOST_TITLE, MOST_TEXT, MOST_FIELDS, MOST_NAME, MOST_VALUE = 256, 3_000, 8, 60, 250
LEAST_TEXT = 1_000  # characters of the text, if there are excerpts; these have the rest
_COLOURS = {Severity.GOOD: 0x1A7F37, Severity.INFO: 0x57606A, Severity.BAD: 0xCF222E}


class Discord(Chat):
    """One embed for each message. Nobody is mentioned, whatever a text says."""

    type = "discord"
    title = "Discord"
    description = say("Messages to a Discord channel, through a webhook")

    def payload(self, message: Message) -> dict[str, Any]:
        """Returns the body."""
        embed: dict[str, Any] = {
            "title": cut(message.title, MOST_TITLE),
            "description": _description(message),
            "color": _COLOURS[message.severity],
            "timestamp": message.at.astimezone(UTC).isoformat(),
            "fields": [
                {"name": cut(fact.label, MOST_NAME), "value": cut(fact.value or "–", MOST_VALUE), "inline": True}
                for fact in message.facts[:MOST_FIELDS]
            ],
        }
        if message.links:
            embed["url"] = message.links[0].url
        return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _description(message: Message) -> str:
    """Returns the text and, as far as there is room, the excerpts as blocks of code: the newest lines of each."""
    text = cut(message.text, LEAST_TEXT if message.excerpts else MOST_TEXT)
    for excerpt in message.excerpts:
        begin = f"{text}\n\n{cut(excerpt.words, MOST_NAME)}\n```\n"
        room = MOST_TEXT - len(begin) - len("\n```")
        if room > MOST_NAME:
            text = f"{begin}{cut_before(excerpt.as_code(), room)}\n```"
    return text
