"""Accounts. Super-admins create, change and close them; each person changes their own password and second factor."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from app.accounts.actors import actor_of
from app.accounts.model import AccountKind, Role, User
from app.accounts.passwords import Passwords
from app.accounts.permissions import May, require
from app.accounts.second_factor import Enrolment, SecondFactor
from app.accounts.store import SessionStore, UserStore
from app.accounts.throttle import DEVICE, Throttle
from app.audit.model import Actor, field_diff
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, DuplicateName, FieldError, NotFound, StaleVersion, ValidationFailed
from app.keys import digest
from app.mongo import Document
from app.validation import SchemaValidator
from app.validation.names import read_name, read_names, visible
from app.validation.together import sound
from templates_lib.messages import say

RESET_LIFE = timedelta(hours=24)  # of a link that sets a password

_NAME: dict[str, Any] = {"type": "string", "title": "Name", "maxLength": 200}
_ROLE: dict[str, Any] = {
    "title": "Role",
    "oneOf": [
        {"const": "user", "title": "User: signs in and sees no jobs, until a super-admin gives another role"},
        {"const": "admin", "title": "Admin: sees, creates and runs jobs"},
        {"const": "super_admin", "title": "Super-admin: may do everything"},
    ],
}
_GROUPS: dict[str, Any] = {
    "type": "array",
    "title": "Groups",
    "uniqueItems": True,
    "maxItems": 100,
    "description": "An admin with groups sees, creates and runs only the jobs of these groups. "
    "Leave empty to allow all jobs. Super-admins always see all jobs.",
    "items": {"type": "string", "title": "Group", "minLength": 1, "maxLength": 100, "x-options": {"from": "groups", "free": True}},
}
NEW_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["email", "role"],
    "properties": {
        "email": {"type": "string", "title": "E-mail address", "format": "email", "maxLength": 320},
        "name": _NAME,
        "role": {**_ROLE, "default": "admin"},
        "kind": {
            "title": "Kind",
            "default": "person",
            "oneOf": [
                {"const": "person", "title": "Person: signs in, and gets a link to set a password"},
                {"const": "service", "title": "Service: a program that uses tokens and cannot sign in"},
            ],
        },
        "groups": _GROUPS,
    },
}
CHANGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": _NAME,
        "role": _ROLE,
        "groups": _GROUPS,
        "disabled": {"type": "boolean", "title": "Closed: the account cannot sign in, and its tokens are refused"},
    },
}


class Accounts:
    """Creates and changes the accounts of people and programs."""

    def __init__(
        self,
        *,
        users: UserStore,
        sessions: SessionStore,
        passwords: Passwords,
        second: SecondFactor,
        throttle: Throttle,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._users, self._sessions, self._passwords, self._second, self._throttle = users, sessions, passwords, second, throttle
        self._audit, self._clock = audit, clock
        self._new, self._change = SchemaValidator(NEW_SCHEMA), SchemaValidator(CHANGE_SCHEMA)

    # -- for super-admins ------------------------------------------------------------------------------------------

    def all(self, actor: Actor) -> list[User]:
        """Returns all accounts, sorted by e-mail address. Raises Forbidden."""
        require(actor, May.MANAGE_ACCOUNTS)
        return self._users.all()

    def get(self, actor: Actor, user_id: str) -> User:
        """Returns the actor's own account, or any account for actors who manage accounts. Raises Forbidden, NotFound."""
        if user_id != actor.id:
            require(actor, May.MANAGE_ACCOUNTS)
        return self._found(user_id)

    def name_of(self, text: str) -> str:
        """Returns the name that records use for the person whom another program names: the e-mail address of the account with this id,
        e-mail address or subject at the provider of single sign-on; the text itself if there is no such account."""
        user = self._users.known_as(text)
        return user.email if user else text

    def add(self, actor: Actor, body: Any) -> tuple[User, str | None]:
        """Creates an account from `body` (NEW_SCHEMA). Returns it and, for a person, the secret of the link that sets the password.

        Raises ValidationFailed, DuplicateName.
        """
        require(actor, May.MANAGE_ACCOUNTS)
        read, unseen = read_names(body, "email", "name", "groups")
        if errors := [*self._new.errors(read), *unseen]:
            taken = [FieldError("/email", error.message) for error in self._taken(sound(read, errors).get("email", ""))]
            raise ValidationFailed([*errors, *taken])
        body = read
        kind = AccountKind(body.get("kind", AccountKind.PERSON))
        user = self._insert(
            actor,
            email=body["email"],
            password_hash="",
            role=Role(body["role"]),
            name=body.get("name", ""),
            kind=kind,
            groups=tuple(body.get("groups", ())),
        )
        return user, self._reset(user) if kind is AccountKind.PERSON else None

    def add_identity(self, actor: Actor, *, email: str, name: str, role: Role, identity: dict[str, str]) -> User:
        """Creates the account of a person who signs in through a provider. Raises ValidationFailed, DuplicateName."""
        body = self._validate(self._new, {"email": email, "name": visible(name)[:200], "role": role.value}, "email")
        return self._insert(actor, email=body["email"], password_hash="", role=role, name=body["name"], identity=identity)

    def create_user(self, actor: Actor, *, email: str, password: str, role: Role, name: str = "") -> User:
        """Creates the account of a person with a password. The caller has checked the permission.

        Raises ValidationFailed, DuplicateName.
        """
        address, problem = read_name(email.strip().lower())
        name, unseen = read_name(name)
        errors = [FieldError("/email", problem)] if problem else []
        errors += [FieldError("/name", unseen)] if unseen else []
        # The first super-admin may have an address such as admin@localhost, which the e-mail format does not allow.
        if not 3 <= len(address) <= 320 or address.count("@") != 1 or not address.isprintable() or " " in address:
            errors.append(FieldError("/email", "must be an e-mail address"))
        errors += self._passwords.problems(password, known=(address, name))
        if errors:
            errors += [] if any(error.pointer == "/email" for error in errors) else self._taken(address)
            raise ValidationFailed(errors)
        return self._insert(actor, email=address, password_hash=self._passwords.hash(password), role=role, name=name)

    def change(self, actor: Actor, user_id: str, body: Any, *, version: int | None = None) -> User:
        """Changes the fields of `body` (CHANGE_SCHEMA) and returns the account. The change takes effect at once.

        Raises ValidationFailed, StaleVersion, Conflict for the last super-admin.
        """
        require(actor, May.MANAGE_ACCOUNTS)
        before = self._found(user_id)
        if version is not None and version != before.version:
            raise StaleVersion(version, before.version)
        body = self._validate(self._change, body, "name", "groups")
        fields = {name: value for name, value in body.items() if _plain(before)[name] != value}
        if not fields:
            return before
        loses_role = fields.get("role", Role.SUPER_ADMIN) != Role.SUPER_ADMIN or fields.get("disabled", False)
        last = loses_role and before.role is Role.SUPER_ADMIN
        if last:
            self._refuse_without_others(before)
        diff = field_diff({name: _plain(before)[name] for name in fields}, fields)
        with self._audit.action(actor, "user.update", kind="user", target_id=user_id, name=before.email, diff=diff):
            after = self._users.change(before, fields)
            if after is None:
                raise StaleVersion(before.version, self._found(user_id).version)
            if last:
                try:  # if two super-admins take the role from each other at the same time, both notice it here
                    self._refuse_without_others(before)
                except Conflict:
                    self._users.change(after, {name: _plain(before)[name] for name in fields})
                    raise
            if "role" in fields or fields.get("disabled"):
                self._sessions.remove_of(user_id)  # a person signs in again to use a new role
        return after

    def start_reset(self, actor: Actor, user_id: str) -> str:
        """Returns the secret of a link that sets a new password. It works once, within RESET_LIFE; the old password works until then.

        Raises Conflict for a service.
        """
        require(actor, May.MANAGE_ACCOUNTS)
        user = self._found(user_id)
        if user.kind is AccountKind.SERVICE:
            raise Conflict("A service account has no password. Create a token for it instead")
        with self._audit.action(actor, "user.reset", kind="user", target_id=user_id, name=user.email):
            return self._reset(user)

    def remove_second_factor(self, actor: Actor, user_id: str) -> None:
        """Removes the second factor of a person who lost the device and the recovery codes, and ends the person's sessions."""
        require(actor, May.MANAGE_ACCOUNTS)
        user = self._found(user_id)
        with self._audit.action(actor, "user.second_factor_remove", kind="user", target_id=user_id, name=user.email):
            self._change_own(user, {"totp": None})
            self._sessions.remove_of(user_id)

    # -- for each person --------------------------------------------------------------------------------------------

    def ensure_first_admin(self, actor: Actor, *, email: str, password: str) -> str | None:
        """Creates the first super-admin if there are no accounts.

        Returns the generated password; None if a password was given or if accounts exist.
        """
        if self._users.any_exists():
            return None
        initial = password or secrets.token_urlsafe(15)
        try:
            self.create_user(actor, email=email, password=initial, role=Role.SUPER_ADMIN)
        except DuplicateName:  # another process starts at the same time and was faster
            return None
        return None if password else initial

    def nobody_signed_in(self) -> bool:
        """Returns whether nobody has signed in since the installation was created."""
        return not self._users.any_seen()

    def change_password(self, actor: Actor, *, old: str, new: str, keep: str) -> int:
        """Changes the actor's own password and ends all sessions; the caller renews the session with the secret `keep` (SignIn.renew).

        Returns how many other sessions ended. Raises ValidationFailed at /old or /new, and LimitReached after too many wrong passwords.
        """
        require(actor, May.OWN_ACCOUNT)
        user = self._found(actor.id)
        self._prove(user, old)
        errors = self._passwords.problems(new, known=(user.email, user.name), pointer="/new")
        if errors:
            raise ValidationFailed(errors)
        with self._audit.action(actor, "user.password", kind="user", target_id=user.id, name=user.email):
            self._change_own(user, {"password_hash": self._passwords.hash(new)})
            self._users.set_reset(user.id, None)
            return self._sessions.remove_of(user.id, but=digest(keep))

    def whose_reset(self, secret: str) -> User | None:
        """Returns the account of the link; None if the link is unknown, used or expired."""
        return self._users.by_reset(digest(secret), self._clock.now())

    def finish_reset(self, secret: str, password: str) -> User:
        """Sets the password through a link, and ends all sessions. Raises ValidationFailed at /new, NotFound."""
        user = self.whose_reset(secret)
        if user is None or user.disabled:
            raise NotFound("link", "to set a password")
        errors = self._passwords.problems(password, known=(user.email, user.name), pointer="/new")
        if errors:
            raise ValidationFailed(errors)
        with self._audit.action(actor_of(user, via="web"), "user.password", kind="user", target_id=user.id, name=user.email):
            if not self._users.finish_reset(user, digest(secret), self._passwords.hash(password)):
                raise NotFound("link", "to set a password")
            self._sessions.remove_of(user.id)
        return user

    def offer_second_factor(self, actor: Actor) -> Enrolment:
        """Returns a secret for the person's app. It has no effect before `confirm_second_factor`."""
        require(actor, May.OWN_ACCOUNT)
        return self._second.offer(self._found(actor.id))

    def confirm_second_factor(self, actor: Actor, *, password: str, secret: str, code: str) -> list[str]:
        """Switches the second factor on, and ends all sessions, as a new password does.

        Returns the recovery codes, which are shown only now.

        Raises ValidationFailed at /old or /code.
        """
        require(actor, May.OWN_ACCOUNT)
        user = self._found(actor.id)
        self._prove(user, password)
        confirmed = self._second.confirm(secret, code.replace(" ", ""), self._clock.now())
        if confirmed is None:
            raise ValidationFailed([FieldError("/code", "is not the current code of your app. Check the clock of your device")])
        stored, codes = confirmed
        with self._audit.action(actor, "user.second_factor", kind="user", target_id=user.id, name=user.email):
            self._change_own(user, {"totp": stored})
        return codes

    def drop_second_factor(self, actor: Actor, *, password: str) -> None:
        """Switches the second factor off, and ends all sessions, as a new password does. Raises ValidationFailed at /old."""
        require(actor, May.OWN_ACCOUNT)
        user = self._found(actor.id)
        self._prove(user, password)
        with self._audit.action(actor, "user.second_factor_remove", kind="user", target_id=user.id, name=user.email):
            self._change_own(user, {"totp": None})

    # -- steps ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _validate(validator: SchemaValidator, body: Any, *names: str) -> Any:
        """Returns the body with these names in their one spelling. Raises ValidationFailed."""
        read, errors = read_names(body, *names)
        if errors := [*validator.errors(read), *errors]:
            raise ValidationFailed(errors)
        return read

    def _insert(
        self,
        actor: Actor,
        *,
        email: str,
        password_hash: str,
        role: Role,
        name: str,
        kind: AccountKind = AccountKind.PERSON,
        groups: tuple[str, ...] = (),
        identity: dict[str, str] | None = None,
    ) -> User:
        address = email.strip().lower()
        user = User(
            id=str(uuid.uuid4()),
            email=address,
            name=name.strip() or address.partition("@")[0],
            role=role,
            kind=kind,
            password_hash=password_hash,
            created_at=self._clock.now(),
            groups=groups,
            identity=identity,
        )
        if self._taken(address):
            raise DuplicateName(address)
        diff = field_diff({}, {**_plain(user), "kind": kind.value})
        with self._audit.action(actor, "user.create", kind="user", target_id=user.id, name=address, diff=diff):
            self._users.add(user)
        return user

    def _taken(self, email: str) -> list[FieldError]:
        """Returns an error if another account has the address."""
        address = email.strip().lower()
        return list(DuplicateName(address).errors) if address and self._users.by_email(address) is not None else []

    def _refuse_without_others(self, user: User) -> None:
        if not self._users.has_other(Role.SUPER_ADMIN, than=user.id):
            raise Conflict(say("{email} is the last super-admin. Give this role to another account first", email=user.email))

    def _prove(self, user: User, password: str) -> None:
        """Checks the password again, since a person at an open session need not be its owner. Raises ValidationFailed, LimitReached."""
        self._throttle.take(DEVICE, f"own|{user.id}", self._clock.now())
        if not self._passwords.verify(user.password_hash, password):
            raise ValidationFailed([FieldError("/old", "is not your password")])
        self._throttle.forget(DEVICE, f"own|{user.id}")

    def _change_own(self, user: User, fields: Mapping[str, Any]) -> None:
        if self._users.change(user, dict(fields)) is None:
            raise StaleVersion(user.version, self._found(user.id).version)

    def _reset(self, user: User) -> str:
        secret = secrets.token_urlsafe(32)
        reset: Document = {"digest": digest(secret), "expires_at": self._clock.now() + RESET_LIFE}
        self._users.set_reset(user.id, reset)
        return secret

    def _found(self, user_id: str) -> User:
        user = self._users.get(user_id)
        if user is None:
            raise NotFound("account", user_id)
        return user


def _plain(user: User) -> dict[str, Any]:
    return {"email": user.email, "name": user.name, "role": user.role.value, "groups": list(user.groups), "disabled": user.disabled}
