"""Sign-in, tokens and the first super-admin."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from app.accounts.model import Role, Scope, User
from app.accounts.store import SessionStore, TokenStore, UserStore
from app.audit.model import SYSTEM, Actor, Via
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import FieldError, NotFound, NotSignedIn, ValidationFailed
from app.mongo import Document

TOKEN_PREFIX = "jw_"  # lets secret scanners know one when they see it  # noqa: S105
SHORTEST_PASSWORD = 12  # NIST SP 800-63B asks for 8; 15 where it is the only factor
LAST_USED_STEP = timedelta(minutes=1)  # a token's last use is written at most so often


class Accounts:
    """People and how they prove who they are."""

    def __init__(
        self,
        users: UserStore,
        tokens: TokenStore,
        sessions: SessionStore,
        audit: AuditTrail,
        clock: Clock,
        *,
        session_hours: int,
    ) -> None:
        self._users, self._tokens, self._sessions, self._audit, self._clock = users, tokens, sessions, audit, clock
        self._session_life = timedelta(hours=session_hours)
        self._hasher = PasswordHasher()

    @cached_property
    def _decoy(self) -> str:
        """Verified where the address is unknown, so that an answer takes as long for a stranger as for a wrong password."""
        return self._hasher.hash(secrets.token_hex(16))

    def create_user(self, actor: Actor, *, email: str, password: str, role: Role, name: str = "") -> User:
        """A new local account. Raises ValidationFailed or DuplicateName."""
        address = email.strip().lower()
        errors = []
        if not 3 <= len(address) <= 320 or address.count("@") != 1 or not address.isprintable() or " " in address:
            errors.append(FieldError("/email", "must be an e-mail address"))
        if len(password) < SHORTEST_PASSWORD:
            errors.append(FieldError("/password", f"must have at least {SHORTEST_PASSWORD} characters"))
        if errors:
            raise ValidationFailed(errors)
        user = User(
            id=str(uuid.uuid4()), email=address, name=name or address.partition("@")[0], role=role,
            password_hash=self._hasher.hash(password), created_at=self._clock.now(),
        )  # fmt: skip
        with self._audit.action(actor, "user.create", kind="user", target_id=user.id, name=address):
            self._users.add(user)
        return user

    def ensure_first_admin(self, *, email: str, password: str) -> str | None:
        """At the first start make the super-admin. Returns the password made for it, or None where one was given or people exist."""
        if self._users.any_exists():
            return None
        made = password or secrets.token_urlsafe(15)
        self.create_user(SYSTEM, email=email, password=made, role=Role.SUPER_ADMIN)
        return None if password else made

    def sign_in(self, email: str, password: str, *, address: str) -> str:
        """The secret of a new session. Raises NotSignedIn, which never says which of the two was wrong."""
        user, decoy = self._users.by_email(email), self._decoy  # made for whoever comes first, known or not
        try:
            self._hasher.verify(user.password_hash if user else decoy, password)
        except (VerifyMismatchError, InvalidHashError):
            user = None
        if user is None or user.disabled:
            raise NotSignedIn("The e-mail address or the password is wrong")
        if self._hasher.check_needs_rehash(user.password_hash):
            self._users.set_password_hash(user.id, self._hasher.hash(password))
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        with self._audit.action(self._actor(user, "web", address), "session.start", kind="user", target_id=user.id, name=user.email):
            self._sessions.add({"_id": _digest(secret), "user_id": user.id, "created_at": now, "expires_at": now + self._session_life})
        return secret

    def sign_out(self, secret: str) -> None:
        """End a session; one that is unknown has ended already."""
        self._sessions.remove(_digest(secret))

    def by_session(self, secret: str, *, address: str) -> Actor:
        """Whose session this is. Raises NotSignedIn."""
        session = self._sessions.get(_digest(secret))
        if session is None or session["expires_at"] <= self._clock.now():
            raise NotSignedIn("The session has ended; sign in again")
        return self._actor(self._live_user(session["user_id"]), "web", address)

    def create_token(
        self,
        actor: Actor,
        *,
        email: str,
        name: str,
        scopes: Iterable[Scope] = tuple(Scope),
        expires_at: datetime | None = None,
    ) -> str:
        """A new API token of the account `email`; its text is returned once and kept nowhere."""
        user = self._users.by_email(email)
        if user is None:
            raise NotFound("user", email)
        if not 1 <= len(name.strip()) <= 100:
            raise ValidationFailed([FieldError("/name", "must have 1 to 100 characters")])
        text = TOKEN_PREFIX + secrets.token_urlsafe(32)
        token: Document = {
            "_id": str(uuid.uuid4()), "user_id": user.id, "name": name.strip(), "prefix": text[:8], "hash": _digest(text),
            "scopes": sorted(scope.value for scope in scopes), "created_at": self._clock.now(), "expires_at": expires_at,
            "revoked_at": None,
        }  # fmt: skip
        with self._audit.action(actor, "token.create", kind="token", target_id=token["_id"], name=f"{user.email}: {name.strip()}"):
            self._tokens.add(token)
        return text

    def by_token(self, text: str, *, address: str) -> Actor:
        """Whose token this is, with its scopes. Raises NotSignedIn."""
        token, now = self._tokens.by_hash(_digest(text)), self._clock.now()
        if token is None:
            raise NotSignedIn("The token is unknown or revoked")
        if token["expires_at"] is not None and token["expires_at"] <= now:
            raise NotSignedIn(f"The token expired at {token['expires_at']:%Y-%m-%d %H:%M} UTC")
        if token.get("last_used_at") is None or now - token["last_used_at"] > LAST_USED_STEP:
            self._tokens.mark_used(token["_id"], now)
        actor = self._actor(self._live_user(token["user_id"]), "api", address)
        return replace(actor, scopes=frozenset(token["scopes"]))

    def _live_user(self, user_id: str) -> User:
        user = self._users.get(user_id)
        if user is None or user.disabled:
            raise NotSignedIn("The account is closed")
        return user

    @staticmethod
    def _actor(user: User, via: Via, address: str) -> Actor:
        return Actor(id=user.id, email=user.email, role=user.role.value, via=via, address=address)


def _digest(secret: str) -> str:
    # A plain hash is right for 256 random bits: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()
