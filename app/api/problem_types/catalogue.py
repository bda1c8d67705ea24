"""The catalogue of problem types (RFC 9457, 3.1.1). A type is identified by its address below `/api/problems`, which never changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from werkzeug.exceptions import (
    BadRequest,
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from app import errors
from app.errors import JobwrightError

PREFIX = "/api/problems"
NO_TYPE = "about:blank"  # RFC 9457, 4.2.1: the status says everything


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """One type of problem. `title` is the same in each answer; `description` says what a client can do."""

    name: str
    status: int
    title: str
    description: str

    @property
    def uri(self) -> str:
        return f"{PREFIX}/{self.name}"


def _of(error: type[JobwrightError], name: str, description: str) -> tuple[type[JobwrightError], ProblemType]:
    return error, ProblemType(name=name, status=error.status, title=error.title, description=description)


# The types of Jobwright's errors. An error without a line of its own has the type of its base class.
OF_ERRORS: dict[type[JobwrightError], ProblemType] = dict(
    (
        _of(
            errors.ValidationFailed,
            "validation-failed",
            "The body was read, but some of its values are not accepted. `errors` names each of them by a JSON Pointer. Correct them all.",
        ),
        _of(errors.NotSignedIn, "not-signed-in", "The request has no valid token: it is missing, unknown, expired or revoked."),
        _of(
            errors.SignatureRefused,
            "signature-refused",
            "The signature of a request to an inbound address, or of a report of a service, is missing, does not fit its body, or is too "
            "old. `detail` says which.",
        ),
        _of(errors.Forbidden, "not-allowed", "The role of the account, or the scopes of the token, do not allow this."),
        _of(errors.NotFound, "not-found", "There is no such record, or the account may not see it."),
        _of(errors.Conflict, "conflict", "The present state of the record does not allow this. `detail` says why."),
        _of(errors.TooEarly, "too-early", "The request overtook another one. Repeat it after the seconds in Retry-After."),
        _of(
            errors.MigrationFailed,
            "parameters-not-converted",
            "The parameters were written for an earlier version of the template, and its code cannot convert them.",
        ),
        _of(errors.DuplicateName, "name-taken", "Another record has this name. Choose another name."),
        _of(errors.AlreadyRunning, "already-running", "The job is running or waiting to run, and its overlap policy allows one run."),
        _of(
            errors.PreconditionFailed,
            "version-mismatch",
            "The record has changed since the version in If-Match. Read it again, then repeat the change. "
            "For a record with numbered versions, `expected_version` and `actual_version` are the two.",
        ),
        _of(
            errors.LimitReached,
            "limit-reached",
            "A limit is reached. Where waiting helps, the header Retry-After says for how many seconds.",
        ),
        _of(
            errors.StoreUnavailable,
            "database-unavailable",
            "The database does not answer. Nothing was changed. Repeat the request after the seconds in Retry-After.",
        ),
    )
)
INTERNAL_ERROR = ProblemType(
    name="internal-error",
    status=500,
    title="Internal error",
    description="This is a fault of Jobwright. The log has the details under the correlation id.",
)
INVALID_PARAMETERS = ProblemType(
    name="invalid-parameters",
    status=422,
    title="Some parameters need another value",
    description="Some parameters of the query are unknown or have a value that is not accepted. `errors` names each of them.",
)
# The types of refusals that concern HTTP itself, by werkzeug's class.
OF_HTTP: dict[type[HTTPException], ProblemType] = {
    BadRequest: ProblemType(
        name="unreadable-request",
        status=400,
        title="The request cannot be read",
        description="The body is not valid JSON or not UTF-8 text, is nested too deeply, or a header is malformed.",
    ),
    NotFound: ProblemType(
        name="no-such-address",
        status=404,
        title="There is nothing at this address",
        description="No operation of the API has this address. The OpenAPI document at /api/openapi.json lists all of them.",
    ),
    MethodNotAllowed: ProblemType(
        name="method-not-allowed",
        status=405,
        title="This method is not possible here",
        description="The address exists, but not for this method. The header Allow lists the methods that are possible.",
    ),
    RequestEntityTooLarge: ProblemType(
        name="body-too-large",
        status=413,
        title="The body is too large",
        description="A body may have 2 MB.",
    ),
    UnsupportedMediaType: ProblemType(
        name="unsupported-media-type",
        status=415,
        title="The body has another media type",
        description="The operation does not accept the Content-Type of the body. `detail` names those that it accepts.",
    ),
}


def all_types() -> tuple[ProblemType, ...]:
    """Returns every type, sorted by status and name."""
    types: Iterable[ProblemType] = (*OF_ERRORS.values(), *OF_HTTP.values(), INVALID_PARAMETERS, INTERNAL_ERROR)
    return tuple(sorted(types, key=lambda kind: (kind.status, kind.name)))


def type_of(error: Exception) -> ProblemType | None:
    """Returns the type of an error; None for one that only HTTP knows, such as 408."""
    known: dict[type[JobwrightError], ProblemType] | dict[type[HTTPException], ProblemType]
    known = OF_HTTP if isinstance(error, HTTPException) else OF_ERRORS
    for parent in type(error).__mro__:
        if parent in known:
            return known[parent]
    return None if isinstance(error, HTTPException) else INTERNAL_ERROR
