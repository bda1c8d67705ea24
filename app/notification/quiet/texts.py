"""The texts of messages about one or more announcements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from app.notification.announcing import Announcement, SubjectKind, colour_of, message_of
from app.notification.composing import Complete, as_it_is
from app.notification.message import LONGEST_TEXT, Fact, Link, Message, MessageKind, Severity
from app.notification.quiet.entry import WORDS, Entry
from app.notification.texts import LONGEST_VALUE, InWords
from app.validation.terminal import one_line
from templates_lib.messages import Said, say, say_many

NAMED = 20  # alerts that a message names; the page behind its link has all of them
LONGEST_NAME = 150  # characters of each
MOST_COUNTED = 5  # rules that a message counts by themselves
_WORST = (Severity.BAD, Severity.INFO, Severity.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a message tells: the entries, oldest first, and the one about their cause."""

    id: str
    group: str
    kind: MessageKind
    at: datetime
    entries: tuple[Entry, ...]
    root: Entry | None = None

    @property
    def recovered(self) -> frozenset[tuple[str, str]]:
        """Returns the incidents that were over before the message about them was sent."""
        alarms = {entry.incident for entry in self.entries if entry.is_alarm}
        return frozenset(entry.incident for entry in self.entries if entry.kind is MessageKind.RECOVERY) & alarms

    @property
    def told(self) -> tuple[Entry, ...]:
        """Returns the entries that a message counts: a recovery beside its own alarm is only a remark."""
        recovered = self.recovered
        return tuple(entry for entry in self.entries if entry.is_alarm or entry.incident not in recovered)


def message_about(bundle: Bundle, *, key: str, language: str, in_words: InWords, public_url: str, complete: Complete = as_it_is) -> Message:
    """Returns the message about entries, in a language. `complete` adds to a message about one of them what belongs to it alone."""
    main = bundle.root or (bundle.told[0] if len(bundle.told) == 1 else None)
    if main is None:
        return _about_many(bundle, key=key, language=language, in_words=in_words, public_url=public_url)
    built_in = message_of(main.announcement, key=key, language=language, in_words=in_words)
    message = complete(built_in, main.announcement)
    others = [entry for entry in bundle.told if entry is not main]
    parts = [message.text, *(in_words(part, language) for part in _remarks(main, bundle))]
    links = [*message.links, *_links([main] if not others else [], public_url)]
    event = dict(message.event)
    if others:
        parts += [in_words(_caused(len(others)), language), _list(others, bundle, language, in_words)]
        links += _link_to_all(bundle, len(bundle.told), public_url)
        event |= _counted(others)
    title = main.announcement.title if message.title == built_in.title else message.title
    title = in_words(_with_recovery(title), language) if main.incident in bundle.recovered else message.title
    return replace(message, title=title, text=_joined(parts), links=_in_language(links, language, in_words), event=event)


def _about_many(bundle: Bundle, *, key: str, language: str, in_words: InWords, public_url: str) -> Message:
    told = bundle.told
    first, count = told[0].announcement, len(told)
    late = sum(1 for entry in told if entry.hold is not None)
    parts = [in_words(_late(late), language)] if late else []
    facts = [Fact(label=in_words(label, language), value=in_words(value, language)[:LONGEST_VALUE]) for label, value in _facts(told)]
    return Message(
        key=key,
        thread=bundle.group,
        kind=bundle.kind,
        severity=min((colour_of(entry.announcement) for entry in told), key=_WORST.index),
        title=in_words(_title(bundle.kind, count, first.title), language),
        text=_joined([*parts, _list(told, bundle, language, in_words)]),
        at=bundle.at,
        facts=tuple(facts),
        links=_in_language(_link_to_all(bundle, count, public_url), language, in_words),
        language=language,
        event={"type": "alerts", **_counted(told)},
    )


def _title(kind: MessageKind, count: int, first: str) -> Said:
    more = count - 1
    match kind:
        case MessageKind.RECOVERY:
            return say_many("{first}, and {count} more recovery", "{first}, and {count} more recoveries", more, first=first)
        case MessageKind.REMINDER:
            return say_many("{first}, and {count} more reminder", "{first}, and {count} more reminders", more, first=first)
        case MessageKind.NOTICE:
            return say_many("{first}, and {count} more notice", "{first}, and {count} more notices", more, first=first)
    return say_many("{first}, and {count} more alert", "{first}, and {count} more alerts", more, first=first)


