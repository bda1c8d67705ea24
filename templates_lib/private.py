"""Files and folders that only their owner may read, from their first byte and whatever the umask is."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FILE_MODE, FOLDER_MODE = 0o600, 0o700


def create(path: str | Path) -> BinaryIO:
    """A new file to write bytes to; one that is there under this name, or a link, is removed first. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - this module is in every job process, and pathlib's way touches more pages
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(number, FILE_MODE)  # a umask may have taken the owner's rights
        return os.fdopen(number, "wb")
    except BaseException:
        os.close(number)
        raise


def make_folders(path: str | Path) -> None:
    """Make a folder and those around it that are missing; the ones that are there stay as they are. Raises OSError."""
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
