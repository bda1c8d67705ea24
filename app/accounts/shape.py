"""The shapes of the documents of accounts, tokens, sessions and preferences (app.shapes)."""

from __future__ import annotations

from app.accounts.model import AccountKind, Role
from app.sealing import SealedFields
from app.shapes import Flag, Instant, Listed, Number, Object, Text, instants, one_of, texts

USER = Object(
    members={
        **texts("email", "name", "password_hash"),
        "role": one_of([item.value for item in Role], Role.USER.value),
        "created_at": Instant(),
        "disabled": Flag(default=True),
        "kind": one_of([item.value for item in AccountKind], AccountKind.PERSON.value, optional=True),
        "totp": Object(optional=True, nullable=True, members={"sealed": Text(), "recovery": Listed(optional=True, of=Text())}),
        "last_seen_at": Instant(optional=True, nullable=True),
        "groups": Listed(optional=True, of=Text()),
        "identity": Object(optional=True, nullable=True, members=texts("issuer", "subject")),
        "version": Number(optional=True, default=1),
        "epoch": Number(optional=True),
        "reset": Object(optional=True, members={"digest": Text(), "expires_at": Instant()}),
    }
)
# The fields that decide who a person is and what the person may do. An account is closed if one of them is damaged.
DECIDING = ("/role", "/disabled", "/kind", "/totp", "/groups", "/identity", "/password_hash", "/email", "/_id", "/epoch")
SEALED_FIELDS = (SealedFields("users", ("totp.sealed",)),)
TOKEN = Object(
    members={
        **texts("user_id", "name", "prefix", "created_by"),
        "hash": Text(optional=True),
        "scopes": Listed(of=Text()),
        "created_at": Instant(),
        **instants("expires_at", "revoked_at", nullable=True),
        **instants("last_used_at", "rotated_at", optional=True, nullable=True),
    }
)
PREFERENCE = Object(
    members={
        **texts("zone", "language", optional=True),
        "views": Listed(optional=True, of=Object(members=texts("name", "query"))),
    }
)
SESSION = Object(
    members={
        **texts("user_id"),
        **texts("handle", "address", "agent", optional=True),
        "created_at": Instant(),
        "seen_at": Instant(optional=True),
        "expires_at": Instant(),
        "pending": Flag(optional=True, default=True),
        "epoch": Number(optional=True),
    }
)
