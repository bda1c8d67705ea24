"""People, services, roles, tokens and sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a person may do."""

    USER = "user"  # only their own account
    ADMIN = "admin"  # sees everything; creates, changes and runs jobs of templates that cannot destroy data
    SUPER_ADMIN = "super_admin"  # everything


class Scope(StrEnum):
    """What a token may do, within the role of its owner."""

    READ = "read"  # look at jobs, templates, executions, logs
    WRITE = "write"  # create, change, enable, disable and delete jobs
    RUN = "run"  # run, cancel and retry
    ADMIN = "admin"  # connections and everything else that needs a super-admin
    SERVICES = "services"  # register jobs of a service, send its heartbeats, report on its runs
    ENABLE = "enable"  # registrations may enable jobs


class AccountKind(StrEnum):
    """Whether an account belongs to a person or to a program."""

    PERSON = "person"  # signs in
    SERVICE = "service"  # a program, which has tokens and cannot sign in


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account.

    `password_hash` is argon2id in PHC form; empty if the account cannot sign in with a password. `totp` is None without a second factor,
    else `{sealed, confirmed_at, last_step, recovery}` (app.accounts.second_factor). `groups` are the groups to whose jobs an admin is
    restricted; an empty tuple means all jobs. `identity` names the person at the provider of single sign-on: `{issuer, subject}`. `epoch`
    counts changes of the credentials and rights of the account; a session is valid only in the epoch in which it began. `damaged` says
    what in the stored record cannot be read; if that decides about rights, the account is closed.
    """

    id: str
    email: str
    name: str
    role: Role
    password_hash: str = field(repr=False)
    created_at: datetime
    disabled: bool = False
    kind: AccountKind = AccountKind.PERSON
    totp: dict[str, object] | None = field(default=None, repr=False)
    last_seen_at: datetime | None = None
    groups: tuple[str, ...] = ()
    identity: dict[str, str] | None = None
    epoch: int = 0
    version: int = 1
    damaged: str = ""
