"""API tokens. A token has at most the rights that its owner has when it is used; it may expire, and it can be revoked."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from app.accounts.actors import actor_of
from app.accounts.model import Role, Scope, User
from app.accounts.permissions import May, require
from app.accounts.store import TokenStore, UserStore
from app.audit.model import Actor
from app.audit.service import AuditTrail
from app.clock import Clock
from app.errors import Conflict, FieldError, Forbidden, NotFound, NotSignedIn, ValidationFailed
from app.keys import digest
from app.mongo import Document
from app.shapes import DAMAGED
from app.validation import SchemaValidator
from app.validation.names import read_name, read_names
from app.validation.together import sound
from templates_lib.messages import say

PREFIX = "jw_"  # lets secret scanners recognise a token
SHOWN = 8  # characters of a token that are stored and shown, to tell it from others
LAST_USED_STEP = timedelta(minutes=1)  # the time of the last use is written at most once in this time

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "scopes"],
    "properties": {
        "name": {
            "type": "string",
            "title": "Name",
            "minLength": 1,
            "maxLength": 100,
            "description": "What the token is used for.",
        },
        "scopes": {
            "type": "array",
            "title": "Scopes",
            "uniqueItems": True,
            "minItems": 1,
            "items": {
                "oneOf": [
                    {"const": "read", "title": "Read: see jobs, templates, executions and logs"},
                    {"const": "write", "title": "Write: create, change and delete jobs"},
                    {"const": "run", "title": "Run: start jobs, cancel and retry executions"},
                    {"const": "admin", "title": "Admin: everything that only super-admins may do"},
                    {"const": "services", "title": "Services: register jobs, send heartbeats and report on runs"},
                    {"const": "enable", "title": "Enable: jobs may be enabled by registering them"},
                ],
            },
        },
        "days": {
            "type": "integer",
            "title": "Expires after (days)",
            "minimum": 1,
            "maximum": 3650,
            "default": 90,
            "description": "Leave empty for a token that never expires.",
        },
    },
}


class Tokens:
    """Creates, lists, checks and revokes tokens. Only the hash of a token is stored."""

    def __init__(self, users: UserStore, tokens: TokenStore, audit: AuditTrail, clock: Clock) -> None:
        self._users, self._tokens, self._audit, self._clock = users, tokens, audit, clock
        self._validator = SchemaValidator(SCHEMA)

    def request(self, actor: Actor, user_id: str, body: Any) -> tuple[str, Document]:
        """Creates a token of the account from `body` {name, scopes, days?}. Returns its text, which cannot be read again, and its record.

        Raises ValidationFailed, NotFound, Forbidden.
        """
        owner = self._owner(actor, user_id)
        body, unseen = read_names(body, "name")
        errors = [*self._validator.errors(body), *unseen]
        if Scope.ADMIN.value in sound(body, errors).get("scopes", ()) and owner.role is not Role.SUPER_ADMIN:
            errors += [
                FieldError(
                    "/scopes",
                    say(
                        "only super-admins can have the scope admin; {email} has the role {role}", email=owner.email, role=owner.role.value
                    ),
                )
            ]
        if errors:
            raise ValidationFailed(errors)
        expires = self._clock.now() + timedelta(days=body["days"]) if "days" in body else None
        text = self.create(
            actor, email=owner.email, name=body["name"], scopes=[Scope(scope) for scope in body["scopes"]], expires_at=expires
        )
        token = self._tokens.by_hash(digest(text))
        return text, _shown(token or {}, owner)

    def create(
        self, actor: Actor, *, email: str, name: str, scopes: Iterable[Scope] = tuple(Scope), expires_at: datetime | None = None
    ) -> str:
        """Creates a token of the account `email` and returns its text, which is stored nowhere. The caller has checked the permission.

        Raises NotFound, ValidationFailed.
        """
        user = self._users.by_email(email)
        if user is None:
            raise NotFound("user", email)
        name, problem = read_name(name)
        if problem or not 1 <= len(name) <= 100:
            raise ValidationFailed([FieldError("/name", problem or "must have 1 to 100 characters")])
        scope_names = sorted(scope.value for scope in scopes)
        text = PREFIX + secrets.token_urlsafe(32)
        token: Document = {
            "_id": str(uuid.uuid4()),
            "user_id": user.id,
            "name": name,
            "prefix": text[:SHOWN],
            "hash": digest(text),
            "scopes": scope_names,
            "created_at": self._clock.now(),
            "created_by": actor.email,
            "expires_at": expires_at,
            "revoked_at": None,
        }
        diff: list[dict[str, Any]] = [{"field": "/scopes", "after": scope_names}, {"field": "/expires_at", "after": expires_at}]
        with self._audit.action(actor, "token.create", kind="token", target_id=token["_id"], name=_name(user, token), diff=diff):
            self._tokens.add(token)
        return text

    def all(self, actor: Actor, user_id: str | None = None) -> list[Document]:
        """Returns the tokens of one account, or all tokens, the newest first, each with the address of its owner. Raises Forbidden."""
        if user_id != actor.id or actor.scopes is not None:
            require(actor, May.MANAGE_ACCOUNTS)
        users = {user.id: user for user in self._users.all()}
        return [_shown(row, users.get(row["user_id"])) for row in self._tokens.of(user_id)]

    def rotate(self, actor: Actor, token_id: str) -> tuple[str, Document]:
        """Replaces the text of a token; its expiry stays, and the old text becomes invalid. Raises NotFound, Conflict."""
        token, owner = self._found(actor, token_id)
        if token["revoked_at"] is not None:
            raise Conflict("This token is revoked. Create a new one")
        text = PREFIX + secrets.token_urlsafe(32)
        fields = {"hash": digest(text), "prefix": text[:SHOWN], "rotated_at": self._clock.now()}
        with self._audit.action(actor, "token.rotate", kind="token", target_id=token_id, name=_name(owner, token)):
            if not self._tokens.replace_hash(token, fields):
                raise Conflict("Someone else has just rotated or revoked this token")
        return text, _shown({**token, **fields}, owner)

    def revoke(self, actor: Actor, token_id: str) -> None:
        """Makes a token invalid for ever. Does nothing if it is revoked already. Raises NotFound."""
        token, owner = self._found(actor, token_id)
        if token["revoked_at"] is None:
            with self._audit.action(actor, "token.revoke", kind="token", target_id=token_id, name=_name(owner, token)):
                self._tokens.revoke(token_id, self._clock.now())

    def by_token(self, text: str, *, address: str) -> Actor:
        """Returns the owner of the token as an actor with its scopes. Raises NotSignedIn."""
        token, now = self._tokens.by_hash(digest(text)), self._clock.now()
        if token is None:
            raise NotSignedIn("The token is unknown or revoked")
        if DAMAGED in token:  # its expiry and its scopes cannot be trusted
            raise NotSignedIn("The record of the token is damaged. Create a new token")
        if token["expires_at"] is not None and token["expires_at"] <= now:
            raise NotSignedIn(say("The token expired at {expires_at:%Y-%m-%d %H:%M} UTC", expires_at=token["expires_at"]))
        user = self._users.get(token["user_id"])
        if user is None or user.disabled:
            raise NotSignedIn("The account is closed")
        if token.get("last_used_at") is None or now - token["last_used_at"] > LAST_USED_STEP:
            self._tokens.mark_used(token["_id"], now)
        return actor_of(user, via="api", address=address, scopes=frozenset(token["scopes"]))

    def _owner(self, actor: Actor, user_id: str) -> User:
        """Returns the account, which must be the actor's own or one that the actor manages."""
        if user_id == actor.id and actor.scopes is None:
            require(actor, May.OWN_ACCOUNT)
        else:
            require(actor, May.MANAGE_ACCOUNTS)
        user = self._users.get(user_id)
        if user is None:
            raise NotFound("account", user_id)
        return user

    def _found(self, actor: Actor, token_id: str) -> tuple[Document, User]:
        token = self._tokens.get(token_id)
        if token is None:
            require(actor, May.OWN_ACCOUNT)
            raise NotFound("token", token_id)
        try:
            return token, self._owner(actor, token["user_id"])
        except Forbidden:
            if actor.scopes is None:  # a person must not learn that the token of another account exists
                raise NotFound("token", token_id) from None
            raise


def _name(user: User, token: Document) -> str:
    return f"{user.email}: {token['name']}"


def _shown(token: Document, owner: User | None) -> Document:
    return {**{key: value for key, value in token.items() if key != "hash"}, "owner": owner.email if owner else None}
