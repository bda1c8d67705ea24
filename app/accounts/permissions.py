"""Who may do what, in one table. Every service asks it, for requests of every face."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.accounts.model import Role, Scope
from app.audit.model import Actor
from app.errors import Forbidden


class May(StrEnum):
    """The permissions. `docs/reference/permissions.md` shows the table, and a test compares the two."""

    OWN_ACCOUNT = "account.own"
    SEE_JOBS = "jobs.see"
    CHANGE_JOBS = "jobs.change"
    RUN_JOBS = "jobs.run"
    DESTROY = "jobs.destroy"
    SEE_EXECUTIONS = "executions.see"
    CANCEL = "executions.cancel"
    ACKNOWLEDGE = "executions.acknowledge"
    SEE_TEMPLATES = "templates.see"
    MANAGE_TEMPLATES = "templates.manage"
    TRY_SCHEMAS = "templates.try"
    SEE_CALENDARS = "calendars.see"
    CHANGE_CALENDARS = "calendars.change"
    SEE_MAINTENANCE = "maintenance.see"
    SWITCH_MAINTENANCE = "maintenance.switch"
    NAME_CONNECTIONS = "connections.name"
    MANAGE_CONNECTIONS = "connections.manage"
    SEE_APPROVALS = "approvals.see"
    DECIDE_APPROVALS = "approvals.decide"
    MANAGE_ACCOUNTS = "accounts.manage"
    SEE_AUDIT = "audit.see"
    MANAGE_SAMPLE = "sample.manage"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a permission needs.

    `role` is the lowest role that has it, and `scope` the scope that a token needs besides (None: no scope). `words` describes the
    permission. `by_token` is False for what no token may do.
    """

    role: Role
    scope: Scope | None
    words: str
    by_token: bool = True


RULES: dict[May, Rule] = {
    May.OWN_ACCOUNT: Rule(Role.USER, None, "One's own password, second factor, sessions and tokens", by_token=False),
    May.SEE_JOBS: Rule(Role.ADMIN, Scope.READ, "See jobs and their revisions"),
    May.CHANGE_JOBS: Rule(Role.ADMIN, Scope.WRITE, "Create, change, enable, disable, pause, resume and delete jobs"),
    May.RUN_JOBS: Rule(Role.ADMIN, Scope.RUN, "Run, retry and backfill jobs; try again what an end of theirs owes"),
    May.DESTROY: Rule(Role.SUPER_ADMIN, None, "The three above, for templates that can destroy data; an admin's waits for approval"),
    May.SEE_EXECUTIONS: Rule(Role.ADMIN, Scope.READ, "See executions and their logs"),
    May.CANCEL: Rule(Role.ADMIN, Scope.RUN, "Cancel executions"),
    May.ACKNOWLEDGE: Rule(Role.ADMIN, Scope.RUN, "Acknowledge and dismiss failures"),
    May.SEE_TEMPLATES: Rule(Role.ADMIN, Scope.READ, "See templates"),
    May.MANAGE_TEMPLATES: Rule(
        Role.SUPER_ADMIN, Scope.ADMIN, "Switch templates on and off, restrict, derive and publish them, move their jobs between versions"
    ),
    May.TRY_SCHEMAS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, "Draw the form of any schema in the gallery"),
    May.SEE_CALENDARS: Rule(Role.ADMIN, Scope.READ, "See calendars"),
    May.CHANGE_CALENDARS: Rule(Role.ADMIN, Scope.WRITE, "Create, change and delete calendars"),
    May.SEE_MAINTENANCE: Rule(Role.ADMIN, Scope.READ, "See whether maintenance is on"),
    May.SWITCH_MAINTENANCE: Rule(Role.SUPER_ADMIN, Scope.ADMIN, "Begin and end maintenance"),
    May.NAME_CONNECTIONS: Rule(Role.ADMIN, Scope.READ, "See names and kinds of connections, and suggestions of what lies behind them"),
    May.MANAGE_CONNECTIONS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, "Create, change, test and delete connections"),
    May.SEE_APPROVALS: Rule(Role.ADMIN, Scope.READ, "See what waits for approval; take back one's own"),
    May.DECIDE_APPROVALS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, "Approve and refuse what others asked for; never one's own"),
    May.MANAGE_ACCOUNTS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, "Create, change and close accounts; see and revoke everybody's tokens"),
    May.SEE_AUDIT: Rule(Role.SUPER_ADMIN, Scope.ADMIN, "Read and export the audit trail"),
    May.MANAGE_SAMPLE: Rule(Role.SUPER_ADMIN, Scope.ADMIN, "Create and remove sample data"),
}


def lacks(actor: Actor, may: May) -> str | None:
    """Returns why `actor` does not have the permission, or None if the actor has it."""
    rule, order = RULES[may], list(Role)
    if may is May.DESTROY and actor.approved_by:
        return None
    if order.index(Role(actor.role)) < order.index(rule.role):
        return f"This needs the role {rule.role.value}; you are {actor.role}"
    if actor.scopes is None:
        return None
    if not rule.by_token:
        return "No token may do this; sign in"
    return f"This token lacks the scope {rule.scope.value!r}" if rule.scope and rule.scope not in actor.scopes else None


def sees_group(actor: Actor, group: str) -> bool:
    """Returns whether `actor` may see the jobs of a group."""
    return actor.groups is None or group in actor.groups


def require(actor: Actor, may: May) -> None:
    """Raises Forbidden, with the reason, if `actor` does not have the permission."""
    reason = lacks(actor, may)
    if reason is not None:
        raise Forbidden(reason)
