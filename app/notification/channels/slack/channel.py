"""Messages to a Slack channel, through an incoming webhook (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""

from __future__ import annotations

from typing import Any

from app.notification.channels.chat import Chat
from app.notification.message import Excerpt, Message, Severity, cut, cut_before
from templates_lib.messages import say

# Limits of Block Kit: characters of a header and of a section, fields of a section and their characters.
MOST_HEADER, MOST_SECTION, MOST_FIELDS, MOST_FIELD = 150, 3_000, 10, 2_000
_MARKS = {Severity.GOOD: ":white_check_mark:", Severity.INFO: ":information_source:", Severity.BAD: ":x:"}


class Slack(Chat):
    """Blocks of Block Kit, with a plain text for previews."""

    type = "slack"
    title = "Slack"
    description = say("Messages to a Slack channel, through an incoming webhook")

    def payload(self, message: Message) -> dict[str, Any]:
        """Returns the body. Nothing in it is read as markup: texts are plain, or escaped."""
        blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": cut(message.title, MOST_HEADER)}}]
        if message.text:
            between = "\n" if "\n" in message.text else " "  # the mark is not a part of the first line of a list
            blocks.append(_section(cut(f"{_MARKS[message.severity]}{between}{escaped(message.text)}", MOST_SECTION)))
        if message.facts:
            fields = [cut(f"*{escaped(fact.label)}*\n{escaped(fact.value)}", MOST_FIELD) for fact in message.facts[:MOST_FIELDS]]
            blocks.append({"type": "section", "fields": [{"type": "mrkdwn", "text": text} for text in fields]})
        blocks += [_section(f"<{escaped(link.url)}|{escaped(link.words)}>") for link in message.links]
        blocks += [_section(_with_code(excerpt)) for excerpt in message.excerpts]
        return {"text": escaped(cut(message.title, MOST_SECTION)), "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _with_code(excerpt: Excerpt) -> str:
    """Returns an excerpt as a block of code: its newest lines, if there is not room for all."""
    words = cut(escaped(excerpt.words), MOST_HEADER)
    return f"{words}\n```{cut_before(escaped(excerpt.as_code()), MOST_SECTION - len(words) - len('```' * 2) - 1)}```"


def escaped(text: str) -> str:
    """Returns a text in which nothing is a link, a mention or a command to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
