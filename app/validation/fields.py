"""Fields of marshmallow schemas that take only proper JSON values, within the limits of what the registry stores."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError
from marshmallow import fields as ma

from app import instants


class Whole(ma.Integer):
    """A whole JSON number: "5", true and 5.5 are refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strict=True, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool | str):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **kwargs)


class TrueFalse(ma.Boolean):
    """The JSON values true and false; nothing else is taken."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Instant(ma.AwareDateTime):
    """An instant as `app.instants.parse` reads it; a naive time is refused rather than guessed."""

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> datetime:
        try:
            return self._parsed(value if isinstance(value, str) else "")
        except instants.InstantRefused as refused:
            raise ValidationError(str(refused)) from refused

    def _parsed(self, text: str) -> datetime:
        return instants.parse(text)


class Bound(Instant):
    """The open or closed end of a filter, as `app.instants.parse_bound` reads it."""

    def _parsed(self, text: str) -> datetime:
        return instants.parse_bound(text)
