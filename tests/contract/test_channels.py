"""What every type of channel over HTTP promises, against a real receiver; and the documented limits of Slack, Discord and Teams."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.notification.channels.base import Channel, Refused, Unknown, Unreachable
from app.notification.channels.catalogue import ChannelTypes
from app.notification.channels.discord.channel import Discord
from app.notification.channels.slack.channel import Slack
from app.notification.channels.teams.channel import Teams
from app.notification.message import Excerpt, Fact, Link, Message, MessageKind, Severity
from app.validation import SchemaValidator
from templates_lib.base import ConnectionGrant
from templates_lib.net import open_http
from tests.builders.channels import receiver

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OVER_HTTP = [channel for channel in ChannelTypes.discover() if channel.type not in {"mail", "apprise"}]
MESSAGE = Message(
    key="k1",
    thread="t",
    kind=MessageKind.FIRING,
    severity=Severity.BAD,
    title="Night failed",
    text="Boom: <!channel> & <https://evil.example.com|click> @everyone",
    at=NOW,
    facts=(Fact(label="Attempts", value="3"),),
    links=(Link(words="Show the execution", url="https://jobs.example.com/executions/1"),),
)
LOG = (Excerpt(words="The last error in the log", lines=("12:00:00 ERROR ```<!channel>",)), Excerpt(words="Log", lines=("a", "the end")))
LOGGED = replace(MESSAGE, excerpts=LOG)
HUGE = replace(MESSAGE, title="t" * 9_000, text="x" * 9_000, facts=tuple(Fact(label="l" * 3_000, value="v" * 3_000) for _ in range(60)))
HUGE_LOG = replace(HUGE, excerpts=tuple(Excerpt(words="w" * 900, lines=("&" * 500,) * 9 + ("the end",)) for _ in range(2)))


class Doors:
    def connection(self, name: str, kind: str) -> ConnectionGrant:
        raise Refused(f"there is no {kind} {name}")

    def http(self) -> httpx.Client:
        return open_http(allowed_hosts=["127.0.0.1"], timeout_seconds=5, redirects=0)

    def now(self) -> datetime:
        return NOW

    def allowed_hosts(self) -> list[str]:
        return ["127.0.0.1"]

    def apprise_schemes(self) -> list[str]:
        return ["json", "ntfy"]


@pytest.mark.parametrize("channel", OVER_HTTP, ids=lambda channel: channel.type)
def test_a_channel_says_what_became_of_a_message(channel: Channel) -> None:
    assert {"slack", "discord", "teams", "webhook"} <= {item.type for item in OVER_HTTP}
    with receiver() as target:
        settings = {"url": target.url}
        assert SchemaValidator(channel.settings_schema()).errors(settings) == []
        assert target.url not in channel.place(settings), "an address may be a secret"
        for message in (MESSAGE, LOGGED, HUGE, HUGE_LOG):
            assert "answered 200" in channel.send(message, settings, Doors()).words
        target.answers = [404, 503, (429, {"retry-after": "7"})]
        with pytest.raises(Refused):
            channel.send(MESSAGE, settings, Doors())
        with pytest.raises(Unreachable):
            channel.send(MESSAGE, settings, Doors())
        with pytest.raises(Unreachable) as busy:
            channel.send(MESSAGE, settings, Doors())
        assert busy.value.retry_after == timedelta(seconds=7)
        target.close_after_reading = True
        with pytest.raises(Unknown):
            channel.send(MESSAGE, settings, Doors())
    with pytest.raises(Unreachable):
        channel.send(MESSAGE, settings, Doors())


def test_slack_gets_blocks_within_its_limits_and_no_markup() -> None:
    for message in (MESSAGE, LOGGED, HUGE, HUGE_LOG):
        body = Slack().payload(message)
        assert len(body["blocks"]) <= 50
        for block in body["blocks"]:
            assert len(block.get("text", {}).get("text", "")) <= (150 if block["type"] == "header" else 3_000)
            assert len(block.get("fields", [])) <= 10
            assert all(len(field["text"]) <= 2_000 for field in block.get("fields", []))
    assert "<!channel>" not in json.dumps(Slack().payload(LOGGED))
    last = Slack().payload(HUGE_LOG)["blocks"][-1]["text"]["text"]
    assert last.endswith("the end```"), "the newest lines are kept"
    assert last.count("```") == 2
    assert "&lt;!channel&gt; &amp;" in json.dumps(Slack().payload(MESSAGE))


def test_discord_gets_an_embed_within_its_limits_and_mentions_nobody() -> None:
    for message in (MESSAGE, LOGGED, HUGE, HUGE_LOG):
        body = Discord().payload(message)
        (embed,) = body["embeds"]
        assert body["allowed_mentions"] == {"parse": []}
        assert (len(embed["title"]) <= 256, len(embed["description"]) <= 4_096, len(embed["fields"]) <= 25) == (True, True, True)
        assert all(0 < len(field["name"]) <= 256 and 0 < len(field["value"]) <= 1_024 for field in embed["fields"])
        assert _characters(embed) <= 6_000, "of all texts together"
        assert embed["description"].count("```") % 2 == 0
    assert "the end" in Discord().payload(LOGGED)["embeds"][0]["description"]


def _characters(embed: dict[str, Any]) -> int:
    return len(embed["title"]) + len(embed["description"]) + sum(len(field["name"]) + len(field["value"]) for field in embed["fields"])


def test_teams_gets_a_card_within_its_limit() -> None:
    for message in (MESSAGE, LOGGED, HUGE, HUGE_LOG):
        body = Teams().payload(message)
        (card,) = body["attachments"]
        assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
        assert len(json.dumps(body, ensure_ascii=False).encode()) <= 28_000
    assert body["attachments"][0]["content"]["body"][0]["inlines"][0]["type"] == "TextRun"
    assert body["attachments"][0]["content"]["body"][-1]["inlines"][0]["text"].endswith("the end")
