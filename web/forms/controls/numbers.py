"""Numbers, in a text field, so that a wrong number stays as it was typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from app.validation.dynamic import has_any
from app.validation.storable import decimal_of
from web.forms.controls.base import Control, Posted, TypedControl
from web.forms.json_text import LONGEST_NUMBER

if TYPE_CHECKING:
    from web.forms.decode import Decoder
    from web.forms.field import Field
    from web.forms.page.painter import Painter
    from web.forms.reader import Reader

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
_EXACT = 2**53  # a double tells all smaller whole numbers apart


class Number(TypedControl):
    """Any number."""

    name = "number"
    json_type = shown_type = "number"
    bound_keywords = ("minimum", "maximum")
    input_mode: ClassVar[str] = "decimal"
    wrong_words: ClassVar[str] = "number"  # the key of the message for a text that is no such number

    def decode(self, field: Field, posted: Posted, decoder: Decoder) -> None:
        field.text = field.text.replace("\n", " ")

    def value(self, field: Field, reader: Reader) -> Any:
        text = field.text.strip()
        if has_any(text):
            return field.text  # an expression, if the schema allows one
        if _COMMA.fullmatch(text):
            reader.report(field, "numberComma", number=text.replace(",", "."))
        elif not _NUMBER.fullmatch(text):
            reader.report(field, self.wrong_words)
        elif len(text) > LONGEST_NUMBER:
            reader.report(field, "numberLong")
        else:
            return self._number(field, text, reader)
        return field.text

    def _number(self, field: Field, text: str, reader: Reader) -> Any:
        """Returns the number that a well-formed text means. A number that a double cannot hold is reported; its text stands for it."""
        value = json.loads(text, parse_float=decimal_of)
        if isinstance(value, float):
            if value in (float("inf"), float("-inf")):
                reader.report(field, "numberLarge")
                return field.text
            if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
                reader.report(field, "numberSmall")
                return field.text
        return -0.0 if text == "-0" else value

    def is_outdated_with_value(self, field: Field, value: Any, choose: Callable[[Any], Control]) -> bool:
        return not isinstance(value, str) and super().is_outdated_with_value(field, value, choose)

    def states(self, field: Field, painter: Painter) -> list[str]:
        return super().states(field, painter) if field.nullable or field.state == "null" else []

    def takes_example(self, example: Any) -> bool:
        return isinstance(example, int | float) and not isinstance(example, bool)

    def widget(self, field: Field, painter: Painter) -> str:
        return Number.name


class Integer(Number):
    """A whole number."""

    name = "integer"
    json_type = shown_type = "integer"
    input_mode = "numeric"
    wrong_words = "numberWhole"

    def _number(self, field: Field, text: str, reader: Reader) -> Any:
        """Returns an int for `1e3`, which JSON reads as a float; `4.0` stays a float, as it was written."""
        value = super()._number(field, text, reader)
        is_whole = isinstance(value, float) and "." not in text and abs(value) < _EXACT and value.is_integer()
        return int(value) if is_whole else value
