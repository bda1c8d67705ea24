"""Who may do what, in one table. Every service asks it, for requests of every face."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.accounts.model import Role, Scope
from app.audit.model import Actor
from app.errors import Forbidden, RoleTooLow
from templates_lib.messages import say


class May(StrEnum):
    """The permissions. `docs/reference/permissions.md` shows the table, and a test compares the two."""

    OWN_ACCOUNT = "account.own"
    SEE_JOBS = "jobs.see"
    CHANGE_JOBS = "jobs.change"
    RUN_JOBS = "jobs.run"
    MIGRATE_JOBS = "jobs.migrate"
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
    SEE_NODES = "nodes.see"
    MANAGE_NODES = "nodes.manage"
    NAME_CONNECTIONS = "connections.name"
    MANAGE_CONNECTIONS = "connections.manage"
    SEE_CHANNELS = "channels.see"
    MANAGE_CHANNELS = "channels.manage"
    SEE_RULES = "rules.see"
    MANAGE_RULES = "rules.manage"
    MANAGE_ALL_RULES = "rules.administer"
    SEE_DIGESTS = "digests.see"
    MANAGE_DIGESTS = "digests.manage"
    SEE_MUTES = "mutes.see"
    MUTE = "mutes.change"
    SEE_APPROVALS = "approvals.see"
    DECIDE_APPROVALS = "approvals.decide"
    MANAGE_ACCOUNTS = "accounts.manage"
    SEE_AUDIT = "audit.see"
    MANAGE_SAMPLE = "sample.manage"
    SEE_SERVICES = "services.see"
    REGISTER_JOBS = "services.register"
    ENABLE_REGISTERED = "services.enable"
    MANAGE_SERVICES = "services.manage"


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
    May.OWN_ACCOUNT: Rule(Role.USER, None, say("Change your own password, second factor, sessions and tokens"), by_token=False),
    May.SEE_JOBS: Rule(Role.ADMIN, Scope.READ, say("See jobs and their versions")),
    May.CHANGE_JOBS: Rule(Role.ADMIN, Scope.WRITE, say("Create, change, enable, disable, pause, resume and delete jobs")),
    May.RUN_JOBS: Rule(Role.ADMIN, Scope.RUN, say("Run, retry and backfill jobs, and retry their failed follow-ups")),
    May.MIGRATE_JOBS: Rule(
        Role.SUPER_ADMIN, Scope.ADMIN, say("Migrate the jobs of the old scheduler, compare them, cut them over and roll them back")
    ),
    May.DESTROY: Rule(
        Role.SUPER_ADMIN,
        None,
        say("Create, change, delete and run jobs whose templates can delete data. An admin needs an approval for this"),
    ),
    May.SEE_EXECUTIONS: Rule(Role.ADMIN, Scope.READ, say("See executions and their logs")),
    May.CANCEL: Rule(Role.ADMIN, Scope.RUN, say("Cancel executions")),
    May.ACKNOWLEDGE: Rule(Role.ADMIN, Scope.RUN, say("Acknowledge and dismiss failures")),
    May.SEE_TEMPLATES: Rule(Role.ADMIN, Scope.READ, say("See templates")),
    May.MANAGE_TEMPLATES: Rule(
        Role.SUPER_ADMIN,
        Scope.ADMIN,
        say("Enable, disable, restrict, derive and publish templates, and move their jobs between versions"),
    ),
    May.TRY_SCHEMAS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Draw the form of any schema in the gallery")),
    May.SEE_CALENDARS: Rule(Role.ADMIN, Scope.READ, say("See blackout calendars")),
    May.CHANGE_CALENDARS: Rule(Role.ADMIN, Scope.WRITE, say("Create, change and delete blackout calendars")),
    May.SEE_MAINTENANCE: Rule(Role.ADMIN, Scope.READ, say("See whether maintenance is on")),
    May.SWITCH_MAINTENANCE: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Begin and end maintenance")),
    May.SEE_NODES: Rule(Role.ADMIN, Scope.READ, say("See nodes, their labels and what runs on them")),
    May.MANAGE_NODES: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Drain and resume nodes")),
    May.NAME_CONNECTIONS: Rule(Role.ADMIN, Scope.READ, say("See names and kinds of connections, and suggestions from them")),
    May.MANAGE_CONNECTIONS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Create, change, test and delete connections")),
    May.SEE_CHANNELS: Rule(Role.ADMIN, Scope.READ, say("See names and types of channels, and name them in jobs")),
    May.MANAGE_CHANNELS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Create, change, test and delete channels")),
    May.SEE_RULES: Rule(Role.ADMIN, Scope.READ, say("See alert rules and incidents")),
    May.MANAGE_RULES: Rule(Role.ADMIN, Scope.WRITE, say("Create, change and delete alert rules for jobs, groups and tags that you see")),
    May.MANAGE_ALL_RULES: Rule(
        Role.SUPER_ADMIN, Scope.ADMIN, say("Create, change and delete alert rules for all jobs, for templates and for the installation")
    ),
    May.SEE_DIGESTS: Rule(Role.ADMIN, Scope.READ, say("See and preview the digests of teams")),
    May.MANAGE_DIGESTS: Rule(Role.ADMIN, Scope.WRITE, say("Create, change and delete digests of teams about jobs that you see")),
    May.SEE_MUTES: Rule(Role.ADMIN, Scope.READ, say("See mutes of alerts")),
    May.MUTE: Rule(Role.ADMIN, Scope.WRITE, say("Create, change and end mutes of alerts")),
    May.SEE_APPROVALS: Rule(Role.ADMIN, Scope.READ, say("See requests for approval, and withdraw your own")),
    May.DECIDE_APPROVALS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Approve and refuse the requests of others")),
    May.MANAGE_ACCOUNTS: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Create, change and close accounts; see and revoke all tokens")),
    May.SEE_AUDIT: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Read and export the audit trail")),
    May.MANAGE_SAMPLE: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Create and remove sample data")),
    May.SEE_SERVICES: Rule(Role.ADMIN, Scope.READ, say("See services, their instances and their jobs")),
    May.REGISTER_JOBS: Rule(Role.ADMIN, Scope.SERVICES, say("Register the jobs of a service, send its heartbeats, and report on its runs")),
    May.ENABLE_REGISTERED: Rule(
        Role.ADMIN, Scope.ENABLE, say("Enable jobs by registering them. Without this, registered jobs are disabled at first")
    ),
    May.MANAGE_SERVICES: Rule(Role.SUPER_ADMIN, Scope.ADMIN, say("Rotate the signing keys of services, and remove services")),
}


def has_role(role: Role, may: May) -> bool:
    """Returns whether a role is high enough for a permission."""
    order = list(Role)
    return order.index(role) >= order.index(RULES[may].role)


def lacks(actor: Actor, may: May) -> str | None:
    """Returns why `actor` does not have the permission, or None if the actor has it."""
    rule = RULES[may]
    if may is May.DESTROY and actor.approved_by:
        return None
    if not has_role(Role(actor.role), may):
        return f"This needs the role {rule.role.value}; your role is {actor.role}"
    if actor.scopes is None:
        return None
    if not rule.by_token:
        return "Tokens cannot do this. Sign in instead"
    return f"This token lacks the scope {rule.scope.value!r}" if rule.scope and rule.scope not in actor.scopes else None


def sees_group(actor: Actor, group: str) -> bool:
    """Returns whether `actor` may see the jobs of a group."""
    return actor.groups is None or group in actor.groups


def require(actor: Actor, may: May) -> None:
    """Raises Forbidden, with the reason, if `actor` does not have the permission."""
    reason = lacks(actor, may)
    if reason is None:
        return
    raise Forbidden(reason) if has_role(Role(actor.role), may) else RoleTooLow(actor.role, RULES[may].role.value)
