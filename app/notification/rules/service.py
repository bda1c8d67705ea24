"""Alert rules, for people and programs: seen, created, changed and deleted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from marshmallow import ValidationError

from app.accounts.permissions import May, require
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import DuplicateName, FieldError, LimitReached, NotFound, StaleVersion, ValidationFailed
from app.jobs.directory import JobDirectory
from app.jobs.recipients import channel_of
from app.jobs.schema import RecipientField
from app.notification.rules.conditions import ABOUT_JOBS, BY_TIME, OF_INSTALLATION, Condition
from app.notification.rules.expressions import problem
from app.notification.rules.rule import AlertRule, JobFacts, ScopeKind, body_of, covering, rule_from
from app.notification.rules.schema import RULE_SCHEMA
from app.notification.rules.store import AlertRuleStore
from app.notification.rules.texts import problems as texts_problems
from app.signals import Signal
from app.validation import SchemaValidator
from app.validation.names import normal
from app.zones import is_zone
from templates_lib.messages import say

MOST_RULES = 200
DEFAULTS = {name: part["default"] for name, part in RULE_SCHEMA["properties"].items() if "default" in part}
_BODY = SchemaValidator(RULE_SCHEMA)


class AlertRules:
    """The rules. Admins manage rules for jobs and groups that they see; super-admins manage all. `is_job`
    says whether there is a job with an id, `known_channel` whether a channel has a name, and `changed` is sent after each change."""

    def __init__(
        self,
        *,
        store: AlertRuleStore,
        directory: JobDirectory,
        is_job: Callable[[str], bool],
        known_channel: Callable[[str], bool],
        audit: AuditTrail,
        clock: Clock,
        changed: Signal,
    ) -> None:
        self._store, self._directory, self._is_job = store, directory, is_job
        self._known_channel, self._audit, self._clock, self._changed = known_channel, audit, clock, changed

    def all(self, actor: Actor) -> list[AlertRule]:
        """Returns the rules that the actor sees, by name: not those for jobs and groups that the actor does not see."""
        require(actor, May.SEE_RULES)
        return [rule for rule in self._store.all() if self._sees(actor, rule)]

    def get(self, actor: Actor, rule_id: str) -> AlertRule:
        """Returns a rule. Raises NotFound."""
        require(actor, May.SEE_RULES)
        return self._existing(actor, rule_id)

    def of_job(self, actor: Actor, job: JobFacts) -> list[AlertRule]:
        """Returns the enabled rules that are about a job that the actor was shown, by name: who will hear what of it."""
        require(actor, May.SEE_RULES)
        return [rule for rule in covering(self._store.all(), job) if rule.type in ABOUT_JOBS]

    def may_manage(self, actor: Actor, rule: AlertRule) -> bool:
        """Returns whether the actor may change or delete a rule."""
        try:
            self._require_manages(actor, rule)
        except Exception:
            return False
        return True

    def create(self, actor: Actor, body: Any) -> AlertRule:
        """Creates a rule of a body as RULE_SCHEMA describes. Raises ValidationFailed, DuplicateName, LimitReached, Forbidden."""
        require(actor, May.MANAGE_RULES)
        now, rule_id = self._clock.now(), str(uuid.uuid4())
        made = self._made(actor, body, rule_id)
        rule = replace(made, created_by=actor.email, created_at=now, updated_by=actor.email, updated_at=now)
        if self._store.count() >= MOST_RULES:
            raise LimitReached(say("There are {most} alert rules already. Delete one first.", most=MOST_RULES))
        with self._audit.action(actor, "rule.create", kind="rule", target_id=rule_id, name=rule.name, diff=field_diff({}, body_of(rule))):
            self._store.add(rule)
        self._changed.send()
        return rule

    def update(self, actor: Actor, rule_id: str, body: Any, *, version: int | None = None) -> AlertRule:
        """Replaces what a person decides about a rule. Raises ValidationFailed, DuplicateName, StaleVersion, NotFound, Forbidden."""
        require(actor, May.MANAGE_RULES)
        old = self._existing(actor, rule_id)
        self._require_manages(actor, old)
        if version is not None and version != old.version:
            raise StaleVersion(version, old.version)
        made = self._made(actor, body, rule_id)
        new = replace(
            made,
            version=old.version + 1,
            created_by=old.created_by,
            created_at=old.created_at,
            updated_by=actor.email,
            updated_at=self._clock.now(),
        )
        diff = field_diff(body_of(old), body_of(new))
        with self._audit.action(actor, "rule.update", kind="rule", target_id=rule_id, name=new.name, diff=diff):
            if not self._store.replace_version(new, version=old.version):
                raise StaleVersion(old.version, self._existing(actor, rule_id).version)
        self._changed.send()
        return new

    def enable(self, actor: Actor, rule_id: str, *, enabled: bool) -> AlertRule:
        """Enables or disables a rule. Raises NotFound, Forbidden, StaleVersion."""
        require(actor, May.MANAGE_RULES)
        rule = self._existing(actor, rule_id)
        return self.update(actor, rule_id, {**body_of(rule), "enabled": enabled}, version=rule.version)

    def delete(self, actor: Actor, rule_id: str) -> None:
        """Deletes a rule. Its open incidents are closed, and nobody is told. Raises NotFound, Forbidden."""
        require(actor, May.MANAGE_RULES)
        rule = self._existing(actor, rule_id)
        self._require_manages(actor, rule)
        with self._audit.action(actor, "rule.delete", kind="rule", target_id=rule_id, name=rule.name, diff=field_diff(body_of(rule), {})):
            self._store.remove(rule_id)
        self._changed.send()

    def draft(self, actor: Actor, body: Any) -> AlertRule:
        """Returns the rule that a body describes, without saving it; its name may be taken. Raises ValidationFailed, Forbidden."""
        require(actor, May.MANAGE_RULES)
        return self._made(actor, body, "", name_may_be_taken=True)

    def problems(self, actor: Actor, body: Any, rule_id: str = "") -> list[FieldError]:
        """Returns everything that keeps a body (any JSON value) from being a rule, at pointers into it. `rule_id` is the rule to change."""
        require(actor, May.MANAGE_RULES)
        errors = [*_BODY.errors(body)]
        if not isinstance(body, Mapping):
            return errors
        wrong = {error.pointer.split("/")[1] for error in errors if error.pointer.count("/")}
        if "name" not in wrong and isinstance(body.get("name"), str):
            errors += DuplicateName(body["name"]).errors if self._store.name_taken(normal(body["name"]), by_other_than=rule_id) else ()
        if "to" not in wrong:
            errors += self._recipient_problems(body.get("to"), "/to")
        if "escalate" not in wrong and body.get("escalate"):
            errors += self._recipient_problems(body["escalate"]["to"], "/escalate/to")
        if "texts" not in wrong and body.get("texts"):
            errors += texts_problems(body["texts"])
        if "where" not in wrong and body.get("where"):
            errors += _where_problems(body)
        if "condition" not in wrong:
            errors += _condition_problems(body["condition"])
        if not {"scope", "condition"} & wrong:
            errors += self._scope_problems(body)
        return errors

    # -- steps ----------------------------------------------------------------------------------------------------

    def _made(self, actor: Actor, body: Any, rule_id: str, *, name_may_be_taken: bool = False) -> AlertRule:
        errors = self.problems(actor, body, rule_id)
        taken = list(DuplicateName(body.get("name", "")).errors) if isinstance(body, Mapping) else []
        if name_may_be_taken:
            errors = [error for error in errors if error not in taken]
        elif errors and errors == taken:
            raise DuplicateName(body["name"])
        if errors:
            raise ValidationFailed(errors)
        to = tuple(map(_recipient, body["to"]))
        escalate = body.get("escalate")
        if escalate:
            escalate = {**escalate, "to": [_recipient(item) for item in escalate["to"]]}
        rule = rule_from({**DEFAULTS, **body, "_id": rule_id, "name": normal(body["name"]), "to": to, "escalate": escalate})
        self._require_manages(actor, rule)
        return rule

    def _scope_problems(self, body: Mapping[str, Any]) -> list[FieldError]:
        scope = body.get("scope") or {"kind": ScopeKind.ALL.value}
        kind, values = scope["kind"], scope.get("values", [])
        if body["condition"]["type"] in OF_INSTALLATION and kind != ScopeKind.ALL:
            return [FieldError("/scope/kind", say("must be all jobs, because this condition is about what all jobs share"))]
        if kind == ScopeKind.ALL:
            return [FieldError("/scope/values", say("must be empty, because the rule applies to all jobs"))] if values else []
        if not values:
            return [FieldError("/scope/values", say("must name at least one"))]
        if kind == ScopeKind.JOB:
            unseen = [value for value in values if not self._is_job(value)]
            return [FieldError("/scope/values", say("is not the id of a job: {name}", name=value)) for value in unseen[:5]]
        return []

    def _recipient_problems(self, items: Any, at: str) -> list[FieldError]:
        errors = []
        for place, item in enumerate(items if isinstance(items, list) else ()):
            try:
                name = channel_of(_recipient(item))
            except ValidationError:
                errors.append(FieldError(f"{at}/{place}", say("must be an e-mail address, or channel: and the name of a channel")))
                continue
            if name is not None and not self._known_channel(normal(name)):
                errors.append(FieldError(f"{at}/{place}", say("is not the name of a channel: {name!r}", name=name)))
        return errors

    def _require_manages(self, actor: Actor, rule: AlertRule) -> None:
        """Raises Forbidden if the actor may not manage a rule of this scope."""
        require(actor, May.MANAGE_RULES)
        if not self._is_narrow(actor, rule):
            require(actor, May.MANAGE_ALL_RULES)

    def _is_narrow(self, actor: Actor, rule: AlertRule) -> bool:
        """Returns whether a rule is about jobs alone that the actor sees."""
        if rule.type in OF_INSTALLATION:
            return False
        match rule.scope.kind:
            case ScopeKind.JOB:
                return self._sees_jobs(actor, rule)
            case ScopeKind.GROUP:
                return actor.groups is None or actor.groups.issuperset(rule.scope.values)
            case ScopeKind.TAG:
                return actor.groups is None
        return False

    def _sees(self, actor: Actor, rule: AlertRule) -> bool:
        if actor.groups is None:
            return True
        match rule.scope.kind:
            case ScopeKind.JOB:
                return self._sees_jobs(actor, rule)
            case ScopeKind.GROUP:
                return not actor.groups.isdisjoint(rule.scope.values)
        return True

    def _sees_jobs(self, actor: Actor, rule: AlertRule) -> bool:
        return self._directory.of_these_seen(actor, rule.scope.values) == set(rule.scope.values)

    def _existing(self, actor: Actor, rule_id: str) -> AlertRule:
        rule = self._store.get(rule_id)
        if rule is None or not self._sees(actor, rule):
            raise NotFound("rule", rule_id)
        return rule


def _where_problems(body: Mapping[str, Any]) -> list[FieldError]:
    condition = body.get("condition")
    if isinstance(condition, Mapping) and condition.get("type") in BY_TIME:
        return [FieldError("/where", say("must be empty, because this condition is not about the ends of runs"))]
    words = problem(body["where"])
    return [] if words is None else [FieldError("/where", words)]


def _condition_problems(condition: Mapping[str, Any]) -> list[FieldError]:
    if condition["type"] == Condition.DEADLINE and not is_zone(condition["timezone"]):
        return [FieldError("/condition/timezone", say("is not a known time zone"))]
    if condition["type"] == Condition.FAILURES_AMONG and condition["count"] > condition["last"]:
        return [FieldError("/condition/count", say("must be at most the number of runs that are looked at"))]
    return []


def _recipient(item: str) -> str:
    return str(RecipientField().deserialize(item))
