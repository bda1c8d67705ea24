"""Messages as signed webhooks, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.instants import as_text
from app.notification.channels.base import Channel, Door, Receipt, host_of, post_json
from app.notification.message import Message
from templates_lib.messages import say
from templates_lib.signatures import ID_HEADER, TIME_HEADER, signed_headers


class Webhook(Channel):
    """A POST request with JSON, signed as Standard Webhooks 1.0 describes it. `webhook-id` is the same each time the same message comes."""

    type = "webhook"
    title = say("Webhook")
    description = say("A signed request to a program of yours")
    icon = "webhook"

    def place(self, settings: Mapping[str, Any]) -> str:
        return host_of(settings.get("url", ""))

    def send(self, message: Message, settings: Mapping[str, Any], door: Door) -> Receipt:
        body, now = json.dumps(payload(message), ensure_ascii=False).encode(), door.now()
        keys = [settings["key"]] if settings.get("key") else []
        headers = {
            ID_HEADER: message.key,
            TIME_HEADER: str(int(now.timestamp())),
            **signed_headers(keys, message.key, body, now=now),
            **({"authorization": settings["authorization"]} if settings.get("authorization") else {}),
        }
        return post_json(door, settings["url"], body, headers)


def payload(message: Message) -> dict[str, Any]:
    """Returns the body: the type of the event and the data that Standard Webhooks wants beside it."""
    return {
        "type": message.event.get("type", f"notification.{message.kind}"),
        "timestamp": as_text(message.at),
        "data": {
            "kind": message.kind.value,
            "severity": message.severity.value,
            "title": message.title,
            "text": message.text,
            "facts": [{"label": fact.label, "value": fact.value} for fact in message.facts],
            "links": [{"words": link.words, "url": link.url} for link in message.links],
            "excerpts": [{"words": excerpt.words, "lines": list(excerpt.lines)} for excerpt in message.excerpts],
            "thread": message.thread,
            **{name: value for name, value in message.event.items() if name != "type"},
        },
    }
