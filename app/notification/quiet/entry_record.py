"""The stored form of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.mongo import Document
from app.notification.announcing import AlertSeverity, Announcement, Subject, SubjectKind
from app.notification.message import Fact, Link, MessageKind
from app.notification.quiet.entry import Entry, EntryStatus, Hold, Why
from app.notification.targets import Target
from app.shapes import DAMAGED, Anything, Flag, Instant, Json, Listed, Object, Text, instants, one_of, texts
from templates_lib.messages import parts_of, restored

SENTENCE = Object(members={"text": Text(), "said": Anything(optional=True)})
ANNOUNCEMENT = Object(
    members={
        **texts("key", "incident_id", "rule_id", "rule"),
        "subject": Object(
            members={**texts("id", "name", "group"), "kind": one_of([item.value for item in SubjectKind], SubjectKind.INSTALLATION.value)}
        ),
        "kind": one_of([item.value for item in MessageKind], MessageKind.NOTICE.value),
        "severity": one_of([item.value for item in AlertSeverity], AlertSeverity.WARNING.value),
        "at": Instant(),
        "to": Listed(of=Text()),
        "labels": Object(others=Text()),
        "execution_id": Text(nullable=True),
    }
)
# What only the text of a message needs. Nobody reads it to decide.
CONTENT = Object(
    members={
        "title": SENTENCE,
        "text": Listed(of=SENTENCE),
        "facts": Listed(of=Object(members={"label": SENTENCE, "value": SENTENCE})),
        "links": Listed(of=Object(members={"words": SENTENCE, **texts("url")})),
        "event": Json(),
    }
)
WITHOUT_CONTENT = {"content": 0}
HOLD = Object(
    nullable=True,
    members={
        # An unreadable reason is final: nothing is sent because of it.
        "why": one_of([item.value for item in Why], Why.REPEATED.value),
        "at": Instant(),
        **texts("by", "name"),
        "until": Instant(nullable=True),
        "final": Flag(default=True),
    },
)
ENTRY = Object(
    members={
        "announcement": ANNOUNCEMENT,
        "content": CONTENT,
        "target": Object(members={**texts("channel_id", "channel", "type", "language"), "recipients": Listed(of=Text())}),
        "target_key": Text(),
        "status": one_of([item.value for item in EntryStatus], EntryStatus.HELD.value),
        "hold": HOLD,
        "batch": Text(nullable=True),
        **instants("created_at"),
        **instants("due_at", "settled_at", nullable=True),
    }
)


def entry_document(entry: Entry) -> Document:
    """Returns the stored form of a new entry."""
    target = entry.target
    return {
        "_id": entry.id,
        "announcement": _announcement_document(entry.announcement),
        "content": _content_document(entry.announcement),
        "target": {
            "channel_id": target.channel_id,
            "channel": target.channel,
            "type": target.type,
            "recipients": list(target.recipients),
            "language": target.language,
        },
        "target_key": entry.target_key,
        "status": entry.status.value,
        "hold": None if entry.hold is None else hold_document(entry.hold),
        "batch": entry.batch,
        "created_at": entry.created_at,
        "due_at": entry.due_at,
        "settled_at": entry.settled_at,
    }


def entry_from(row: Mapping[str, Any]) -> Entry:
    """Returns the entry in a stored document. If it was read without its content, it has no texts."""
    same = {name: row[name] for name in ("batch", "created_at", "due_at", "settled_at")}
    target = {**row["target"], "recipients": tuple(row["target"]["recipients"])}
    return Entry(
        id=row["_id"],
        announcement=_announcement_from(row["announcement"], row.get("content")),
        target=Target(**{name: target[name] for name in ("channel_id", "channel", "type", "recipients", "language")}),
        status=EntryStatus(row["status"]),
        hold=None if row["hold"] is None else _hold_from(row["hold"]),
        damaged=row.get(DAMAGED, ""),
        **same,
    )


def hold_document(hold: Hold) -> Document:
    """Returns the stored form of a hold."""
    return {
        "why": hold.why.value,
        "at": hold.at,
        "by": hold.by,
        "name": hold.name[:],
        "until": hold.until,
        "final": hold.final,
    }


def _hold_from(row: Mapping[str, Any]) -> Hold:
    return Hold(why=Why(row["why"]), **{name: row[name] for name in ("at", "by", "name", "until", "final")})


def _announcement_document(announcement: Announcement) -> Document:
    subject = announcement.subject
    return {
        **{name: getattr(announcement, name) for name in ("key", "incident_id", "rule_id", "rule", "at", "execution_id")},
        "subject": {"kind": subject.kind.value, "id": subject.id, "name": subject.name, "group": subject.group},
        "kind": announcement.kind.value,
        "severity": announcement.severity.value,
        "to": list(announcement.to),
        "labels": dict(announcement.labels),
    }


def _content_document(announcement: Announcement) -> Document:
    """Returns the stored form of the texts. Sentences keep their parts, so that they can be put into any language later."""
    return {
        "title": _sentence(announcement.title),
        "text": [_sentence(text) for text in announcement.text],
        "facts": [{"label": _sentence(fact.label), "value": _sentence(fact.value)} for fact in announcement.facts],
        "links": [{"words": _sentence(link.words), "url": link.url} for link in announcement.links],
        "event": dict(announcement.event),
    }


def _announcement_from(row: Mapping[str, Any], content: Mapping[str, Any] | None) -> Announcement:
    subject, texts_of = row["subject"], {"title": ""} if content is None else _content_from(content)
    return Announcement(
        subject=Subject(kind=SubjectKind(subject["kind"]), **{name: subject[name] for name in ("id", "name", "group")}),
        kind=MessageKind(row["kind"]),
        severity=AlertSeverity(row["severity"]),
        to=tuple(row["to"]),
        **{name: row[name] for name in ("key", "incident_id", "rule_id", "rule", "at", "labels", "execution_id")},
        **texts_of,
    )


def _content_from(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": _restored(row["title"]),
        "text": tuple(_restored(text) for text in row["text"]),
        "facts": tuple(Fact(label=_restored(fact["label"]), value=_restored(fact["value"])) for fact in row["facts"]),
        "links": tuple(Link(words=_restored(link["words"]), url=link["url"]) for link in row["links"]),
        "event": row["event"],
    }


def _sentence(text: str) -> Document:
    return {"text": text[:], "said": parts_of(text)}


def _restored(row: Mapping[str, Any]) -> str:
    return restored(row["text"], row.get("said"))
