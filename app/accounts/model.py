"""People, roles, tokens and sessions."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A local account. `password_hash` is argon2id in PHC form."""

    id: str
    email: str
    name: str
    role: Role
    password_hash: str
    created_at: datetime
    disabled: bool = False
