"""People, services, roles, tokens and sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What someone may do (design.md, 6)."""

    USER = "user"  # nothing here
    ADMIN = "admin"  # sees all; creates, edits, runs and toggles jobs of templates that destroy nothing
    SUPER_ADMIN = "super_admin"  # everything


class Scope(StrEnum):
    """What a token may do, within its owner's role."""

    READ = "read"  # look at jobs, templates, executions, logs
    WRITE = "write"  # create, change, enable, disable and delete jobs
    RUN = "run"  # run, cancel and retry
    ADMIN = "admin"  # connections and whatever else is a super-admin's


class AccountKind(StrEnum):
    """Who an account is."""

    PERSON = "person"  # signs in
    SERVICE = "service"  # a program: has tokens, and no sign-in


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account. `password_hash` is argon2id in PHC form, empty where nobody can sign in with a password.

    `totp` is None without a second factor, else `{sealed, confirmed_at, last_step, recovery}` (app.accounts.second_factor). `groups` are
    those whose jobs an admin is kept to; without any, all. `identity` is who they are at the provider of single sign-on: `{issuer,
    subject}`. `epoch` counts changes of how the account is proved and of what it may: a session is good in the epoch that it began in.
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
    damaged: str = ""  # what of its record cannot be read; where that decides what it may, it is closed
