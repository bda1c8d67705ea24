"""What can go wrong, and what job code raises to say how its run ends."""

from __future__ import annotations


class JobwrightError(Exception):
    """The root of all errors of this package."""


class DeclarationError(JobwrightError):
    """A job, a service or a setting is declared wrongly. It is raised when the program starts."""


class InvalidConfig(JobwrightError):
    """A value of `config` does not have its type. `pointer` is its place as a JSON Pointer."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer or '/'}: {message}")
        self.pointer = pointer


class SignatureRefused(JobwrightError):
    """A message is unsigned, signed with another key, changed, or too old or too new."""


class JobFailed(JobwrightError):
    """Job code raises this to fail its attempt. The attempt is retried as the policy of the job says.

    `permanent` means that another attempt cannot help, so there is none. `retry_after_seconds` is the earliest time of the next attempt.
    """

    def __init__(self, message: str, *, permanent: bool = False, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after_seconds = retry_after_seconds


class Cancelled(JobFailed):
    """The run was asked to stop. `JobContext.check_cancelled` raises it at a safe point."""

    def __init__(self, message: str = "Stopped at a safe point") -> None:
        super().__init__(message)