def _caused(count: int) -> Said:
    return say_many(
        "{count} alert has the same cause. Others that follow are not sent while this lasts:",
        "{count} alerts have the same cause. Others that follow are not sent while this lasts:",
        count,
    )


def _late(count: int) -> Said:
    return say_many("{count} of these alerts was held back until now.", "{count} of these alerts were held back until now.", count)


def _with_recovery(title: str) -> Said:
    return say("{title}, and has recovered", title=title)


def _remarks(entry: Entry, bundle: Bundle) -> Iterator[str]:
    """Yields what a message says of one alert besides its own text."""
    if entry.hold is not None:
        yield say("This was held back until now. Reason: {reason}", reason=WORDS[entry.hold.why])
    if entry.incident in bundle.recovered:
        over = next(item for item in bundle.entries if item.kind is MessageKind.RECOVERY and item.incident == entry.incident)
        yield say("It has recovered since, at {time:%Y-%m-%d %H:%M:%S} UTC.", time=over.announcement.at)


def _list(entries: Sequence[Entry], bundle: Bundle, language: str, in_words: InWords) -> str:
    """Returns the first entries, one a line, and how many there are besides."""
    recovered, lines = bundle.recovered, list[str]()
    for entry in entries[:NAMED]:
        title = entry.announcement.title
        words = one_line(in_words(_with_recovery(title) if entry.incident in recovered else title, language))
        lines.append(f"• {words if len(words) <= LONGEST_NAME else words[: LONGEST_NAME - 1] + '…'}")
    more = len(entries) - NAMED
    if more > 0:
        lines.append(in_words(say_many("… and {count} more", "… and {count} more", more), language))
    return "\n".join(lines)


def _facts(told: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    rules = Counter(one_line(entry.announcement.rule) for entry in told if not entry.announcement.is_own)
    yield say("Alerts"), str(len(told))
    if rules:
        yield say("Rules"), ", ".join(f"{rule} ({count})" for rule, count in rules.most_common(MOST_COUNTED))
    yield say("First"), f"{told[0].announcement.at:%Y-%m-%d %H:%M:%S} UTC"
    yield say("Last"), f"{told[-1].announcement.at:%Y-%m-%d %H:%M:%S} UTC"


def _counted(told: Sequence[Entry]) -> dict[str, Any]:
    """Returns what programs read of several alerts: their number, and the first ones."""
    first = [
        {
            "incident_id": None if entry.announcement.is_own else entry.announcement.incident_id,
            "execution_id": entry.announcement.execution_id,
            "rule": entry.announcement.rule,
            "subject": {"kind": entry.announcement.subject.kind.value, "id": entry.announcement.subject.id},
            "name": entry.announcement.subject.name,
        }
        for entry in told[:NAMED]
    ]
    return {"alerts": len(told), "first_alerts": first}


def _links(entries: Iterable[Entry], public_url: str) -> list[Link]:
    """Returns links by which an alert can be muted. The page asks for a reason and an end first."""
    if not public_url:
        return []
    return [
        Link(words=say("Mute this alert"), url=f"{public_url.rstrip('/')}/mutes/new?{urlencode(_matched(entry.announcement))}")
        for entry in entries
        if entry.is_alarm
    ]


def _matched(announcement: Announcement) -> dict[str, str]:
    about_job, group = announcement.subject.kind is SubjectKind.JOB, announcement.subject.group
    rules = {} if announcement.is_own else {"rules": announcement.rule}
    return {**rules, **({"jobs": announcement.subject.name} if about_job else {}), **({"groups": group} if group else {})}


def _link_to_all(bundle: Bundle, count: int, public_url: str) -> list[Link]:
    if not public_url:
        return []
    words = say_many("Show {count} alert", "Show all {count} alerts", count)
    return [Link(words=words, url=f"{public_url.rstrip('/')}/announcements?batch={bundle.id}")]


def _in_language(links: Iterable[Link], language: str, in_words: InWords) -> tuple[Link, ...]:
    return tuple(replace(link, words=in_words(link.words, language)) for link in links)


def _joined(parts: Iterable[str]) -> str:
    text = "\n\n".join(part for part in parts if part)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
