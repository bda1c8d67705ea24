"""Writes the digests that are due, on any number of nodes: one for each digest and local day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.accounts.actors import actor_of
from app.accounts.permissions import May, lacks
from app.accounts.preference_store import PreferenceStore
from app.accounts.preferences import LANGUAGES
from app.accounts.store import UserStore
from app.audit.model import Actor
from app.clock import Clock
from app.events import get_logger
from app.notification.channel_store import ChannelStore
from app.notification.delivery import Delivery, DeliveryStatus, delivery_id
from app.notification.delivery_store import NotificationDeliveryStore
from app.notification.digests.message import Writer
from app.notification.digests.model import Contents, Digest, Reading
from app.notification.digests.sections import Composer
from app.notification.digests.store import DigestStore
from app.notification.digests.times import begin_of, day_of, due_by, next_due
from app.notification.targets import Target, targets_of
from app.notification.texts import InWords
from app.signals import Signal
from app.ticks import each
from app.validation.words import DEFAULT_LOCALE
from app.zones import is_zone

log = get_logger(__name__)

CLAIM = timedelta(minutes=3)  # a claim of a node that was killed ends after this time
LATER = timedelta(minutes=10)  # a digest that cannot be written is tried again after this time
MOST_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """For whom a digest is written: whose rights it has, in which time zone, to whom it goes, and the language of mail."""

    reader: Actor
    timezone: str
    to: tuple[str, ...]
    language: str = DEFAULT_LOCALE


class Addressees:
    """Finds the addressee of each digest. `timezone` is that of who has set none."""

    def __init__(self, users: UserStore, preferences: PreferenceStore, *, timezone: str) -> None:
        self._users, self._preferences, self._timezone = users, preferences, timezone

    def of(self, digest: Digest) -> Addressee | None:
        """Returns the addressee; None for a person whose account is closed or may not see executions any more."""
        if not digest.owner_id:
            # A digest of a team has the rights of nobody in particular: it shows the jobs of its groups, and changes nothing.
            groups = frozenset(digest.groups) or None
            reader = Actor(id=digest.id, email="digest", role="admin", via="system", groups=groups)
            return Addressee(reader=reader, timezone=self._zone(digest.timezone), to=digest.to, language=_known_language(digest.language))
        user = self._users.get(digest.owner_id)
        if user is None or user.disabled or not user.email or user.damaged:
            return None
        reader, settings = actor_of(user, via="system"), self._preferences.get(user.id)
        if lacks(reader, May.SEE_EXECUTIONS) is not None:
            return None
        language = _known_language(settings.get("language", ""))
        return Addressee(reader=reader, timezone=self._zone(settings.get("zone", "")), to=(user.email,), language=language)

    def _zone(self, name: str) -> str:
        return name if is_zone(name) else self._timezone


def _known_language(name: str) -> str:
    return name if name in LANGUAGES else DEFAULT_LOCALE


class DigestWriter:
    """Composes a digest, and gives each of its targets a message in their language."""

    def __init__(self, *, composer: Composer, channels: ChannelStore, in_words: InWords, public_url: str) -> None:
        self._composer, self._channels, self._in_words, self._public_url = composer, channels, in_words, public_url

    def contents(self, digest: Digest, addressee: Addressee, end: datetime) -> Contents:
        """Returns what a digest says that reaches to `end`."""
        reading = Reading(
            reader=addressee.reader,
            begin=begin_of(digest, end),
            end=end,
            tags=frozenset(digest.tags),
            failing=frozenset(digest.failing),
        )
        return self._composer.compose(reading)

    def deliveries(self, digest: Digest, addressee: Addressee, contents: Contents, *, now: datetime) -> list[Delivery]:
        """Returns one delivery for each target. Their ids follow from the digest and the local day alone, so that a node that writes them
        again, even after a change of the recipients, adds none."""
        day = day_of(contents.reading.end, addressee.timezone)
        return [
            self._delivery(digest, addressee, contents, target, day=day, now=now) for target in targets_of(self._channels, addressee.to)
        ]

    def _delivery(self, digest: Digest, addressee: Addressee, contents: Contents, target: Target, *, day: str, now: datetime) -> Delivery:
        made_id = delivery_id(f"digest {digest.id} {day}", target.channel_id, (), "digest")
        language = addressee.language if target.recipients else target.language
        return Delivery(
            id=made_id,
            channel_id=target.channel_id,
            channel=target.channel,
            type=target.type,
            recipients=target.recipients,
            message=self.writer(language, addressee.timezone).message(digest, contents, key=made_id, day=day),
            status=DeliveryStatus.WAITING,
            created_at=now,
            due_at=now,
        )

    def writer(self, language: str, timezone: str) -> Writer:
        """Returns what writes digests in a language, with times in a time zone."""
        return Writer(in_words=self._in_words, language=language, timezone=timezone, public_url=self._public_url)


class DigestSender:
    """Writes what is due.

    1. A digest is claimed. 2. Its contents are read, with the rights of its addressee. 3. Its deliveries are written; those that are there
    already stay as they are. 4. The day is noted, and the next time. Killed at any line, another node does the same again, and nobody gets
    a second message. `written` is sent when there is something to send.
    """

    def __init__(
        self,
        *,
        store: DigestStore,
        addressees: Addressees,
        writer: DigestWriter,
        deliveries: NotificationDeliveryStore,
        clock: Clock,
        written: Signal,
    ) -> None:
        self._store, self._addressees, self._writer = store, addressees, writer
        self._deliveries, self._clock, self._written = deliveries, clock, written

    def tick(self) -> int:
        """Writes what is due. Returns how many digests were dealt with."""
        due = self._store.due(self._clock.now(), MOST_AT_ONCE)
        return sum(each("digests", due, self._deal_with, give_up=self._put_off))

    def _deal_with(self, digest: Digest) -> bool:
        now = self._clock.now()
        if not self._store.claim(digest, now=now, until=now + CLAIM):
            return False
        addressee = self._addressees.of(digest)
        if addressee is None:
            log.warning("digest.without_reader", id=digest.id)
            self._store.reschedule(digest, next_at=None)
            return True
        due = due_by(digest, addressee.timezone, now)
        if due is None:  # its day has had one, or its time was changed
            self._store.reschedule(digest, next_at=next_due(digest, addressee.timezone, now))
            return True
        self._write(digest, addressee, due)
        return True

    def _write(self, digest: Digest, addressee: Addressee, due: datetime) -> None:
        contents, now = self._writer.contents(digest, addressee, due), self._clock.now()
        sent = contents.has_news or not digest.only_if_any
        if sent:
            self._deliveries.add(self._writer.deliveries(digest, addressee, contents, now=now))
            self._written.send()
        day = day_of(due, addressee.timezone)
        next_at = next_due(replace(digest, last_day=day), addressee.timezone, now)
        self._store.finish(digest, day=day, until=due, failing=contents.failing, next_at=next_at)
        log.info("digest.written", id=digest.id, day=day, sent=sent)

    def _put_off(self, digest: Digest, error: Exception) -> None:
        log.error("digest.failed", id=digest.id, reason=f"{type(error).__name__}: {error}"[:200])
        self._store.reschedule(digest, next_at=self._clock.now() + LATER)
