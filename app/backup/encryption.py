"""Encrypts a backup with a passphrase while it is written, and gives a restore access to any place of it.

A file begins with MAGIC and the salt (16 bytes). Chunks of CHUNK bytes follow, each with its own tag of 16 bytes: AES-256-GCM, the key from
the passphrase by scrypt (RFC 7914), the nonce from the number of the chunk. The last chunk is marked as the last in what its tag covers, so
that a file that was cut at the end of a chunk is refused. Each file has its own salt and thus its own key, so that a nonce never repeats.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from app.errors import BackupRefused

MAGIC = b"jobwright encrypted backup 1\n"
SALT_BYTES, TAG_BYTES = 16, 16
CHUNK = 1 << 16
SHORTEST_PASSPHRASE = 16  # characters
_HEADER_BYTES = len(MAGIC) + SALT_BYTES
_WRONG = "The backup cannot be decrypted: the passphrase is wrong, or the file was changed or cut off."


def read_passphrase(path: Path) -> bytes:
    """Returns the passphrase in a file, without white space around it. Raises BackupRefused for one that is too short."""
    text = path.read_text(encoding="utf-8").strip()
    if len(text) < SHORTEST_PASSPHRASE:
        raise BackupRefused(
            f"The passphrase in {path} has fewer than {SHORTEST_PASSPHRASE} characters. Create one with `openssl rand -base64 48`."
        )
    return text.encode()


def is_encrypted(stream: IO[bytes]) -> bool:
    """Returns whether a file is an encrypted backup. The stream is at its beginning afterwards."""
    stream.seek(0)
    beginning = stream.read(len(MAGIC))
    stream.seek(0)
    return beginning == MAGIC


class EncryptingWriter(io.RawIOBase):
    """A stream that writes what it gets to `target`, encrypted. It cannot seek. `close` writes the last chunk and leaves `target` open."""

    def __init__(self, target: IO[bytes], passphrase: bytes) -> None:
        salt = os.urandom(SALT_BYTES)
        self._target, self._cipher = target, _cipher(passphrase, salt)
        self._rest, self._number = bytearray(), 0
        target.write(MAGIC + salt)

    def writable(self) -> bool:
        """Returns True."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer of bytes, as typeshed has it
        """Takes bytes, and writes the chunks that they complete."""
        self._rest += data
        while len(self._rest) > CHUNK:  # what may be the last chunk waits for `close`
            self._write_chunk(bytes(self._rest[:CHUNK]), last=False)
            del self._rest[:CHUNK]
        return len(data)

    def close(self) -> None:
        """Writes the last chunk."""
        if not self.closed:
            self._write_chunk(bytes(self._rest), last=True)
            super().close()

    def _write_chunk(self, data: bytes, *, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_nonce(self._number), data, _marks(last=last)))
        self._number += 1


class DecryptingReader(io.RawIOBase):
    """A stream over the content of an encrypted file, which can seek. Raises BackupRefused where the file is not what was written."""

    def __init__(self, source: IO[bytes], passphrase: bytes) -> None:
        source.seek(0)
        header = source.read(_HEADER_BYTES)
        encrypted = source.seek(0, os.SEEK_END) - _HEADER_BYTES
        if encrypted < TAG_BYTES:
            raise BackupRefused(_WRONG)
        self._source, self._cipher = source, _cipher(passphrase, header[len(MAGIC) :])
        self._chunks = -(-encrypted // (CHUNK + TAG_BYTES))
        self._size = encrypted - self._chunks * TAG_BYTES
        self._place, self._cached = 0, (-1, b"")
        self._chunk(self._chunks - 1)  # a wrong passphrase and a cut file are noticed here

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a place of the content, and returns it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any buffer that can be written to
        """Reads into a buffer up to the end of the current chunk. Returns the number of bytes."""
        if self._place >= self._size:
            return 0
        number, offset = divmod(self._place, CHUNK)
        data = self._chunk(number)[offset : offset + len(buffer)]
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _chunk(self, number: int) -> bytes:
        if self._cached[0] != number:
            self._source.seek(_HEADER_BYTES + number * (CHUNK + TAG_BYTES))
            sealed = self._source.read(CHUNK + TAG_BYTES)
            try:
                data = self._cipher.decrypt(_nonce(number), sealed, _marks(last=number == self._chunks - 1))
            except InvalidTag as error:
                raise BackupRefused(_WRONG) from error
            self._cached = number, data
        return self._cached[1]


def _cipher(passphrase: bytes, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << 15, r=8, p=1).derive(passphrase))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _marks(*, last: bool) -> bytes:
    return b"last" if last else b"more"
