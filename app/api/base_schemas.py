"""Schemas that several resources share: their base classes, a message, a problem document."""

from __future__ import annotations

from typing import Any

from marshmallow import INCLUDE, RAISE, Schema, ValidationError, validates_schema
from marshmallow import fields as ma

from app.api.problem_types.catalogue import all_types

INSTANT = {"format": "date-time"}
TYPES = ", ".join(kind.name for kind in all_types())
NUL = "\0"
LARGEST = 2**63 - 1  # the largest integer that MongoDB compares with


class RequestSchema(Schema):
    """Something that clients send. Unknown members are refused."""

    class Meta:
        unknown = RAISE

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def refuse_nul(self, _data: Any, sent: Any, **_: Any) -> None:
        """Refuses the character NUL: no text in the database has it, and no pattern of a query may. Runs also beside other errors."""
        wrong = {name: ["must not hold the character NUL"] for name, value in sent.items() if isinstance(value, str) and NUL in value}
        if wrong:
            raise ValidationError(wrong)


class AnswerSchema(Schema):
    """Something that the API answers, for the OpenAPI document."""

    class Meta:
        unknown = INCLUDE


class AsIs(ma.Nested):
    """An object that is answered whole; its schema describes the members that are known."""

    def _serialize(self, nested_obj: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # noqa: ARG002 - as marshmallow's Nested has it
        return nested_obj


class RecordOut(AnswerSchema):
    """A record. `_id` is what requirement 002 calls its identifier; `id` is the same in every answer."""

    id = ma.String(required=True)
    _id = ma.String(required=True, metadata={"description": "The same as `id`"})


class FieldErrorOut(AnswerSchema):
    pointer = ma.String(required=True, metadata={"description": "JSON Pointer (RFC 6901) of the value"})
    detail = ma.String(required=True, metadata={"description": "What is wrong with the value"})


class DifferenceOut(AnswerSchema):
    field = ma.String(required=True, metadata={"description": "JSON Pointer (RFC 6901) of the value"})
    before = ma.Raw(allow_none=True, metadata={"description": "Missing if the value was added"})
    after = ma.Raw(allow_none=True, metadata={"description": "Missing if the value was removed"})


class Message(AnswerSchema):
    message = ma.String(required=True)


class ProblemErrorOut(AnswerSchema):
    pointer = ma.String(metadata={"description": "JSON Pointer (RFC 6901) of a value in the body"})
    parameter = ma.String(metadata={"description": "The name of a parameter of the query, in place of `pointer`"})
    detail = ma.String(required=True, metadata={"description": "What is wrong with the value"})


class ProblemOut(AnswerSchema):
    """A problem document (RFC 9457)."""

    type = ma.String(
        required=True,
        metadata={
            "description": f"What kind of problem this is: an address below /api/problems that never changes. One of {TYPES}; "
            "about:blank where the status says everything",
            "examples": ["/api/problems/validation-failed"],
        },
    )
    title = ma.String(required=True, metadata={"description": "The type in words"})
    status = ma.Integer(required=True)
    detail = ma.String(required=True, metadata={"description": "What is wrong with this request"})
    instance = ma.String(required=True, metadata={"description": "The path of the request"})
    errors = ma.List(ma.Nested(ProblemErrorOut), metadata={"description": "Each wrong value"})
    expected_version = ma.Integer(metadata={"description": "Of version-mismatch: the version in If-Match"})
    actual_version = ma.Integer(metadata={"description": "Of version-mismatch: the version of the record"})
    correlation_id = ma.String(required=True, metadata={"description": "The header X-Request-Id, which the log has, too"})
