"""Passwords: what is asked of one, and how it is kept."""

from __future__ import annotations

import secrets
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from app.errors import FieldError
from templates_lib.messages import said, say

SHORTEST = 12  # NIST SP 800-63B asks for 8; 15 where it is the only factor
LONGEST = 1024
LEAST_SCORE = 3  # zxcvbn, 0 to 4: "safely unguessable: moderate protection from offline slow-hash scenario"
JUDGED = 72  # zxcvbn refuses more; the rest can only make it better


class Passwords:
    """argon2id with the parameters of RFC 9106's second choice, argon2-cffi's default."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()

    @cached_property
    def _decoy(self) -> str:
        """Verified where there is no hash, so that an answer takes as long for a stranger as for a wrong password."""
        return self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        """Whether it is the one; takes the same time where `stored` is empty."""
        decoy = self._decoy  # made for whoever comes first, known or not
        try:
            return self._hasher.verify(stored or decoy, password[:LONGEST]) and bool(stored)
        except (VerifyMismatchError, InvalidHashError):
            return False

    def is_old(self, stored: str) -> bool:
        """True where it was hashed with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def problems(self, password: str, *, known: tuple[str, ...], pointer: str = "/password") -> list[FieldError]:
        """What is wrong with a new password; `known` is what anyone may know of its owner."""
        if len(password) < SHORTEST:
            return [FieldError(pointer, say("must have at least {least} characters", least=SHORTEST))]
        if len(password) > LONGEST:
            return [FieldError(pointer, say("must have at most {most} characters", most=LONGEST))]
        from zxcvbn import zxcvbn  # noqa: PLC0415 - its word lists take a tenth of a second to load

        found = zxcvbn(password[:JUDGED], user_inputs=[*known, "jobwright"])
        if found["score"] >= LEAST_SCORE:
            return []
        hint = said(found["feedback"]["warning"]) or say("Add a word or two that do not belong together.")
        return [FieldError(pointer, say("is too easy to guess. {hint}", hint=hint))]
