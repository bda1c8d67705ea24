"""What the channels to chats share: they post JSON to the address of a webhook."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from app.notification.channels.base import Channel, Door, Receipt, post_json
from app.notification.message import Message


class Chat(Channel):
    """A chat. Its setting `url` is a secret as a whole, so that the title of the type is all that is said of where messages go."""

    icon = "send"

    @abstractmethod
    def payload(self, message: Message) -> dict[str, Any]:
        """Returns the body of the request with a message."""

    def place(self, settings: Mapping[str, Any]) -> str:  # noqa: ARG002 - the address is a secret as a whole
        return self.title

    def send(self, message: Message, settings: Mapping[str, Any], door: Door) -> Receipt:
        return post_json(door, settings["url"], json.dumps(self.payload(message), ensure_ascii=False).encode(), {})
