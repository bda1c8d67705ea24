"""Single sign-on: whom a provider's claims stand for, and with which role (OpenID Connect Core 1.0).

What the claims say was checked before: the signature, the issuer, the audience, the nonce and the times are the client library's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from app.accounts.actors import actor_of
from app.accounts.model import AccountKind, Role, User
from app.accounts.service import Accounts
from app.accounts.signin import SignedIn, SignIn, Visitor
from app.accounts.store import UserStore
from app.audit.model import SYSTEM, Actor
from app.audit.service import AuditTrail
from app.errors import Conflict, DuplicateName, NotSignedIn, StaleVersion, ValidationFailed
from app.mongo import Document
from templates_lib.messages import say

HOW = "single sign-on"


@dataclass(frozen=True, slots=True)
class RoleRules:
    """`claim` is a dotted path into the claims; its value, or one of its values, is looked up in `roles`. `default` is the role of who
    has none of them; None: they are not let in. Without `roles` the provider says nothing of roles: each account keeps the one it has."""

    claim: str
    roles: tuple[tuple[str, str], ...]
    default: Role | None

    @property
    def decides(self) -> bool:
        """True where the provider decides who has which role, at each sign-in."""
        return bool(self.roles)


@dataclass(frozen=True, slots=True)
class Identity:
    """Someone at a provider. `subject` never changes there; an address that the provider has not verified proves nothing."""

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    role: Role | None


def identity_from(claims: Mapping[str, Any], issuer: str, rules: RoleRules) -> Identity:
    """Whom the claims stand for. Claims of another shape than the standard's (5.1) count as absent."""
    email = claims.get("email")
    name = claims.get("name") or claims.get("preferred_username") or ""
    return Identity(
        issuer=issuer,
        subject=str(claims["sub"])[:255],
        email=email.strip().lower() if isinstance(email, str) else "",
        email_verified=claims.get("email_verified") is True,
        name=name if isinstance(name, str) else "",
        role=role_from(claims, rules),
    )


def role_from(claims: Mapping[str, Any], rules: RoleRules) -> Role | None:
    """The highest role that the claims give, else the default one."""
    found: Any = claims
    for part in rules.claim.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    values = {found} if isinstance(found, str) else {one for one in found if isinstance(one, str)} if isinstance(found, Sequence) else set()
    given = {Role(role) for value, role in rules.roles if value in values}
    return max(given, key=list(Role).index) if given else rules.default


class SingleSignOn:
    """Lets in whom a provider vouches for; makes the account at their first sign-in."""

    def __init__(self, *, users: UserStore, accounts: Accounts, signin: SignIn, audit: AuditTrail, issuer: str, rules: RoleRules) -> None:
        self._users, self._accounts, self._signin, self._audit = users, accounts, signin, audit
        self._issuer, self._rules = issuer, rules

    def admit(self, claims: Mapping[str, Any], visitor: Visitor) -> SignedIn:
        """A new session. Raises NotSignedIn that says what is missing: whoever reads it has proved who they are.

        1. An account that belongs to this identity is used. 2. Else one with the same address becomes theirs, where the provider has
        verified it. 3. Else one is made. 4. Where the provider decides on roles the account gets the one that it says now.
        """
        one = identity_from(claims, self._issuer, self._rules)
        if one.role is None and self._rules.decides:
            self._refuse(one, None, visitor, "No role here", "The provider gives you no role here; ask an administrator to")
        user = self._users.by_identity(one.issuer, one.subject) or self._linked(one, visitor) or self._made(one, visitor)
        if user.disabled:
            self._refuse(one, user, visitor, "the account is closed", "The account is closed")
        if self._rules.decides and one.role is not None and one.role is not user.role:
            user = self._with_role(user, one.role)
        return self._signin.admit(user, visitor, HOW)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _linked(self, one: Identity, visitor: Visitor) -> User | None:
        user = self._users.by_email(one.email) if one.email else None
        if user is None:
            return None
        if user.kind is AccountKind.SERVICE or user.identity is not None:
            self._refuse(one, user, visitor, "the address belongs to another", f"{one.email} belongs to another account here")
        if not one.email_verified:
            words = f"There is an account of {one.email}, and the provider has not verified that the address is yours"
            self._refuse(one, user, visitor, "the address is not verified", words)
        fields: Document = {"identity": {"issuer": one.issuer, "subject": one.subject}}
        diff = [{"field": "/identity", "after": fields["identity"]}]
        who = actor_of(user, via="web", address=visitor.address)
        with self._audit.action(who, "user.link", kind="user", target_id=user.id, name=user.email, diff=diff):
            changed = self._users.change(user, fields)
        if changed is None:
            raise NotSignedIn("The account was changed just now; sign in again")
        return changed

    def _made(self, one: Identity, visitor: Visitor) -> User:
        if not one.email:
            self._refuse(one, None, visitor, "no address", "The provider does not say your e-mail address; it is to send the claim `email`")
        if one.role is None:
            self._refuse(one, None, visitor, "no account", f"There is no account of {one.email}; ask a super-admin for one")
        try:
            return self._accounts.add_identity(
                SYSTEM, email=one.email, name=one.name, role=one.role, identity={"issuer": one.issuer, "subject": one.subject}
            )
        except DuplicateName:  # the same person, in another tab
            user = self._users.by_identity(one.issuer, one.subject)
            if user is None:
                raise NotSignedIn("The account was made just now; sign in again") from None
            return user
        except ValidationFailed as failed:
            raise NotSignedIn(say("The provider's claims cannot be used: {detail}", detail=failed.detail)) from failed

    def _with_role(self, user: User, role: Role) -> User:
        """The account with the role that the provider gives; the last super-admin keeps theirs, as nobody could give it back."""
        try:
            return self._accounts.change(SYSTEM, user.id, {"role": role.value})
        except (Conflict, StaleVersion):
            return user

    def _refuse(self, one: Identity, user: User | None, visitor: Visitor, reason: str, words: str) -> NoReturn:
        who = Actor(id=user.id if user else "", email=one.email, role="user", via="web", address=visitor.address)
        self._audit.refused(who, "session.refuse", kind="user", target_id=who.id, name=one.email or one.subject, reason=f"{HOW}: {reason}")
        raise NotSignedIn(words)
