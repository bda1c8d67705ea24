"""Makes files and folders that only their owner may read, from the first byte on and with any umask."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FILE_MODE, FOLDER_MODE = 0o600, 0o700


def create(path: str | Path) -> BinaryIO:
    """Creates a new file and returns it for writing bytes. An existing file or link of this name is removed first. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - every job process loads this module, and pathlib would touch more pages of memory
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(number, FILE_MODE)  # a umask may have removed rights of the owner
        return os.fdopen(number, "wb")
    except BaseException:
        os.close(number)
        raise


def make_folders(path: str | Path) -> None:
    """Makes a folder and all missing folders around it. Existing folders stay as they are. Raises OSError."""
    full = Path(path)
    for folder in (*reversed(full.parents), full):
        if folder.is_dir():
            continue
        try:
            folder.mkdir(mode=FOLDER_MODE)
        except FileExistsError:
            if not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(full)) from None
        else:
            folder.chmod(FOLDER_MODE)
