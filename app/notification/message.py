"""What people are told, before any channel has given it a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.mongo import Document

LONGEST_TEXT = 4_000  # characters of a message; the page of the execution has the rest


def cut(text: str, most: int) -> str:
    """Returns a text of at most `most` characters; a longer one ends with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def cut_before(text: str, most: int) -> str:
    """Returns the end of a text, at most `most` characters; that of a longer one begins with an ellipsis."""
    return text if len(text) <= most else f"…{text[len(text) - most + 1 :]}"


class MessageKind(StrEnum):
    """What a message is about."""

    FIRING = "firing"  # something went wrong
    RECOVERY = "recovery"  # what went wrong is right again
    REMINDER = "reminder"  # something is still wrong
    NOTICE = "notice"  # something happened that is no failure, such as a success
    TEST = "test"  # a person tests the channel


class Severity(StrEnum):
    """How a message is coloured."""

    GOOD = "good"
    INFO = "info"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of a message: a label and its value."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An address that a message leads to, and its words."""

    words: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A part of a log: `words` say which, and `lines` are shown as they are."""

    words: str
    lines: tuple[str, ...]

    def as_code(self) -> str:
        """Returns the lines for a block of code in Markdown, which nothing in them ends."""
        return "\n".join(self.lines).replace("```", "` ` `")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLine:
    """A line of a part: its words, the address that they lead to (empty: none), and a detail behind them."""

    words: str
    url: str = ""
    detail: str = ""

    def as_text(self) -> str:
        """Returns the line as plain text."""
        return "\n  ".join(part for part in (self.words, self.detail, self.url) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a long message: a heading, and lines that lead to pages."""

    title: str
    lines: tuple[PartLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message.

    `key` is the same each time the same message is sent to the same channel, so that a receiver can recognise a repetition. Messages about
    one matter have the same `thread`. All texts are plain, whole sentences in `language`. Channels with room for it show `parts` instead of
    `text`, if there are any. `event` is what programs read: its type and plain values.
    """

    key: str
    thread: str
    kind: MessageKind
    severity: Severity
    title: str
    text: str
    at: datetime
    facts: tuple[Fact, ...] = ()
    links: tuple[Link, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    language: str = "en"
    event: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    def as_text(self) -> str:
        """Returns the whole message as plain text, without its title."""
        texts = [part.title + "".join(f"\n- {line.as_text()}" for line in part.lines) for part in self.parts] or [self.text]
        blocks = [*texts, "\n".join(f"{fact.label}: {fact.value}" for fact in self.facts)]
        blocks += [f"{link.words}: {link.url}" for link in self.links]
        blocks += ["\n".join((f"{excerpt.words}:", *excerpt.lines)) for excerpt in self.excerpts]
        return "\n\n".join(block for block in blocks if block)

    def as_document(self) -> Document:
        """Returns the stored form."""
        return {
            "key": self.key,
            "thread": self.thread,
            "kind": self.kind.value,
            "severity": self.severity.value,
            "title": self.title,
            "text": self.text,
            "at": self.at,
            "facts": [{"label": fact.label, "value": fact.value} for fact in self.facts],
            "links": [{"words": link.words, "url": link.url} for link in self.links],
            "excerpts": [{"words": excerpt.words, "lines": list(excerpt.lines)} for excerpt in self.excerpts],
            "language": self.language,
            "event": dict(self.event),
            "parts": [{"title": part.title, "lines": [asdict(line) for line in part.lines]} for part in self.parts],
        }


def message_from(row: Mapping[str, Any]) -> Message:
    """Returns the message in a stored document."""
    return Message(
        kind=MessageKind(row["kind"]),
        severity=Severity(row["severity"]),
        facts=tuple(Fact(label=fact["label"], value=fact["value"]) for fact in row["facts"]),
        links=tuple(Link(words=link["words"], url=link["url"]) for link in row["links"]),
        excerpts=tuple(Excerpt(words=excerpt["words"], lines=tuple(excerpt["lines"])) for excerpt in row.get("excerpts") or ()),
        event=row["event"],
        parts=tuple(
            Part(
                title=part["title"],
                lines=tuple(PartLine(words=line["words"], url=line["url"], detail=line["detail"]) for line in part["lines"]),
            )
            for part in row.get("parts") or ()
        ),
        **{name: row[name] for name in ("key", "thread", "title", "text", "at", "language")},
    )
