"""Messages to a channel of Microsoft Teams, through a workflow that takes webhook requests (adaptivecards.io, version 1.4)."""

from __future__ import annotations

from typing import Any

from app.notification.channels.chat import Chat
from app.notification.message import Message, Severity, cut, cut_before
from templates_lib.messages import say

# Characters. Teams refuses messages of more than 28 kB.
MOST_TITLE, MOST_TEXT, MOST_VALUE, MOST_FACTS, MOST_LOG = 250, 4_000, 200, 10, 2_000
_COLOURS = {Severity.GOOD: "good", Severity.INFO: "default", Severity.BAD: "attention"}


class Teams(Chat):
    """One adaptive card for each message."""

    type = "teams"
    title = "Microsoft Teams"
    description = say("Messages to a channel of Microsoft Teams, through a workflow")

    def payload(self, message: Message) -> dict[str, Any]:
        """Returns the body: a message with one card. Texts are runs of plain text, in which no markup is read."""
        body: list[dict[str, Any]] = [
            _plain(cut(message.title, MOST_TITLE), size="large", weight="bolder", color=_COLOURS[message.severity])
        ]
        if message.text:
            body.append(_plain(cut(message.text, MOST_TEXT)))
        if message.facts:
            facts = [{"title": cut(fact.label, MOST_VALUE), "value": cut(fact.value, MOST_VALUE)} for fact in message.facts[:MOST_FACTS]]
            body.append({"type": "FactSet", "facts": facts})
        for excerpt in message.excerpts:
            body.append(_plain(cut(excerpt.words, MOST_VALUE), isSubtle=True))
            body.append(_plain(cut_before("\n".join(excerpt.lines), MOST_LOG), fontType="monospace", size="small"))
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": body,
            "actions": [{"type": "Action.OpenUrl", "title": link.words, "url": link.url} for link in message.links],
        }
        return {"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}]}


def _plain(text: str, **looks: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **looks}]}
