"""Single sign-on: which account and which role the claims of a provider stand for (OpenID Connect Core 1.0).

The client library has checked the claims before: signature, issuer, audience, nonce and times.
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
    """How claims become a role.

    `claim` is a dotted path into the claims. Its value, or each of its values, is looked up in `roles`. `default` is the role of a person
    who has none of them; None means that the person is refused. Without `roles` the provider does not decide about roles, and each account
    keeps its role.
    """

    claim: str
    roles: tuple[tuple[str, str], ...]
    default: Role | None

    @property
    def decides(self) -> bool:
        """Whether the provider decides at each sign-in who has which role."""
        return bool(self.roles)


@dataclass(frozen=True, slots=True)
class Identity:
    """A person at a provider. `subject` never changes there. An e-mail address that the provider has not verified proves nothing."""

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    role: Role | None

    def as_document(self) -> dict[str, str]:
        """Returns what an account stores of its identity."""
        return {"issuer": self.issuer, "subject": self.subject}


def identity_from(claims: Mapping[str, Any], issuer: str, rules: RoleRules) -> Identity:
    """Returns the identity in the claims. Claims that do not have the form of the standard (section 5.1) count as absent."""
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
    """Returns the highest role that the claims give, else the default one."""
    claim: Any = claims
    for part in rules.claim.split("."):
        claim = claim.get(part) if isinstance(claim, Mapping) else None
    if isinstance(claim, str):
        values = {claim}
    else:
        values = {value for value in claim if isinstance(value, str)} if isinstance(claim, Sequence) else set()
    given = {Role(role) for value, role in rules.roles if value in values}
    return max(given, key=list(Role).index) if given else rules.default


class SingleSignOn:
    """Signs in people whom a provider vouches for, and creates their account at the first sign-in."""

    def __init__(self, *, users: UserStore, accounts: Accounts, signin: SignIn, audit: AuditTrail, issuer: str, rules: RoleRules) -> None:
        self._users, self._accounts, self._signin, self._audit = users, accounts, signin, audit
        self._issuer, self._rules = issuer, rules

    def admit(self, claims: Mapping[str, Any], visitor: Visitor) -> SignedIn:
        """Opens a session. Raises NotSignedIn, which says what is missing: the reader has proved who they are.

        1. If an account has this identity, it is used.
        2. Otherwise, an account with the same address is linked to the identity, if the provider has verified the address.
        3. Otherwise, an account is created.
        4. If the provider decides about roles, the account gets the role of the claims.
        """
        identity = identity_from(claims, self._issuer, self._rules)
        if identity.role is None and self._rules.decides:
            self._refuse(identity, None, visitor, "No role here", "The provider gives you no role here; ask an administrator to")
        user = (
            self._users.by_identity(identity.issuer, identity.subject) or self._link(identity, visitor) or self._create(identity, visitor)
        )
        if user.disabled:
            self._refuse(identity, user, visitor, "the account is closed", "The account is closed")
        if self._rules.decides and identity.role is not None and identity.role is not user.role:
            user = self._with_role(user, identity.role)
        return self._signin.admit(user, visitor, HOW)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _link(self, identity: Identity, visitor: Visitor) -> User | None:
        user = self._users.by_email(identity.email) if identity.email else None
        if user is None:
            return None
        if user.kind is AccountKind.SERVICE or user.identity is not None:
            self._refuse(identity, user, visitor, "the address belongs to another", f"{identity.email} belongs to another account here")
        if not identity.email_verified:
            words = f"There is an account of {identity.email}, and the provider has not verified that the address is yours"
            self._refuse(identity, user, visitor, "the address is not verified", words)
        fields: Document = {"identity": identity.as_document()}
        diff = [{"field": "/identity", "after": fields["identity"]}]
        who = actor_of(user, via="web", address=visitor.address)
        with self._audit.action(who, "user.link", kind="user", target_id=user.id, name=user.email, diff=diff):
            changed = self._users.change(user, fields)
        if changed is None:
            raise NotSignedIn("Your account was changed a moment ago. Sign in again")
        return changed

    def _create(self, identity: Identity, visitor: Visitor) -> User:
        if not identity.email:
            self._refuse(
                identity, None, visitor, "no address", "The provider does not say your e-mail address; it is to send the claim `email`"
            )
        if identity.role is None:
            self._refuse(identity, None, visitor, "no account", f"There is no account of {identity.email}; ask a super-admin for one")
        try:
            return self._accounts.add_identity(
                SYSTEM,
                email=identity.email,
                name=identity.name,
                role=identity.role,
                identity={"issuer": identity.issuer, "subject": identity.subject},
            )
        except DuplicateName:  # the same person has just signed in in another tab
            user = self._users.by_identity(identity.issuer, identity.subject)
            if user is None:
                raise NotSignedIn("Your account was created a moment ago. Sign in again") from None
            return user
        except ValidationFailed as failed:
            raise NotSignedIn(say("The sign-in provider sent data that cannot be used: {detail}", detail=failed.detail)) from failed

    def _with_role(self, user: User, role: Role) -> User:
        """Returns the account with the role that the provider gives. The last super-admin keeps the role, since nobody could restore it."""
        try:
            return self._accounts.change(SYSTEM, user.id, {"role": role.value})
        except (Conflict, StaleVersion):
            return user

    def _refuse(self, identity: Identity, user: User | None, visitor: Visitor, reason: str, words: str) -> NoReturn:
        who = Actor(id=user.id if user else "", email=identity.email, role="user", via="web", address=visitor.address)
        self._audit.refused(
            who, "session.refuse", kind="user", target_id=who.id, name=identity.email or identity.subject, reason=f"{HOW}: {reason}"
        )
        raise NotSignedIn(words)
