"""The collections `users`, `api_tokens` and `sessions`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.accounts.model import AccountKind, Role, User
from app.accounts.shape import DECIDING, SESSION, TOKEN, USER
from app.errors import DuplicateName
from app.mongo import Document, Records
from app.shapes import DAMAGED
from app.validation.names import spellings

# Credentials and rights of an account. The write that changes one of them also ends the account's sessions.
EPOCHAL = {"password_hash", "totp", "role", "disabled", "identity"}


class UserStore:
    """Accounts by id and by e-mail address, which is stored in lower case."""

    def __init__(self, database: Database[Document]) -> None:
        self._users = Records(database, "users", USER)

    def add(self, user: User) -> None:
        """Stores a new account. Raises DuplicateName if the address is taken."""
        try:
            self._users.insert_one(
                {
                    "_id": user.id,
                    "email": user.email,
                    "name": user.name,
                    "role": user.role.value,
                    "kind": user.kind.value,
                    "password_hash": user.password_hash,
                    "created_at": user.created_at,
                    "disabled": user.disabled,
                    "version": 1,
                    "groups": list(user.groups),
                    **({"identity": user.identity} if user.identity else {}),
                }
            )
        except DuplicateKeyError as error:
            raise DuplicateName(user.email) from error

    def get(self, user_id: str) -> User | None:
        return _user(self._users.find_one({"_id": user_id}))

    def by_email(self, email: str) -> User | None:
        return _user(self._users.find_one({"email": {"$in": spellings(email.strip().lower())}}))

    def by_identity(self, issuer: str, subject: str) -> User | None:
        return _user(self._users.find_one({"identity.issuer": issuer, "identity.subject": subject}))

    def known_as(self, text: str) -> User | None:
        """Returns the account with this id, this e-mail address, or this subject at the provider of single sign-on."""
        names = [{"_id": text}, {"email": {"$in": spellings(text.strip().lower())}}, {"identity.subject": text}]
        return _user(self._users.find_one({"$or": names}))

    def all(self) -> list[User]:
        """Returns all accounts, sorted by e-mail address."""
        return [user for row in self._users.find().sort("email", 1) if (user := _user(row)) is not None]

    def any_exists(self) -> bool:
        return self._users.find_one({}, {"_id": 1}) is not None

    def any_seen(self) -> bool:
        """Returns whether anybody has signed in yet."""
        return self._users.find_one({"last_seen_at": {"$type": "date"}}, {"_id": 1}) is not None

    def has_other(self, role: Role, *, than: str) -> bool:
        """Returns whether another person than `than` has the role, with an account that is not closed."""
        where = {"_id": {"$ne": than}, "role": role.value, "disabled": False, "kind": {"$ne": AccountKind.SERVICE.value}}
        return self._users.find_one(where, {"_id": 1}) is not None

    def change(self, user: User, fields: Document) -> User | None:
        """Sets `fields` if the account still has the version of `user`. Returns the changed account, or None if it has changed meanwhile.

        A change of a field in EPOCHAL begins a new epoch, which ends all sessions, including those that are being opened at this moment.
        """
        at_version = {"_id": user.id, "version": user.version if user.version > 1 else {"$in": [1, None]}}
        change: Document = {"$set": {**fields, "version": user.version + 1}}
        if EPOCHAL & fields.keys():
            change["$inc"] = {"epoch": 1}
        return _user(self._users.find_one_and_update(at_version, change, return_document=ReturnDocument.AFTER))

    def rehash(self, user: User, password_hash: str) -> None:
        """Replaces the hash of the same password, unless the password has been changed meanwhile."""
        self._users.update_one({"_id": user.id, "password_hash": user.password_hash}, {"$set": {"password_hash": password_hash}})

    def seen(self, user_id: str, at: datetime) -> None:
        self._users.update_one({"_id": user_id}, {"$max": {"last_seen_at": at}})

    def use_step(self, user_id: str, step: int) -> bool:
        """Uses up the time step of a code. Returns False if this step or a later one was used before."""
        unused = {"_id": user_id, "totp.last_step": {"$lt": step}}
        return self._users.update_one(unused, {"$set": {"totp.last_step": step}}).modified_count == 1

    def use_recovery(self, user_id: str, digest: str) -> bool:
        """Uses up a recovery code. Returns False if the account has no such code, or no longer."""
        return self._users.update_one({"_id": user_id, "totp.recovery": digest}, {"$pull": {"totp.recovery": digest}}).modified_count == 1

    def set_reset(self, user_id: str, reset: Document | None) -> None:
        """Stores the password reset of the account, in place of an earlier one; None removes it."""
        self._users.update_one({"_id": user_id}, {"$set": {"reset": reset}} if reset else {"$unset": {"reset": ""}})

    def by_reset(self, digest: str, now: datetime) -> User | None:
        """Returns the account with this password reset; None if there is none or it has expired."""
        return _user(self._users.find_one({"reset.digest": digest, "reset.expires_at": {"$gt": now}}))

    def finish_reset(self, user: User, digest: str, password_hash: str) -> bool:
        """Sets the password and removes the reset, in one write. Returns False if the reset was used before."""
        where = {"_id": user.id, "reset.digest": digest}
        change = {"$set": {"password_hash": password_hash}, "$unset": {"reset": ""}, "$inc": {"version": 1, "epoch": 1}}
        return self._users.update_one(where, change).modified_count == 1


class TokenStore:
    """API tokens by the SHA-256 of their text. The text itself is not stored."""

    def __init__(self, database: Database[Document]) -> None:
        self._tokens = Records(database, "api_tokens", TOKEN)

    def add(self, token: Document) -> None:
        self._tokens.insert_one(token)

    def get(self, token_id: str) -> Document | None:
        return self._tokens.find_one({"_id": token_id})

    def of(self, user_id: str | None) -> list[Document]:
        """Returns the tokens of one account, or all tokens if `user_id` is None, the newest first, without their hashes."""
        return list(self._tokens.find({"user_id": user_id} if user_id else {}, {"hash": 0}).sort([("created_at", -1), ("_id", 1)]))

    def by_hash(self, digest: str) -> Document | None:
        return self._tokens.find_one({"hash": digest, "revoked_at": None})

    def replace_hash(self, token: Document, fields: Document) -> bool:
        """Replaces the hash of a token. Returns False if it was replaced or revoked meanwhile."""
        where = {"_id": token["_id"], "hash": token["hash"], "revoked_at": None}
        return self._tokens.update_one(where, {"$set": fields}).modified_count == 1

    def revoke(self, token_id: str, at: datetime) -> bool:
        return self._tokens.update_one({"_id": token_id, "revoked_at": None}, {"$set": {"revoked_at": at}}).modified_count == 1

    def mark_used(self, token_id: str, at: datetime) -> None:
        self._tokens.update_one({"_id": token_id}, {"$max": {"last_used_at": at}})


class SessionStore:
    """Sessions by the SHA-256 of the secret in the cookie. MongoDB removes them after they have expired."""

    def __init__(self, database: Database[Document]) -> None:
        self._sessions = Records(database, "sessions", SESSION)

    def add(self, session: Document) -> None:
        self._sessions.insert_one(session)

    def get(self, digest: str) -> Document | None:
        return self._sessions.find_one({"_id": digest})

    def of(self, user_id: str) -> list[Document]:
        """Returns the sessions of one account, the most recently used first."""
        return list(self._sessions.find({"user_id": user_id, "pending": {"$ne": True}}).sort([("seen_at", -1), ("_id", 1)]))

    def touch(self, digest: str, at: datetime) -> None:
        self._sessions.update_one({"_id": digest}, {"$max": {"seen_at": at}})

    def remove(self, digest: str) -> bool:
        return self._sessions.delete_one({"_id": digest}).deleted_count == 1

    def remove_of(self, user_id: str, *, but: str | None = None, handle: str | None = None) -> int:
        """Ends sessions of an account, and returns their number.

        Ends all of them, all except the one with the digest `but`, or only the one with the public `handle`.
        """
        where: dict[str, Any] = {"user_id": user_id}
        if but is not None:
            where["_id"] = {"$ne": but}
        if handle is not None:
            where["handle"] = handle
        return self._sessions.delete_many(where).deleted_count


def _is_closed_by(damaged: str) -> bool:
    """Returns whether the damage of an account concerns a field that decides about rights."""
    return any(part.startswith(DECIDING) for part in damaged.split("; "))


def _user(row: Document | None) -> User | None:
    if row is None:
        return None
    return User(
        id=row["_id"],
        email=row["email"],
        name=row["name"],
        role=Role(row["role"]),
        password_hash=row["password_hash"],
        created_at=row["created_at"],
        disabled=row["disabled"] or _is_closed_by(row.get(DAMAGED, "")),
        kind=AccountKind(row.get("kind", AccountKind.PERSON)),
        totp=row.get("totp"),
        last_seen_at=row.get("last_seen_at"),
        groups=tuple(row.get("groups", ())),
        identity=row.get("identity"),
        epoch=row.get("epoch", 0),
        version=row.get("version", 1),
        damaged=row.get(DAMAGED, ""),
    )
