"""The AsyncAPI document as an answer."""

from __future__ import annotations

from marshmallow import fields as ma

from app.api.base_schemas import AnswerSchema


class AsyncApiOut(AnswerSchema):
    asyncapi = ma.String(required=True, metadata={"description": "The version of AsyncAPI"})
    info = ma.Dict(required=True)
    defaultContentType = ma.String(required=True)  # noqa: N815 - as AsyncAPI has it
    channels = ma.Dict(required=True)
    operations = ma.Dict(required=True)
    components = ma.Dict(required=True)
