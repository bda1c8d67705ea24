"""The data folder and the database that a process needs. An error in either becomes one message that names the setting to change."""

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

PROBE_BYTES = 65_536  # the free space that the data folder must have
DATABASE = "mongo"  # the folder of the private mongod inside the data folder
AUTHENTICATION_FAILED, UNAUTHORIZED = 18, 13  # codes of the server (src/mongo/base/error_codes.yml)


def make_data_folder(folder: Path) -> None:
    """Creates the data folder if it is missing, and checks that it is writable and has room. Raises ConfigError."""
    try:
        make_folders(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * PROBE_BYTES)
            file.flush()
    except OSError as error:
        raise ConfigError(describe_folder_error(folder, error)) from error


def describe_folder_error(folder: Path, error: OSError) -> str:
    """Returns what an error in the data folder means for the operator, with advice."""
    reason = error.strerror or str(error)
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        advice = "A file is in the place of the folder. Set another folder."
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        advice = "Set a folder that this user can write to, or change the owner of this folder."
    elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
        advice = "Free disk space there, or set a folder on another disk."
    else:
        advice = "Set a folder that this user can write to."
    at = f" ({error.filename})" if error.filename and str(error.filename) != str(folder) else ""
    return f"JOBWRIGHT_DATA_DIR: {folder} cannot be used: {reason}{at}. {advice}"


def describe_registry(settings: Settings) -> str:
    """Returns in words where the registry of these settings is."""
    if settings.mongodb_uri:
        return f"the database {settings.database!r} of MONGODB_URI"
    return f"the database {settings.database!r} in the folder {settings.data_path} (JOBWRIGHT_DATA_DIR)"


def require_registry(settings: Settings, *, exists: bool) -> None:
    """Raises StartError if there is no registry."""
    if not exists:
        raise StartError(
            f"There is no registry in {describe_registry(settings)}. "
            "Set these variables as the service has them, or start `jobwright serve` once to create the registry."
        )


def has_private_database(settings: Settings) -> bool:
    """Returns whether the data folder holds the files of a private mongod. Raises ConfigError."""
    try:
        return (settings.data_path / DATABASE).is_dir()
    except OSError as error:
        raise ConfigError(describe_folder_error(settings.data_path, error)) from error


@contextmanager
def errors_name_settings(settings: Settings) -> Iterator[None]:
    """Turns errors of the database, and of files in the data folder, into ConfigError or StartError, which name the setting to check."""
    try:
        yield
    except PyMongoError as error:
        raise _database_error(settings, error) from error
    except OSError as error:
        path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename or "")
        message = _describe_file_error(settings, path, error) if path else None
        if message is None:
            raise
        raise ConfigError(message) from error


def _describe_file_error(settings: Settings, path: str, error: OSError) -> str | None:
    if Path(path).is_relative_to(settings.data_path):
        return describe_folder_error(settings.data_path, error)
    if path in unquote(settings.mongodb_uri or ""):  # a certificate
        return f"MONGODB_URI: the file {path} cannot be read: {error.strerror or error}"
    return None


def _database_error(settings: Settings, error: PyMongoError) -> ConfigError | StartError:
    source = "MONGODB_URI" if settings.mongodb_uri else "The private MongoDB"
    reason = " ".join(str(error).split())[:300]
    if isinstance(error, InvalidName):
        return ConfigError(f"JOBWRIGHT_DATABASE: {settings.database!r} is not a valid name for a database: {reason}")
    if isinstance(error, ConfigurationError):  # also its subclass InvalidURI
        return ConfigError(f"{source}: {reason}. An address is mongodb://HOST/?replicaSet=NAME or mongodb+srv://HOST/.")
    if isinstance(error, OperationFailure) and error.code == AUTHENTICATION_FAILED:
        return ConfigError(f"{source}: the server refuses the user name or password. Percent-encode characters such as @ and : in them.")
    if isinstance(error, OperationFailure) and error.code == UNAUTHORIZED:
        return ConfigError(
            f"{source}: its user is not allowed to read and write the database {settings.database!r}: {reason}. Grant it readWrite."
        )
    if isinstance(error, ConnectionFailure | ExecutionTimeout):
        return StartError(f"MongoDB does not answer: {reason}\nSet MONGODB_URI to a server that answers.")
    return StartError(f"{source}: MongoDB refuses: {type(error).__name__}: {reason}")
