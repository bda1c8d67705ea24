"""What must stay secret: whether the key fits, and what keeps jobs away from secrets."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from app.config import Settings, secret_files
from app.connections.store import ConnectionStore
from app.connections.vault import Vault
from app.errors import StartError
from app.factory import Store
from app.findings import Finding, Level
from app.keys import SECRET_FILES
from app.sandbox.cage import kernel_features
from app.services import Services
from templates_lib.messages import amount


def check_key(services: Services, store: Store) -> Iterator[Finding]:
    """Yields whether the key of the installation decrypts what is encrypted."""
    vault, rows = Vault(services.keys), ConnectionStore(store.database).all()
    unreadable = []
    for row in rows:
        try:
            vault.open(row["settings"])
        except StartError:
            unreadable.append(row["name"])
    if unreadable:
        yield Finding(
            "Key",
            Level.PROBLEM,
            f"the key does not decrypt the secrets of {', '.join(unreadable)}",
            "Add the key that encrypted them to JOBWRIGHT_OLD_SECRET_KEYS, or enter the secrets again.",
        )
    elif services.keys.earlier and (outdated := services.resealing.outdated()):
        where = ", ".join(f"{count} in {collection}" for collection, count in outdated.items())
        yield Finding("Key", Level.WARNING, f"secrets are encrypted with an earlier key: {where}", "Run `jobwright secrets reseal`.")
    else:
        yield Finding("Key", Level.OK, f"the key decrypts the secrets of {amount(len(rows), 'connection')}")


def check_job_processes(services: Services, _store: Store) -> Iterator[Finding]:
    """Yields which protections of the kernel job processes have."""
    settings = services.settings
    own_name = pwd.getpwuid(os.getuid()).pw_name
    who = f"they run as {settings.job_user}" if settings.job_user else f"they run as the user of the service ({own_name})"
    if settings.cage == "off":
        yield Finding("Job processes", Level.WARNING, f"{who}; nothing restricts them", "Set JOBWRIGHT_CAGE=auto.")
        return
    holds = kernel_features()
    lacking = [
        text
        for active, text in (
            (holds.landlock, "Landlock: they can write wherever the user can, and read each other's files"),
            (holds.mounts, "mount namespaces: they can reach the key and the private MongoDB"),
            (holds.network, "network namespaces: templates that do not need the network can still use it"),
        )
        if not active
    ]
    if lacking:
        text = f"{who}; this kernel refuses {'; '.join(lacking)}"
        yield Finding("Job processes", Level.WARNING, text, "Set JOBWRIGHT_JOB_USER, or allow the service to create user namespaces.")
    else:
        yield Finding("Job processes", Level.OK, f"{who}; Landlock {holds.landlock} and namespaces restrict them")


def check_secret_files(services: Services, _store: Store) -> Iterator[Finding]:
    """Yields the files with secrets (`NAME_FILE`) that job processes can read."""
    settings = services.settings
    files = [file for file in secret_files() if not settings.job_user or _others_may_read(file)]
    if settings.cage == "off" or not files:  # of the former, the check of job processes has told
        return
    holds, sharing = kernel_features(), _templates_that_share(services)
    bare = [file for file in files if not (holds.mounts or (holds.landlock and _is_protected(file, settings)))]
    if bare:
        text = f"jobs can read {', '.join(map(str, bare))}, as this kernel refuses mount namespaces"
        advice = f"Put these files into {settings.data_path / SECRET_FILES}, and correct the settings NAME_FILE."
        yield Finding("Secrets", Level.WARNING, text, advice)
    elif sharing and not holds.mounts:
        text = (
            f"jobs of {', '.join(sharing)} can read the files with secrets: their attempts share processes, which Landlock cannot confine"
        )
        yield Finding("Secrets", Level.WARNING, text, "Set JOBWRIGHT_ISOLATION=process.")
    else:
        yield Finding("Secrets", Level.OK, f"jobs cannot read the {amount(len(files), 'file')} with secrets")


def _templates_that_share(services: Services) -> list[str]:
    """Returns the templates with file stores whose attempts share processes (app.sandbox.cage, `confine_reused`)."""
    chosen, entries = services.settings.isolation, {name: services.catalogue.get(name) for name in services.catalogue.types()}
    reused = (name for name, entry in entries.items() if (entry.template.isolation if chosen == "template" else chosen) == "reused")
    return sorted(name for name in reused if entries[name].stores)


def _is_protected(file: Path, settings: Settings) -> bool:
    """Returns whether Landlock keeps processes of single attempts from a file: it is in the data folder."""
    return file.resolve().is_relative_to(settings.data_path)


def _others_may_read(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
