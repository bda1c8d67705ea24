"""What a command finds around it: the data folder, the database. What is wrong with either is one sentence that names its setting."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from pymongo.errors import ConfigurationError, ConnectionFailure, ExecutionTimeout, InvalidName, OperationFailure, PyMongoError

from app.config import Settings
from app.errors import ConfigError, StartError
from templates_lib.private import make_folders

PROBE_BYTES = 65_536  # that a folder must still have room for
DATABASE = "mongo"  # the folder of the private mongod inside the data folder
AUTHENTICATION_FAILED, UNAUTHORIZED = 18, 13  # codes of the server (src/mongo/base/error_codes.yml)


def make_data_folder(folder: Path) -> None:
    """Have the data folder, writable and with room for a file. Raises ConfigError that names JOBWRIGHT_DATA_DIR."""
    try:
        make_folders(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * PROBE_BYTES)
            file.flush()
    except OSError as error:
        raise ConfigError(describe_folder_error(folder, error)) from error


def describe_folder_error(folder: Path, error: OSError) -> str:
    """What an error in the data folder means for whoever runs the service."""
    reason = error.strerror or str(error)
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        advice = "A file stands in its way; name another folder."
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        advice = "Name a folder that this user may write to, or give this one to it."
    elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
        advice = "Make room there, or name a folder on another disk."
    else:
        advice = "Name a folder that this user may write to."
    at = f" ({error.filename})" if error.filename and str(error.filename) != str(folder) else ""
    return f"JOBWRIGHT_DATA_DIR: {folder} cannot be used: {reason}{at}. {advice}"


def describe_registry(settings: Settings) -> str:
    """Where the registry of these settings lives, in words."""
    if settings.mongodb_uri:
        return f"the database {settings.database!r} of MONGODB_URI"
    return f"the database {settings.database!r} in the folder {settings.data_path} (JOBWRIGHT_DATA_DIR)"


def require_registry(settings: Settings, *, there: bool) -> None:
    """Raises StartError where there is no registry to look into."""
    if not there:
        raise StartError(
            f"There is no registry in {describe_registry(settings)}. "
            "Name the one that the service uses, or start `jobwright serve` once, which makes one."
        )


def has_private_database(settings: Settings) -> bool:
    """Whether a private mongod has ever kept its files in the data folder."""
    try:
        return (settings.data_path / DATABASE).is_dir()
    except OSError as error:
        raise ConfigError(describe_folder_error(settings.data_path, error)) from error


@contextmanager
def errors_name_settings(settings: Settings) -> Iterator[None]:
    """Errors of the database and of files in the data folder as ConfigError or StartError, which name the setting to look at."""
    try:
        yield
    except PyMongoError as error:
        raise _of_database(settings, error) from error
    except OSError as error:
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename or "")
        words = _of_file(settings, named, error) if named else None
        if words is None:
            raise
        raise ConfigError(words) from error


def _of_file(settings: Settings, named: str, error: OSError) -> str | None:
    if Path(named).is_relative_to(settings.data_path):
        return describe_folder_error(settings.data_path, error)
    if named in unquote(settings.mongodb_uri or ""):  # a certificate
        return f"MONGODB_URI: the file {named} cannot be read: {error.strerror or error}"
    return None


def _of_database(settings: Settings, error: PyMongoError) -> ConfigError | StartError:
    whose = "MONGODB_URI" if settings.mongodb_uri else "The private MongoDB"
    reason = " ".join(str(error).split())[:300]
    if isinstance(error, InvalidName):
        return ConfigError(f"JOBWRIGHT_DATABASE: {settings.database!r} is no name for a database: {reason}")
    if isinstance(error, ConfigurationError):  # InvalidURI is one
        return ConfigError(f"{whose}: {reason}. An address is mongodb://HOST/?replicaSet=NAME or mongodb+srv://HOST/.")
    if isinstance(error, OperationFailure) and error.code == AUTHENTICATION_FAILED:
        return ConfigError(f"{whose}: the server refuses the user name or password. Percent-encode signs such as @ and : in them.")
    if isinstance(error, OperationFailure) and error.code == UNAUTHORIZED:
        return ConfigError(f"{whose}: its user may not read and write the database {settings.database!r}: {reason}. Give it readWrite.")
    if isinstance(error, ConnectionFailure | ExecutionTimeout):
        return StartError(f"MongoDB does not answer: {reason}\nSet MONGODB_URI to a server that does.")
    return StartError(f"{whose}: MongoDB refuses: {type(error).__name__}: {reason}")
