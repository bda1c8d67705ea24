"""Sign-in with password and code, and the sessions that it opens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn

from app.accounts.actors import actor_of
from app.accounts.model import AccountKind, User
from app.accounts.passwords import Passwords
from app.accounts.permissions import May, require
from app.accounts.second_factor import SecondFactor
from app.accounts.store import SessionStore, UserStore
from app.accounts.throttle import ACCOUNT, DEVICE, NETWORK, PAIR, Bound, Throttle, network_of
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import NotSignedIn
from app.keys import KeyRing, digest
from app.mongo import Document
from app.shapes import DAMAGED
from app.validation.names import normal

WRONG = "The e-mail address or the password is wrong"  # the message never says which of the two
PENDING = timedelta(minutes=5)  # the longest time between the password and the code
SEEN_STEP = timedelta(minutes=1)  # the time of the last use is written at most once in this time
LONGEST_AGENT = 200


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The result of a sign-in.

    `secret` is the secret of the session, for a cookie. `device` marks the browser as one that the owner of the account has used. With
    `needs_code` the session can only be used to send the code of the second factor.
    """

    secret: str = field(repr=False)
    device: str = field(repr=False)
    needs_code: bool = False


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request comes from: the network address, the user agent, and the device mark of the browser."""

    address: str
    agent: str = ""
    device: str = field(default="", repr=False)


class SignIn:
    """Checks passwords and codes, and opens sessions. Every attempt is counted before it is checked."""

    def __init__(
        self,
        *,
        users: UserStore,
        sessions: SessionStore,
        throttle: Throttle,
        passwords: Passwords,
        second: SecondFactor,
        audit: AuditTrail,
        clock: Clock,
        keys: KeyRing,
        session_hours: int,
        idle_minutes: int,
    ) -> None:
        self._users, self._sessions, self._throttle, self._passwords, self._second = users, sessions, throttle, passwords, second
        self._audit, self._clock, self._keys = audit, clock, keys
        self._life, self._idle = timedelta(hours=session_hours), timedelta(minutes=idle_minutes)

    def with_password(self, email: str, password: str, visitor: Visitor) -> SignedIn:
        """Opens a session. Raises NotSignedIn, which never says what was wrong, and LimitReached after too many attempts."""
        address = normal(email).lower()[:320]
        user = self._users.by_email(address)
        counted = self._count(address, user, visitor)
        if not self._passwords.verify(user.password_hash if user else "", password) or user is None:
            self._refuse(user, visitor, "the password is wrong" if user else "the address is unknown")
        if user.disabled or user.kind is AccountKind.SERVICE:
            self._refuse(user, visitor, "the account is closed" if user.disabled else "a service does not sign in")
        if self._passwords.is_old(user.password_hash):
            self._users.rehash(user, self._passwords.hash(password))
        if user.totp is not None:
            secret = self._open(user, visitor, pending=True)
            return SignedIn(secret, self._device(user), needs_code=True)
        self._forgive(counted)
        return self.admit(user, visitor, "password")

    def with_code(self, pending: str, code: str, visitor: Visitor) -> SignedIn:
        """Opens a session after the second factor. `pending` is the secret that `with_password` returned.

        Raises NotSignedIn, LimitReached.
        """
        session, now = self._sessions.get(digest(pending)), self._clock.now()
        if session is None or DAMAGED in session or not session.get("pending") or session["expires_at"] <= now:
            raise NotSignedIn("The sign-in took too long. Sign in again")
        user = self._live(session)
        counted = self._count(f"code of {user.id}", user, visitor)
        if not self._second.passes(user, code, now):
            self._refuse(user, visitor, "the code is wrong", "This code is not right, or was used before")
        self._forgive(counted)
        self._sessions.remove(digest(pending))
        return self.admit(user, visitor, "password and code")

    def admit(self, user: User, visitor: Visitor, how: str) -> SignedIn:
        """Opens a session for a person whose identity is proved. `how` says by what, for the audit trail."""
        with self._audit.action(
            actor_of(user, via="web", address=visitor.address),
            "session.start",
            kind="user",
            target_id=user.id,
            name=user.email,
            diff=[{"field": "/how", "after": how}],
        ):
            secret = self._open(user, visitor, pending=False)
        self._users.seen(user.id, self._clock.now())
        return SignedIn(secret, self._device(user))

    def sign_out(self, secret: str) -> None:
        """Ends a session. Does nothing if it has ended already."""
        session = self._sessions.get(digest(secret))
        user = self._users.get(session["user_id"]) if session else None
        if session is not None and user is not None:
            who = actor_of(user, via="web", address=session.get("address", ""))
            with self._audit.action(who, "session.end", kind="user", target_id=user.id, name=user.email):
                self._sessions.remove(session["_id"])

    def by_session(self, secret: str, *, address: str) -> Actor:
        """Returns the actor of a session. Raises NotSignedIn if it has expired, was not used for too long, or was ended."""
        session, now = self._sessions.get(digest(secret)), self._clock.now()
        if session is None or DAMAGED in session or session.get("pending") or session["expires_at"] <= now:
            raise NotSignedIn("Your session has ended. Sign in again")
        seen: datetime = session.get("seen_at") or session["created_at"]
        if seen + self._idle <= now:
            self._sessions.remove(session["_id"])
            raise NotSignedIn("Your session has ended because it was not used for a while. Sign in again")
        if now - seen > SEEN_STEP:
            self._sessions.touch(session["_id"], now)
        return actor_of(self._live(session), via="web", address=address)

    def sessions(self, actor: Actor, secret: str) -> list[Document]:
        """Returns the actor's own sessions: {handle, created_at, seen_at, expires_at, address, agent, current}."""
        require(actor, May.OWN_ACCOUNT)
        shown = ("handle", "created_at", "seen_at", "expires_at", "address", "agent")
        now, here = self._clock.now(), digest(secret)
        rows = [row for row in self._sessions.of(actor.id) if row["expires_at"] > now and row.get("seen_at", now) + self._idle > now]
        return [{**{name: row.get(name) for name in shown}, "current": row["_id"] == here} for row in rows]

    def end(self, actor: Actor, handle: str) -> int:
        """Ends one of the actor's own sessions, and returns the number of ended ones."""
        require(actor, May.OWN_ACCOUNT)
        with self._audit.action(actor, "session.revoke", kind="user", target_id=actor.id, name=actor.email):
            return self._sessions.remove_of(actor.id, handle=handle)

    def end_others(self, actor: Actor, secret: str) -> int:
        """Ends all other sessions of the actor, and returns their number. The caller renews this one with `renew`."""
        require(actor, May.OWN_ACCOUNT)
        with self._audit.action(actor, "session.revoke_others", kind="user", target_id=actor.id, name=actor.email):
            return self._sessions.remove_of(actor.id, but=digest(secret))

    def renew(self, actor: Actor, secret: str) -> str:
        """Gives the session a new secret and the current epoch of the account, and returns the secret. A copy of the old secret is useless.

        Only a request that has just proved who the actor is may call it. Raises NotSignedIn if the session has ended meanwhile.
        """
        require(actor, May.OWN_ACCOUNT)
        old, user = self._sessions.get(digest(secret)), self._users.get(actor.id)
        if old is None or user is None or old["user_id"] != user.id or not self._sessions.remove(old["_id"]):
            raise NotSignedIn("Your session has ended. Sign in again")
        fresh = secrets.token_urlsafe(32)
        self._sessions.add({**old, "_id": digest(fresh), "epoch": user.epoch})
        return fresh

    # -- steps ----------------------------------------------------------------------------------------------------

    def _count(self, what: str, user: User | None, visitor: Visitor) -> list[tuple[Bound, str]]:
        """Counts an attempt at `what`, and returns the bounds and keys under which it was counted. Raises LimitReached."""
        now, network = self._clock.now(), network_of(visitor.address)
        if user is not None and self._knows(user, visitor.device):
            bounds = [(DEVICE, f"{what}|{digest(visitor.device)[:32]}")]
        else:
            bounds = [(PAIR, f"{what}|{network}"), (NETWORK, network), (ACCOUNT, what)]
        for bound, key in bounds:
            self._throttle.take(bound, key, now)
        return bounds

    def _forgive(self, counted: list[tuple[Bound, str]]) -> None:
        """Forgets the attempts at this account from this network. A successful sign-in does not forgive guesses at other accounts."""
        for bound, key in counted:
            if bound in {PAIR, DEVICE}:
                self._throttle.forget(bound, key)

    def _refuse(self, user: User | None, visitor: Visitor, reason: str, words: str = WRONG) -> NoReturn:
        nobody = Actor(id="", email="", role="user", via="web", address=visitor.address)
        who = nobody if user is None else actor_of(user, via="web", address=visitor.address)
        self._audit.refused(who, "session.refuse", kind="user", target_id=who.id, name=who.email, reason=reason)
        raise NotSignedIn(words)

    def _open(self, user: User, visitor: Visitor, *, pending: bool) -> str:
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        self._sessions.add(
            {
                "_id": digest(secret),
                "handle": secrets.token_hex(8),
                "user_id": user.id,
                "created_at": now,
                "seen_at": now,
                "expires_at": now + (PENDING if pending else self._life),
                "pending": pending,
                "address": visitor.address,
                "agent": visitor.agent[:LONGEST_AGENT],
                "epoch": user.epoch,
            }
        )
        return secret

    def _live(self, session: Document) -> User:
        """Returns the account of a session. Raises NotSignedIn if it is closed, or if its credentials or rights were changed since."""
        user = self._users.get(session["user_id"])
        if user is None or user.disabled:
            raise NotSignedIn("The account is closed")
        if session.get("epoch", 0) != user.epoch:
            self._sessions.remove(session["_id"])
            raise NotSignedIn("Your account was changed. Sign in again")
        return user

    def _device(self, user: User) -> str:
        nonce = secrets.token_hex(8)
        return f"{nonce}.{self._mark(user, nonce, self._keys.derive('device'))}"

    def _knows(self, user: User, device: str) -> bool:
        """Returns whether this account has signed in from the browser: the device mark has our signature and belongs to the account."""
        nonce, dot, mark = device[:200].partition(".")
        return bool(dot) and any(
            hmac.compare_digest(mark.encode(), self._mark(user, nonce, key).encode()) for key in self._keys.derive_all("device")
        )

    @staticmethod
    def _mark(user: User, nonce: str, key: bytes) -> str:
        return hmac.new(key, f"{user.id}|{nonce}".encode(), hashlib.sha256).hexdigest()
