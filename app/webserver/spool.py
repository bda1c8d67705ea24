"""Bytes that wait: in memory while they are few, then in a file that has no name."""

from __future__ import annotations

import tempfile

IN_MEMORY_BYTES = 256_000


class Spool:
    """First in, first out. Not safe for threads: whoever shares one locks."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - open until `close`
        self._written = self._taken = 0

    def __len__(self) -> int:
        """How many bytes wait."""
        return self._written - self._taken

    @property
    def length(self) -> int:
        """How long the file is: what was taken stays in it until everything is."""
        return self._written

    def put(self, data: bytes) -> None:
        self._file.seek(self._written)
        self._file.write(data)
        self._written += len(data)

    def take(self, most: int) -> bytes:
        """The next bytes, at most so many; empty where none wait."""
        self._file.seek(self._taken)
        data = self._file.read(min(most, len(self)))
        self._taken += len(data)
        if self._taken == self._written:
            self._rewind()
        return data

    def close(self) -> None:
        self._file.close()

    def _rewind(self) -> None:
        """Forget what was taken."""
        self._file.seek(0)
        self._file.truncate()
        self._written = self._taken = 0
