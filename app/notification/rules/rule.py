"""An alert rule: a condition, the jobs that it is about, and whom it tells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.mongo import Document
from app.notification.announcing import AlertSeverity
from app.notification.rules.texts import FIELDS, Texts
from app.shapes import DAMAGED
from templates_lib.messages import restored


class ScopeKind(StrEnum):
    """Which jobs a rule is about."""

    ALL = "all"  # all jobs
    JOB = "job"  # jobs by their ids
    TEMPLATE = "template"  # the jobs of these templates
    TAG = "tag"  # the jobs with one of these tags
    GROUP = "group"  # the jobs of these groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The jobs that a rule is about: all, or those that fit one of `values`."""

    kind: ScopeKind = ScopeKind.ALL
    values: tuple[str, ...] = ()

    def covers(self, job: JobFacts) -> bool:
        """Returns whether a job is one of them."""
        match self.kind:
            case ScopeKind.ALL:
                return True
            case ScopeKind.JOB:
                return job.id in self.values
            case ScopeKind.TEMPLATE:
                return job.template in self.values
            case ScopeKind.GROUP:
                return job.group in self.values
            case ScopeKind.TAG:
                return not job.tags.isdisjoint(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What rules know of a job."""

    id: str
    name: str
    group: str = ""
    template: str = ""
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remind:
    """A reminder is sent every `every_seconds` while nobody has acknowledged the incident, `most` times at most."""

    every_seconds: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate:
    """`to` are told too if nobody has acknowledged the incident `after_seconds` after it was announced."""

    after_seconds: int
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextsFault:
    """Why the texts of a rule could not be used for a message last, and when: `field` is `title` or `text`."""

    field: str
    error: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """A rule. `condition` is JSON of CONDITION_SCHEMA, and `where` an expression that the event must fulfil too; empty for none. Somebody
    is told once the condition has held for `wait_seconds`. A change of the rule removes `texts_fault`."""

    id: str
    name: str
    condition: Mapping[str, Any]
    enabled: bool = True
    where: str = ""
    scope: Scope = field(default_factory=Scope)
    to: tuple[str, ...] = ()
    severity: AlertSeverity = AlertSeverity.WARNING
    recovery: bool = True
    remind: Remind | None = None
    escalate: Escalate | None = None
    wait_seconds: int = 0
    texts: Texts | None = None
    texts_fault: TextsFault | None = None
    version: int = 1
    created_by: str = ""
    created_at: datetime | None = None
    updated_by: str = ""
    updated_at: datetime | None = None
    damaged: str = ""

    @property
    def type(self) -> str:
        """Returns the type of its condition."""
        return str(self.condition.get("type", ""))

    @property
    def recipients(self) -> tuple[str, ...]:
        """Returns everybody whom it may tell."""
        return tuple(dict.fromkeys((*self.to, *(self.escalate.to if self.escalate else ()))))


def body_of(rule: AlertRule) -> dict[str, Any]:
    """Returns what a person decides about a rule, as JSON: what `RULE_SCHEMA` describes."""
    return {
        "name": rule.name,
        "enabled": rule.enabled,
        "scope": {"kind": rule.scope.kind.value, "values": list(rule.scope.values)},
        "condition": dict(rule.condition),
        "where": rule.where,
        "to": list(rule.to),
        "severity": rule.severity.value,
        "recovery": rule.recovery,
        "remind": None if rule.remind is None else {"every_seconds": rule.remind.every_seconds, "most": rule.remind.most},
        "escalate": None if rule.escalate is None else {"after_seconds": rule.escalate.after_seconds, "to": list(rule.escalate.to)},
        "wait_seconds": rule.wait_seconds,
        "texts": None if rule.texts is None else {"title": rule.texts.title, "text": rule.texts.text},
    }


def as_document(rule: AlertRule) -> Document:
    """Returns the stored form."""
    same = ("version", "created_by", "created_at", "updated_by", "updated_at")
    return {"_id": rule.id, **body_of(rule), **{name: getattr(rule, name) for name in same}}


def rule_from(row: Mapping[str, Any]) -> AlertRule:
    """Returns the rule in a stored document, or in a body that RULE_SCHEMA has accepted."""
    scope, remind, escalate = row.get("scope") or {}, row.get("remind"), row.get("escalate")
    same = ("version", "created_by", "created_at", "updated_by", "updated_at")
    return AlertRule(
        id=row.get("_id", ""),
        name=row["name"],
        enabled=row.get("enabled", True),
        scope=Scope(kind=ScopeKind(scope.get("kind", "all")), values=tuple(scope.get("values", ()))),
        condition=dict(row["condition"]),
        where=row.get("where") or "",
        to=tuple(row.get("to", ())),
        severity=AlertSeverity(row.get("severity", AlertSeverity.WARNING)),
        recovery=row.get("recovery", True),
        remind=None if not remind else Remind(every_seconds=remind["every_seconds"], most=remind["most"]),
        escalate=None if not escalate else Escalate(after_seconds=escalate["after_seconds"], to=tuple(escalate["to"])),
        wait_seconds=row.get("wait_seconds", 0),
        texts=_texts_from(row.get("texts")),
        texts_fault=_fault_from(row.get("texts_fault")),
        damaged=row.get(DAMAGED, ""),
        **{name: row[name] for name in same if name in row},
    )


def _texts_from(row: Any) -> Texts | None:
    """Returns stored texts. Whatever is stored, the rule is applied: a text that cannot be used leaves the built-in words."""
    if not isinstance(row, Mapping):
        return None
    return Texts(**{field: row[field] for field in FIELDS if isinstance(row.get(field), str)})


def _fault_from(row: Any) -> TextsFault | None:
    if not isinstance(row, Mapping) or not isinstance(row.get("at"), datetime):
        return None
    return TextsFault(field=str(row.get("field")), error=restored(str(row.get("error")), row.get("said")), at=row["at"])


def covering(rules: Collection[AlertRule], job: JobFacts) -> list[AlertRule]:
    """Returns the rules that are about a job."""
    return [rule for rule in rules if rule.enabled and not rule.damaged and rule.scope.covers(job)]
