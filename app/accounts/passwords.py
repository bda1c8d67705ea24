"""Passwords: the rules for a new one, and how they are hashed."""

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
SCORED_LENGTH = 72  # characters; zxcvbn refuses more, and further characters only make a password stronger


class Passwords:
    """Hashes with argon2id and the parameters of the second choice of RFC 9106, which are the default of argon2-cffi."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()

    @cached_property
    def _decoy(self) -> str:
        """A hash to check where an account has none, so that an unknown address takes as long as a wrong password."""
        return self._hasher.hash(secrets.token_hex(16))

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        """Returns whether `password` belongs to the hash `stored`. Takes the same time if `stored` is empty."""
        decoy = self._decoy  # made at the first call, for known and unknown accounts alike
        try:
            return self._hasher.verify(stored or decoy, password[:LONGEST]) and bool(stored)
        except (VerifyMismatchError, InvalidHashError):
            return False

    def is_old(self, stored: str) -> bool:
        """Returns whether the hash was made with other parameters than the current ones."""
        return self._hasher.check_needs_rehash(stored)

    def problems(self, password: str, *, known: tuple[str, ...], pointer: str = "/password") -> list[FieldError]:
        """Returns what is wrong with a new password. `known` are texts that others may know of its owner, such as the address."""
        if len(password) < SHORTEST:
            return [FieldError(pointer, say("must have at least {least} characters", least=SHORTEST))]
        if len(password) > LONGEST:
            return [FieldError(pointer, say("must have at most {most} characters", most=LONGEST))]
        from zxcvbn import zxcvbn  # noqa: PLC0415 - its word lists take a tenth of a second to load

        rating = zxcvbn(password[:SCORED_LENGTH], user_inputs=[*known, "jobwright"])
        if rating["score"] >= LEAST_SCORE:
            return []
        hint = said(rating["feedback"]["warning"]) or say("Add a word or two that do not belong together.")
        return [FieldError(pointer, say("is too easy to guess. {hint}", hint=hint))]
