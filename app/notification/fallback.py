"""Where a message goes that a channel did not deliver."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from app.clock import Clock
from app.mongo import Document
from app.notification.channel_store import ChannelStore
from app.notification.delivery import Delivery, DeliveryStatus, delivery_id
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.message import Fact, MessageKind
from app.notification.texts import InWords
from templates_lib.messages import say

LOST = frozenset({DeliveryStatus.REFUSED, DeliveryStatus.GIVEN_UP})


class Fallbacks:
    """Finds the channel that takes the messages of another one. It writes nothing."""

    def __init__(self, *, channels: ChannelStore, clock: Clock, in_words: InWords) -> None:
        self._channels, self._clock, self._in_words = channels, clock, in_words

    def instead_of(self, delivery: Delivery) -> Delivery | None:
        """Returns the delivery that replaces one which did not arrive: the same one each time. None if its channel has no fallback that is
        enabled and has not failed with this message yet, and for a test."""
        row = self._channels.get(delivery.channel_id)
        if row is None or delivery.message.kind is MessageKind.TEST:
            return None
        tried = {delivery.channel, *delivery.instead_of}
        usable = (other for other in chain(self._channels, row["fallback"]) if other["enabled"] and other["name"] not in tried)
        channel = next(usable, None)
        return self._delivery(delivery, channel) if channel is not None else None

    def _delivery(self, failed: Delivery, channel: Document) -> Delivery:
        new_id, now, message = delivery_id(failed.key, channel["_id"], (), "fallback"), self._clock.now(), failed.message
        facts = message.facts
        if not failed.instead_of:  # a further fallback need not say it again
            facts += (Fact(label=self._in_words(say("Meant for the channel"), message.language), value=failed.channel),)
        return Delivery(
            id=new_id,
            channel_id=channel["_id"],
            channel=channel["name"],
            type=channel["type"],
            execution_id=failed.execution_id,
            job_id=failed.job_id,
            job_name=failed.job_name,
            message=replace(message, key=new_id, facts=facts),
            status=DeliveryStatus.WAITING,
            created_at=now,
            due_at=now,
            instead_of=(*failed.instead_of, failed.channel),
        )


def lost_among(deliveries: NotificationDeliveryStore, fallbacks: Fallbacks, ids: Collection[str]) -> frozenset[str]:
    """Returns which of these deliveries were refused or given up, as were all of those that replaced them. One that had no answer may have
    arrived."""
    return frozenset(delivery.id for delivery in deliveries.of(ids, LOST) if _is_lost(deliveries, fallbacks, delivery))


def _is_lost(deliveries: NotificationDeliveryStore, fallbacks: Fallbacks, delivery: Delivery) -> bool:
    following: Delivery | None = delivery
    while following is not None and following.status in LOST:
        instead = fallbacks.instead_of(following)
        following = deliveries.get(instead.id) if instead is not None else None
    return following is None


def chain(channels: ChannelStore, name: str) -> Iterator[Document]:
    """Yields the channel of a name, its fallback, the fallback of that one, and so on. A circle ends."""
    seen = set[str]()
    while name not in seen and (row := channels.named(name)) is not None:
        seen.add(name)
        yield row
        name = row["fallback"]


def fallback_problem(channels: ChannelStore, fallback: str, *, own: str, before: str = "") -> str | None:
    """Returns why a channel of the name `own`, which had the name `before`, cannot have this fallback: it does not exist, or it leads back.
    None if it can."""
    rows = list(chain(channels, fallback))
    path = [fallback, *(row["fallback"] for row in rows)]
    back = next((place for place, name in enumerate(path) if name and name in (own, before)), None)
    if back is not None:
        return say("must not lead back to this channel: {path}", path=" → ".join([own, *path[: back + 1]]))
    return None if rows else say("is not the name of a channel: {name!r}", name=fallback)
