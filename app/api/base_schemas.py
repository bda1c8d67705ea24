"""Schemas that several resources share: their base classes, a message, a problem document."""

from __future__ import annotations

from typing import Any

from marshmallow import INCLUDE, RAISE, Schema, ValidationError, validates_schema
from marshmallow import fields as ma

INSTANT = {"format": "date-time"}
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


class Message(AnswerSchema):
    message = ma.String(required=True)


class ProblemOut(AnswerSchema):
    type = ma.String()
    title = ma.String()
    status = ma.Integer()
    detail = ma.String()
    instance = ma.String()
    errors = ma.List(ma.Dict(), metadata={"description": "pointer (RFC 6901) or parameter, and detail, for each field"})
    correlation_id = ma.String()
