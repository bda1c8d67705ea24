"""The own fields of a trigger, declared once: REST, the stored document, the form and the reference are made from the declaration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from marshmallow import ValidationError
from marshmallow import fields as ma
from marshmallow.validate import Length, Range

from app.shapes import Instant as StoredInstant
from app.shapes import Number, Shape, Text
from app.validation.fields import Instant, Whole
from templates_lib.messages import say

INSTANT: Mapping[str, Any] = {"format": "date-time"}
DATE: Mapping[str, Any] = {"format": "date"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(ABC):
    """One own field of a trigger.

    `name` is the field's name in the request, in the stored document and in the trigger's class. `title` is the label for people, `help`
    a sentence below the input, `description` the text of the API reference, `example` a value for both. A schedule without a `required`
    field is refused.
    """

    input_type: ClassVar[str] = "text"  # of the HTML input that the form draws

    name: str
    title: str
    description: str
    help: str = ""
    example: str = ""
    required: bool = True

    @abstractmethod
    def body(self) -> ma.Field[Any]:
        """The marshmallow field that reads the value from the body of a request."""

    @abstractmethod
    def answer(self) -> ma.Field[Any]:
        """The marshmallow field that documents the value in an answer."""

    @abstractmethod
    def stored(self) -> Shape:
        """What a stored document may hold."""

    def _metadata(self) -> dict[str, Any]:
        return {"description": self.description, **({"example": self.example} if self.example else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextField(Field):
    """A text of at most `longest` characters."""

    longest: int = 200

    def body(self) -> ma.Field[Any]:
        return ma.String(allow_none=True, validate=Length(max=self.longest), metadata=self._metadata())

    def answer(self) -> ma.Field[Any]:
        return ma.String()

    def stored(self) -> Shape:
        return Text(optional=True, nullable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeField(Field):
    """A whole number from `least` to `most`. A number that a person wrote into the database by hand is used up to `most_stored`."""

    input_type: ClassVar[str] = "number"

    least: int
    most: int
    most_stored: int

    def body(self) -> ma.Field[Any]:
        return Whole(allow_none=True, validate=Range(min=self.least, max=self.most), metadata=self._metadata())

    def answer(self) -> ma.Field[Any]:
        return ma.Integer()

    def stored(self) -> Shape:
        return Number(optional=True, nullable=True, least=self.least, most=self.most_stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstantField(Field):
    """An instant. The form asks for a local date and time in the time zone of the schedule."""

    input_type: ClassVar[str] = "datetime-local"

    def body(self) -> ma.Field[Any]:
        return Instant(allow_none=True, metadata=self._metadata())

    def answer(self) -> ma.Field[Any]:
        return ma.String(metadata=INSTANT)

    def stored(self) -> Shape:
        return StoredInstant(optional=True, nullable=True)


class _Date(ma.String):
    """A date as YYYY-MM-DD, which stays a text."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        if read_date(text) is None:
            raise ValidationError(say("must be a date, such as {example}", example="2026-03-29"))
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class DateField(Field):
    """A day, as a text in the form YYYY-MM-DD."""

    input_type: ClassVar[str] = "date"

    def body(self) -> ma.Field[Any]:
        return _Date(allow_none=True, metadata={**self._metadata(), **DATE})

    def answer(self) -> ma.Field[Any]:
        return ma.String(metadata=DATE)

    def stored(self) -> Shape:
        return Text(optional=True, nullable=True)


def read_date(text: str) -> date | None:
    """The date that a text names as YYYY-MM-DD; None for any other text."""
    try:
        return date.fromisoformat(text) if len(text) == 10 and text.isascii() else None
    except ValueError:
        return None
