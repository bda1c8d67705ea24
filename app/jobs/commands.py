"""The programs that jobs of the template Command may start, as `jobwright doctor` looks at them."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

from app.config import Settings
from app.findings import Finding, Level
from templates_lib.command.programs import Account, is_broad, refusal
from templates_lib.messages import amount

SUBJECT = "Commands"


def check_commands(settings: Settings) -> Iterator[Finding]:
    """Yields programs and folders of the settings that no run can use, and programs that run whatever their arguments say."""
    programs, account = settings.command_programs, job_account(settings)
    refused = {path: reason for path in programs if (reason := refusal(path, account)) is not None}
    for reason in refused.values():
        yield Finding(SUBJECT, Level.PROBLEM, str(reason), "Repair it, or remove it from JOBWRIGHT_COMMAND_PROGRAMS.")
    for folder in settings.command_dirs:
        if not Path(folder).is_dir():
            yield Finding(SUBJECT, Level.PROBLEM, f"the folder {folder} does not exist", "Correct JOBWRIGHT_COMMAND_DIRS.")
    broad = [path for path in programs if path not in refused and is_broad(path)]
    if broad:
        text = f"{', '.join(broad)}: people who create jobs can run any code with it"
        advice = "List scripts with one purpose instead, or allow the template Command to super-admins only."
        yield Finding(SUBJECT, Level.WARNING, text, advice)
    if not programs:
        yield Finding(SUBJECT, Level.OK, "the template Command is off, because JOBWRIGHT_COMMAND_PROGRAMS is empty")
    elif not refused and not broad:
        yield Finding(SUBJECT, Level.OK, f"jobs may start {amount(len(programs), 'program')}")


def job_account(settings: Settings) -> Account:
    """Returns the user that runs job processes; the own one if the settings name none, or one that does not exist."""
    try:
        user = pwd.getpwnam(settings.job_user) if settings.job_user else None
    except KeyError:
        user = None
    return Account.own() if user is None else Account(user.pw_uid, frozenset({user.pw_gid}))
