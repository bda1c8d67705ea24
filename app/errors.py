"""The one error tree. Errors carry data; `app.api.errors` and `web.setup` are the places that turn them into HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from templates_lib.messages import Said, joined, said, say


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field.

    `pointer` is the JSON Pointer (RFC 6901) of the value, from the root of what was sent; `message` is a sentence a
    person can act on.
    """

    pointer: str
    message: str  # a Said

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", said(self.message))

    def below(self, prefix: str) -> FieldError:
        """The same error as the one who holds the value at `prefix` sees it."""
        return FieldError(prefix + self.pointer, self.message)

    def within(self, prefix: str) -> FieldError:
        """The same error as seen from the value at `prefix`; one at another place stays as it is."""
        return FieldError(self.pointer.removeprefix(prefix), self.message)


def field_name(pointer: str) -> str:
    """Returns a JSON Pointer as people write a field: `/parameters/headers/0/name` becomes `parameters.headers[0].name`."""
    name = ""
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        name += f"[{part}]" if part.isdecimal() and name else f"{'.' if name else ''}{part}"
    return name


class JobwrightError(Exception):
    """Root of everything that Jobwright raises on purpose."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str = "") -> None:
        self.detail = said(detail or self.title)
        super().__init__(self.detail)

    @property
    def told(self) -> Said:
        """Title and detail in one line."""
        return joined((said(self.title), self.detail), ": ")


class ConfigError(JobwrightError):
    """A setting has a bad value; the start stops and names it."""

    title = "Invalid setting"


class StartError(JobwrightError):
    """The service cannot start; the message says what to install or set."""

    title = "Cannot start"


class BackupRefused(StartError):
    """A backup cannot be written or restored; the message says what to do."""

    title = "Refused"


class ValidationFailed(JobwrightError):
    """What was sent does not hold; `errors` names each field."""

    status = 422
    title = "Some fields are not valid"

    def __init__(self, errors: Iterable[FieldError], detail: str = "") -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__(detail or joined((joined((e.pointer or "/", e.message), ": ") for e in self.errors[:3]), "; "))


class NotSignedIn(JobwrightError):
    """No token, or one that is unknown, expired or revoked."""

    status = 401
    title = "Sign-in required"


class SignatureRefused(NotSignedIn):
    """A request to an inbound address, or a report of a service, whose signature is missing or does not hold."""

    title = "Signature not accepted"


class Forbidden(JobwrightError):
    """Known, but not allowed."""

    status = 403
    title = "Not allowed"


class RoleTooLow(Forbidden):
    """Only a higher role may do this. `role` is that of the actor, `needed` the lowest that may."""

    def __init__(self, role: str, needed: str) -> None:
        self.role, self.needed = role, needed
        super().__init__(say("This needs the role {needed}; your role is {role}", needed=needed, role=role))


class ApprovalNeeded(Forbidden):
    """Allowed once a super-admin approves; `ask` is what to put before them (app.approvals). The faces do that in one place each."""

    title = "Approval required"

    def __init__(self, ask: Any, detail: str) -> None:
        self.ask = ask
        super().__init__(detail)


class NotFound(JobwrightError):
    """No such thing, or no longer."""

    status = 404
    title = "Not found"

    def __init__(self, kind: str, key: str) -> None:
        self.kind, self.key = kind, key
        super().__init__(say("There is no {kind} {key!r}", kind=said(kind), key=key))


class UnknownReportAddress(NotFound):
    """The token in the address of a report names no attempt."""

    def __init__(self) -> None:
        self.kind, self.key = "report address", ""
        JobwrightError.__init__(self, say("No run has this address for reports"))


class TooEarly(JobwrightError):
    """The request overtook another one that it depends on; it will be accepted a moment later (RFC 8470, 5.2, has the status)."""

    status = 425
    title = "Too early"


class Conflict(JobwrightError):
    """The state of the thing does not allow this now."""

    status = 409
    title = "Conflict"


class MigrationFailed(Conflict):
    """The code of a template cannot convert parameters that were written for an earlier version of it."""

    title = "Parameters cannot be converted"


class DuplicateName(ValidationFailed):
    """Another record has the name; reported at `/name`, unless `errors` say it elsewhere."""

    status = 409
    title = "This name is already used"

    def __init__(self, name: str, errors: Iterable[FieldError] = ()) -> None:
        self.name = name
        super().__init__(
            [*errors] or [FieldError("/name", say("is already used by {name!r}", name=name))],
            say("The name is already used by {name!r}. Choose another name.", name=name),
        )


class AlreadyRunning(Conflict):
    """A manual run of a job that still runs (design.md, 7)."""

    title = "Job already running"


class PreconditionFailed(JobwrightError):
    """If-Match named another state of the record (RFC 9110, 13.1.1)."""

    status = 412
    title = "Changed by someone else"


class StaleVersion(PreconditionFailed):
    """If-Match named an older version."""

    def __init__(self, expected: int, actual: int) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(
            say(
                "Someone else has changed this. It is now version {actual}; your change was based on version {expected}.",
                actual=actual,
                expected=expected,
            )
        )


class LimitReached(JobwrightError):
    """A hard limit; `retry_after_seconds` where waiting helps."""

    status = 429
    title = "Limit reached"

    def __init__(self, detail: str, *, retry_after_seconds: int | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(detail)


class StoreUnavailable(JobwrightError):
    """MongoDB does not answer; nothing was lost, try again."""

    status = 503
    title = "The database does not answer"
