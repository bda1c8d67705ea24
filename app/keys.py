"""The installation's keys: one that is used, and earlier ones that still open what they closed."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

from app.errors import StartError
from app.strength import HOW_TO_MAKE_A_KEY, key_weakness
from templates_lib.private import create, make_folders

SECRET_FILES = "secret.files"  # noqa: S105 - a name: the folder of the data folder for files with secrets: no job and no file store reaches it


@dataclass(frozen=True, slots=True)
class KeyRing:
    """`current` signs and seals; `earlier` ones only check and open."""

    current: str = field(repr=False)
    earlier: tuple[str, ...] = field(default=(), repr=False)

    def fingerprints(self) -> list[str]:
        """Texts that tell keys apart and do not reveal them, the one of the current key first."""
        return [key.hex()[:32] for key in self.derive_all("fingerprint")]

    def derive(self, purpose: str) -> bytes:
        """32 bytes of the current key, for one purpose and no other."""
        return _derive(self.current, purpose)

    def fernet(self, purpose: str) -> MultiFernet:
        """Seals with the current key, opens with each. Fernet: AES-128-CBC with HMAC-SHA256 (cryptography.io)."""
        return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in self.derive_all(purpose)])

    def derive_strong(self, purpose: str) -> list[bytes]:
        """The same without earlier keys that are weak: for what anybody may send, who may have guessed one."""
        strong = [key for key in self.earlier if key_weakness(key) is None]
        return [_derive(key, purpose) for key in (self.current, *strong)]

    def derive_all(self, purpose: str) -> list[bytes]:
        """The same of every key, the current one first."""
        return [_derive(key, purpose) for key in (self.current, *self.earlier)]


def digest(secret: str) -> str:
    """What is kept of a random secret that someone else holds. A plain hash is right for it: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _derive(key: str, purpose: str) -> bytes:
    return hashlib.sha256(f"jobwright {purpose} 1\0{key}".encode()).digest()


def load_key(configured: str, data_dir: Path, *, make: bool = True) -> str:
    """The key: the configured one, else the one in the data folder, made at the first start (mode 0600) where it may be: with `make`.

    Raises StartError where there is none and none may be made, or where somebody has put a weak one into that file.
    """
    if configured:
        return configured
    path = data_dir / "secret.key"
    if not path.exists():
        if not make:
            raise StartError(
                f"There is no key in the folder {data_dir} (JOBWRIGHT_DATA_DIR). "
                "Set JOBWRIGHT_DATA_DIR to the folder of the service, or JOBWRIGHT_SECRET_KEY to its key."
            )
        make_folders(data_dir)
        fresh = path.with_suffix(f".{secrets.token_hex(6)}")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(48), encoding="ascii")
        try:
            os.link(fresh, path)  # of two that start at once, one wins and both read the same
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    key = path.read_text(encoding="utf-8").strip()
    weakness = key_weakness(key)
    if weakness is not None:
        old = "if secrets were encrypted with the old key, add it to JOBWRIGHT_OLD_SECRET_KEYS"
        raise StartError(f"The key in {path} {weakness}. {HOW_TO_MAKE_A_KEY}; {old}")
    return key


def keep_key(key: str, data_dir: Path) -> Path:
    """Writes the key of a restored installation into the data folder (mode 0600), and returns the path.

    Raises StartError if another key is there.
    """
    path = data_dir / "secret.key"
    if path.exists():
        if path.read_text(encoding="utf-8").strip() != key:
            raise StartError(f"{path} holds another key. Move that file away, or set JOBWRIGHT_OLD_SECRET_KEYS to the key of the backup.")
        return path
    make_folders(data_dir)
    with create(path) as file:
        file.write(key.encode())
        file.flush()
        os.fsync(file.fileno())
    return path
