"""The text of a digest, in the language and the time zone of who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from app.notification.digests.model import Contents, Digest, Every, Section
from app.notification.message import Fact, Link, Message, MessageKind, Part, PartLine, Severity
from app.notification.texts import InWords
from app.zones import zone
from templates_lib.messages import Said, say, say_many

SHORT_LINES, LONGEST_SHORT = 5, 2_800  # lines of each part, and characters of all, in messages to chats


class Writer:
    """Writes digests in one language. `public_url` is the address of this installation; without one there are no links."""

    def __init__(self, *, in_words: InWords, language: str, timezone: str, public_url: str) -> None:
        self._in_words, self._language, self._timezone, self._url = in_words, language, timezone, public_url.rstrip("/")

    def message(self, digest: Digest, contents: Contents, *, key: str, day: str) -> Message:
        """Returns the message. Mail has all of `parts`; chats have `text`, which is shorter."""
        reading, bad = contents.reading, any(section.key in {"failed", "missed"} for section in contents.sections)
        span = f"{self._time(reading.begin)} – {self._time(reading.end)} ({self._timezone})"
        facts = [(say("Period"), span), (say("Runs"), f"{contents.runs}"), (say("Failed runs"), f"{contents.failures}")]
        return Message(
            key=key,
            thread=f"digest-{digest.id}",
            kind=MessageKind.NOTICE,
            severity=Severity.BAD if bad else Severity.INFO if contents.sections else Severity.GOOD,
            title=self._said(title_of(digest, day)),
            text=self._short(contents),
            at=reading.end,
            facts=tuple(Fact(label=self._said(label), value=value) for label, value in facts),
            links=(Link(words=self._said(say("Show the dashboard")), url=f"{self._url}/"),) if self._url else (),
            language=self._language,
            event={"type": "digest", "digest": digest.name, "day": day, "counts": {part.key: part.count for part in contents.sections}},
            parts=tuple(self._part(section) for section in contents.sections),
        )

    def _part(self, section: Section) -> Part:
        lines = [
            PartLine(words=self._said(line.words), url=self._address(line.path), detail=self._said(line.detail)) for line in section.lines
        ]
        if section.count > len(section.lines):
            lines.append(PartLine(words=self._said(more_of(section)), url=self._address(section.path)))
        return Part(title=f"{self._said(section.title)} ({section.count})", lines=tuple(lines))

    def _short(self, contents: Contents) -> str:
        if not contents.sections:
            return self._said(nothing_to_say())
        text = "\n\n".join("\n".join(self._short_lines(section)) for section in contents.sections)
        return text if len(text) <= LONGEST_SHORT else text[:LONGEST_SHORT].rpartition("\n")[0] + "\n…"

    def _short_lines(self, section: Section) -> Iterator[str]:
        yield f"{self._said(section.title)} ({section.count})"
        for line in section.lines[:SHORT_LINES]:
            yield f"• {self._said(line.words)}"
        if section.count > SHORT_LINES:
            yield "• …"

    def _address(self, path: str) -> str:
        return f"{self._url}{path}" if self._url else ""

    def _time(self, at: datetime) -> str:
        return f"{at.astimezone(zone(self._timezone)):%Y-%m-%d %H:%M}"

    def _said(self, words: str) -> str:
        return self._in_words(words, self._language)


def title_of(digest: Digest, day: str) -> Said:
    """Returns the title of a digest for a local day."""
    weekly = digest.every is Every.WEEKLY
    if digest.name:
        return say("{name}: week until {day}", name=digest.name, day=day) if weekly else say("{name}: {day}", name=digest.name, day=day)
    return say("Weekly digest of {day}", day=day) if weekly else say("Daily digest of {day}", day=day)


def more_of(section: Section) -> Said:
    """Returns how many things of a part are not named."""
    return say_many("… and {count} more", "… and {count} more", section.count - len(section.lines))


def nothing_to_say() -> Said:
    """Returns the text of a digest that has nothing to say."""
    return say("Nothing failed, no run was missed, and nothing needs attention.")
