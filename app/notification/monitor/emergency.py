"""Mails that Jobwright is stuck: directly to a mail server, not through the outbox and the deliveries that are stuck."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from app.notification.channels.base import Channel, Door, NotDelivered
from app.notification.message import Fact, Link, Message, MessageKind, Severity
from app.notification.monitor.model import Incident, part_words
from app.notification.monitor.ping import Bounded
from app.notification.texts import InWords
from templates_lib.messages import say

MAIL_SECONDS = 60.0  # for the whole conversation with the mail server


class EmergencyMail:
    """Sends to `recipients` through the SMTP connection `connection`. `language_of` gives the language of the person with an address."""

    def __init__(
        self,
        *,
        connection: str,
        recipients: tuple[str, ...],
        mail: Channel,
        door: Door,
        in_words: InWords,
        language_of: Callable[[str], str],
        public_url: str,
    ) -> None:
        self._settings = {"connection": connection, "recipients": list(recipients)}
        self._recipients, self._mail, self._door, self._in_words = recipients, mail, door, in_words
        self._language_of, self._public_url, self._bounded = language_of, public_url, Bounded(MAIL_SECONDS)

    @property
    def is_set(self) -> bool:
        """Whether there is somebody to write to, and a connection."""
        return bool(self._settings["connection"] and self._recipients)

    def send(self, incident: Incident, now: datetime) -> str:
        """Sends the next mail about an incident. Returns why that failed; an empty text if the server took it."""
        language = self._language_of(self._recipients[0])
        message = about_incident(incident, now=now, language=language, in_words=self._in_words, public_url=self._public_url)
        place = str(self._settings["connection"])
        try:
            self._bounded.call(lambda: self._mail.send(message, self._settings, self._door), place)
        except NotDelivered as error:
            return str(error)
        except Exception as error:
            return say("The mail could not be sent: {error}", error=type(error).__name__)
        return ""


def about_incident(incident: Incident, *, now: datetime, language: str, in_words: InWords, public_url: str) -> Message:
    """Returns the next message about an incident: that Jobwright is stuck, that it still is, or that it works again. The same message has
    the same key each time it is sent."""
    kind = MessageKind.RECOVERY if not incident.is_open else MessageKind.REMINDER if incident.mails else MessageKind.FIRING
    titles = {
        MessageKind.FIRING: say("Jobwright is stuck"),
        MessageKind.REMINDER: say("Jobwright is still stuck"),
        MessageKind.RECOVERY: say("Jobwright works again"),
    }
    over = say("Follow-ups of executions and notifications move again. What was due meanwhile is carried out now.")
    parts = [over] if kind is MessageKind.RECOVERY else [part_words(part) for part in incident.parts]
    if kind is not MessageKind.RECOVERY:
        parts.append(say("Other notifications may not arrive. See whether a scheduler runs, and run `jobwright doctor`."))
    facts = [(say("Noticed"), f"{incident.since:%Y-%m-%d %H:%M} UTC")]
    if kind is not MessageKind.FIRING:
        facts.append((say("For"), in_words(_span(now - incident.since), language)))
    links = (Link(words=in_words(say("Show the system page"), language), url=f"{public_url.rstrip('/')}/system"),) if public_url else ()
    return Message(
        key=f"monitor-{incident.id}-{kind}-{incident.mails}",
        thread=f"monitor-{incident.id}",
        kind=kind,
        severity=Severity.GOOD if kind is MessageKind.RECOVERY else Severity.BAD,
        title=in_words(titles[kind], language),
        text="\n\n".join(in_words(part, language) for part in parts),
        at=now,
        facts=tuple(Fact(label=in_words(label, language), value=value) for label, value in facts),
        links=links,
        language=language,
        event={"type": "monitor.stuck" if incident.is_open else "monitor.moves", "parts": list(incident.parts)},
    )


def _span(span: timedelta) -> str:
    minutes = max(1, round(span / timedelta(minutes=1)))
    return say("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60) if minutes >= 60 else say("{n} min", n=minutes)
