"""The own fields of a trigger, declared once: REST, the stored document, the form and the reference are made from the declaration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import fields as ma
from marshmallow.validate import Length, Range

from app.shapes import Instant as StoredInstant
from app.shapes import Number, Shape, Text
from app.validation.fields import Instant, Whole

INSTANT: Mapping[str, Any] = {"format": "date-time"}


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
