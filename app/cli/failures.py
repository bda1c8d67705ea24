"""Exit codes, and the error of a command that ends with one of them."""

from __future__ import annotations

from enum import IntEnum
from typing import IO, Any

import click


class ExitCode(IntEnum):
    """How a command ended. `docs/reference/cli.md` has this table, and a test compares the two."""

    OK = 0
    FAILED = 1  # a run failed, a file has an invalid job, or a check found a problem
    USAGE = 2  # the command line is wrong
    NOT_FOUND = 3
    REFUSED = 4  # not signed in, not allowed, invalid values, a conflict or a limit
    UNREACHABLE = 5  # the server or its database does not answer
    APPROVAL = 6  # nothing was done yet: a super-admin must approve it
    CHANGES = 10  # `plan`: `apply` would change something
    SETTING = 78  # EX_CONFIG of sysexits.h; systemd shows it by name
    TIMED_OUT = 124  # as timeout(1): the run had not ended within --timeout
    INTERRUPTED = 130  # as shells after Ctrl-C: 128 + SIGINT


class Failed(click.ClickException):
    """Ends a command with a message on standard error and an exit code."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class and reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Prints the message."""
        from app.cli.output import echo  # noqa: PLC0415 - `--help` does without it

        echo(f"jobwright: {self.message}", err=True)


def code_of_status(status: int) -> ExitCode:
    """Returns the exit code for an HTTP status of an error."""
    if status == 404:
        return ExitCode.NOT_FOUND
    return ExitCode.REFUSED if status < 500 else ExitCode.UNREACHABLE
