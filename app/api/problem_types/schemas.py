"""Answers about types of problems."""

from __future__ import annotations

from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import AnswerSchema
from app.api.problem_types.catalogue import ProblemType


class ProblemTypeOut(AnswerSchema):
    type = ma.String(required=True, metadata={"description": "The value of `type` in a problem document"})
    name = ma.String(required=True)
    title = ma.String(required=True)
    status = ma.Integer(required=True)
    description = ma.String(required=True, metadata={"description": "What has happened, and what a client can do"})


class ProblemTypeList(AnswerSchema):
    problems = ma.List(ma.Nested(ProblemTypeOut), required=True)


def problem_type_json(kind: ProblemType) -> dict[str, Any]:
    """Returns a type as part of an answer."""
    return {"type": kind.uri, "name": kind.name, "title": kind.title, "status": kind.status, "description": kind.description}
