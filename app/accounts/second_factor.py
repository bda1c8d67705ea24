"""Time-based one-time codes (RFC 6238) as a second factor, and recovery codes for people who lost the device."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyotp
from cryptography.fernet import InvalidToken

from app.accounts.model import User
from app.accounts.store import UserStore
from app.errors import StartError
from app.keys import KeyRing, digest
from app.mongo import Document

ISSUER = "Jobwright"
PURPOSE = "totp"  # of the key that seals second factors
STEP_SECONDS = 30
SLACK_STEPS = 1  # accepted before and after the current step, because clocks of phones differ by some seconds
RECOVERY_CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without characters that look like others


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a person adds to an app: the secret in base32, and the same as an address for a QR code (Key Uri Format)."""

    secret: str
    uri: str


class SecondFactor:
    """Checks codes. A code is valid once, within half a minute of its time."""

    def __init__(self, users: UserStore, keys: KeyRing) -> None:
        self._users, self._fernet = users, keys.fernet(PURPOSE)

    def offer(self, user: User) -> Enrolment:
        """Returns a new secret. It has no effect before `confirm`."""
        secret = pyotp.random_base32()
        return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER))

    def confirm(self, secret: str, code: str, now: datetime) -> tuple[Document, list[str]] | None:
        """Returns what to store of a secret, and the recovery codes, which are shown only now. Returns None if the code is wrong."""
        step = _step_of(secret, code, now)
        if step is None:
            return None
        codes = ["-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(2)) for _ in range(RECOVERY_CODES)]
        stored = {
            "sealed": self._fernet.encrypt(secret.encode()).decode(),
            "confirmed_at": now,
            "last_step": step,
            "recovery": [digest(recovery_code) for recovery_code in codes],
        }
        return stored, codes

    def passes(self, user: User, code: str, now: datetime) -> bool:
        """Returns whether this is an unused code of the user. The call uses it up."""
        factor: dict[str, Any] = dict(user.totp or {})
        text = code.strip().lower().replace(" ", "")
        if not factor or len(text) > 64:
            return False
        if text.isascii() and text.isdigit():
            step = _step_of(self._fernet.decrypt(factor["sealed"].encode()).decode(), text, now)
            return step is not None and self._users.use_step(user.id, step)
        return self._users.use_recovery(user.id, digest(text))


class SecondFactorSeal:
    """Seals the secret of a second factor, which is a text that is encrypted as a whole."""

    def __init__(self, keys: KeyRing) -> None:
        self._all, self._current = keys.fernet(PURPOSE), KeyRing(keys.current).fernet(PURPOSE)

    def is_outdated(self, value: Any) -> bool:
        """Returns whether `value` is a text that the current key does not open."""
        if not isinstance(value, str):
            return False
        try:
            self._current.decrypt(value.encode())
        except InvalidToken:
            return True
        return False

    def renew(self, value: Any) -> Any:
        """Returns `value` sealed with the current key. Raises StartError if no known key opens it."""
        try:
            return self._all.rotate(value.encode()).decode()
        except InvalidToken as error:
            raise StartError("A second factor was sealed with an unknown key. Add that key to JOBWRIGHT_OLD_SECRET_KEYS.") from error


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """Returns the time step of the code, among the steps close to `now`; None if it is wrong."""
    try:
        totp = pyotp.TOTP(secret)
        current = int(now.timestamp()) // STEP_SECONDS
        steps = (current + away for away in range(-SLACK_STEPS, SLACK_STEPS + 1))
        return next((step for step in steps if pyotp.utils.strings_equal(totp.generate_otp(step), code)), None)
    except ValueError:  # the secret is not base32
        return None
