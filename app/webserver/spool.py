"""A queue of bytes: in memory while they are few, then in a file without a name."""

from __future__ import annotations

import tempfile

IN_MEMORY_BYTES = 256_000


class Spool:
    """First in, first out. Not safe for threads; callers that share one need a lock."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - open until `close`
        self._written = self._taken = 0

    def __len__(self) -> int:
        """The number of waiting bytes."""
        return self._written - self._taken

    @property
    def length(self) -> int:
        """The length of the file. Taken bytes stay in it until all bytes are taken."""
        return self._written

    def put(self, data: bytes) -> None:
        self._file.seek(self._written)
        self._file.write(data)
        self._written += len(data)

    def take(self, most: int) -> bytes:
        """Takes the next bytes, at most so many; empty if none wait."""
        self._file.seek(self._taken)
        data = self._file.read(min(most, len(self)))
        self._taken += len(data)
        if self._taken == self._written:
            self._rewind()
        return data

    def close(self) -> None:
        self._file.close()

    def _rewind(self) -> None:
        """Removes the taken bytes."""
        self._file.seek(0)
        self._file.truncate()
        self._written = self._taken = 0
