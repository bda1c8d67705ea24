"""The `users`, `api_tokens` and `sessions` collections."""

from __future__ import annotations

from datetime import datetime

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.accounts.model import Role, User
from app.errors import DuplicateName
from app.mongo import Document


class UserStore:
    """Accounts by id and by e-mail address (kept in lower case)."""

    def __init__(self, database: Database[Document]) -> None:
        self._users = database["users"]

    def add(self, user: User) -> None:
        """Raises DuplicateName where the address is taken."""
        try:
            self._users.insert_one(
                {
                    "_id": user.id, "email": user.email, "name": user.name, "role": user.role.value,
                    "password_hash": user.password_hash, "created_at": user.created_at, "disabled": user.disabled,
                }
            )  # fmt: skip
        except DuplicateKeyError as error:
            raise DuplicateName(user.email) from error

    def get(self, user_id: str) -> User | None:
        return _user(self._users.find_one({"_id": user_id}))

    def by_email(self, email: str) -> User | None:
        return _user(self._users.find_one({"email": email.strip().lower()}))

    def any_exists(self) -> bool:
        return self._users.find_one({}, {"_id": 1}) is not None

    def set_password_hash(self, user_id: str, password_hash: str) -> None:
        self._users.update_one({"_id": user_id}, {"$set": {"password_hash": password_hash}})


class TokenStore:
    """API tokens, by the SHA-256 of their text; the text is nowhere."""

    def __init__(self, database: Database[Document]) -> None:
        self._tokens = database["api_tokens"]

    def add(self, token: Document) -> None:
        self._tokens.insert_one(token)

    def by_hash(self, digest: str) -> Document | None:
        return self._tokens.find_one({"hash": digest, "revoked_at": None})

    def mark_used(self, token_id: str, at: datetime) -> None:
        self._tokens.update_one({"_id": token_id}, {"$max": {"last_used_at": at}})


class SessionStore:
    """Sign-ins on the server, by the SHA-256 of the cookie's secret; MongoDB drops them after their end."""

    def __init__(self, database: Database[Document]) -> None:
        self._sessions = database["sessions"]

    def add(self, session: Document) -> None:
        self._sessions.insert_one(session)

    def get(self, digest: str) -> Document | None:
        return self._sessions.find_one({"_id": digest})

    def remove(self, digest: str) -> None:
        self._sessions.delete_one({"_id": digest})


def _user(row: Document | None) -> User | None:
    if row is None:
        return None
    return User(
        id=row["_id"], email=row["email"], name=row["name"], role=Role(row["role"]),
        password_hash=row["password_hash"], created_at=row["created_at"], disabled=row["disabled"],
    )  # fmt: skip
