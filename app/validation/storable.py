"""Checks whether the registry's database (MongoDB, BSON) can store JSON values, and repairs the values that jobs report.

Rules of BSON (https://bsonspec.org): whole numbers have 64 bits, decimals are binary64, texts are UTF-8, and a key holds no NUL. The
server takes documents of at most 16 MiB and 180 levels. The limits here are lower, to leave room for the rest of the document.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from app.errors import FieldError
from app.validation.pointer import escape
from templates_lib.bodies import bytes_words
from templates_lib.messages import Said, say

LEAST_WHOLE, MOST_WHOLE = -(2**63), 2**63 - 1
DEEPEST = 100  # levels; the document around a value adds some, and the server allows 180
# An approval holds parameters five times (before and after, to show, to carry out, of its job): together less than 16 MiB.
MOST_BYTES = 2 * 1024 * 1024
MOST_REPORTED_BYTES = 4 * 1024 * 1024  # default limit for a value that a job reports
MOST_ERRORS = 100  # without a limit, a value with many errors could become a megabyte of sentences
_HALF = re.compile("[\ud800-\udfff]")
_MOST_SHOWN_BYTES = 4_000  # of a value that is shown as a text
_LONGEST_POINTER = 500  # characters of a pointer in a report
_LONGEST_KEY = 1_000  # characters of a key that was made from a value that is not text
_LONGEST_NUMBER = 400  # bits of a whole number that is written out; for a longer one, the text gives the number of its bits
_ELEMENT_BYTES = 2  # for each member or entry: its type, and the NUL after its key
_CONTAINER_BYTES = 5  # for an object or a list: its length, and the NUL at its end


class InexactNumber(float):
    """A number that no 64-bit number equals exactly. The float is the nearest one; `text` is the number as it was written."""

    text: str

    def __new__(cls, text: str) -> InexactNumber:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return InexactNumber, (self.text,)


def decimal_of(text: str) -> float:
    """Returns the number that `text` (a `number` of RFC 8259) writes; an InexactNumber if the nearest float is written differently.

    `0.1` is exact, because that float is written as `0.1`. `0.10000000000000001`, `12345678901234567.89` and `1e999` are not exact.
    """
    value = float(text)
    if math.isinf(value):
        return InexactNumber(text)
    if value == 0:
        return InexactNumber(text) if any(digit in "123456789" for digit in text.lower().partition("e")[0]) else value
    return value if repr(value) == text or Decimal(repr(value)) == Decimal(text) else InexactNumber(text)


def whole_of(text: str) -> int | float:
    """Returns the whole number that `text` writes; an InexactNumber if it has more digits than Python reads."""
    return int(text) if len(text) <= (sys.get_int_max_str_digits() or sys.maxsize) else InexactNumber(text)


def as_json(value: Any, **options: Any) -> str:
    """Returns `json.dumps(value, **options)`, with each InexactNumber as it was written."""
    numbers: list[str] = []
    text = json.dumps(_with_marks(value, numbers), **options)
    return _MARK.sub(lambda match: numbers[int(match[1])], text) if numbers else text


# The mark takes the place of an InexactNumber until the text is made. Its characters have no meaning (private use of Unicode), and may be
# escaped or not.
_MARK = re.compile(r'"(?:\ue000|\\ue000)([0-9]{1,9})(?:\ue001|\\ue001)"')


def _with_marks(value: Any, numbers: list[str]) -> Any:
    """Returns `value` with a mark in place of each InexactNumber, and adds the texts of these to `numbers`."""
    if isinstance(value, InexactNumber):
        numbers.append(value.text)
        return f"\ue000{len(numbers) - 1}\ue001"
    if isinstance(value, Mapping):
        return {key: _with_marks(inner, numbers) for key, inner in value.items()}
    return [_with_marks(inner, numbers) for inner in value] if isinstance(value, list) else value


def is_text(text: str) -> bool:
    """Returns whether a str is text: half of a surrogate pair is not a character."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_text(text: str) -> str:
    """Returns a text with a replacement character for each half of a surrogate pair."""
    return text if is_text(text) else _HALF.sub("\ufffd", text)


def storable_text(value: Any, longest: int) -> str:
    """Returns any value as a text of at most `longest` characters that the store can hold; None is the empty text."""
    if value is None:
        return ""
    if not isinstance(value, str):
        value = make_storable(value, most_bytes=_MOST_SHOWN_BYTES).value
        value = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return whole_text(value[:longest])


# -- the check ---------------------------------------------------------------------------------------------------------


def unstorable(value: Any, *, prefix: str = "", most_bytes: int = MOST_BYTES) -> list[FieldError]:
    """Returns an error for each part of a JSON value that the database cannot store exactly, at its JSON Pointer below `prefix`. The errors
    are sorted; there are at most MOST_ERRORS.

    A key with half of a surrogate pair is reported at its object, because the pointer of the key would not be text either.
    """
    check = _Check(most_bytes)
    check.walk(value, prefix)
    return sorted(check.errors, key=lambda error: error.pointer)


class _Check:
    def __init__(self, most_bytes: int) -> None:
        self.errors: list[FieldError] = []
        self._most_bytes = self._left = most_bytes

    def walk(self, root: Any, prefix: str) -> None:
        """Walks depth first, without recursion, until the value is too large or has too many errors."""
        waiting: list[tuple[str, Any, int]] = [(prefix, root, 0)]
        while waiting and len(self.errors) < MOST_ERRORS:
            pointer, value, depth = waiting.pop()
            self._left -= _bytes_of(value)
            if isinstance(value, Mapping | list | tuple) and depth >= DEEPEST:
                self._wrong(pointer, say("is nested more than {most} levels deep", most=DEEPEST))
            elif isinstance(value, Mapping):
                waiting += [(f"{pointer}/{escape(key)}", inner, depth + 1) for key, inner in self._members(pointer, value)]
            elif isinstance(value, list | tuple):
                self._left -= len(value) * (_ELEMENT_BYTES + len(str(len(value))))
                waiting += [(f"{pointer}/{place}", inner, depth + 1) for place, inner in enumerate(value) if self._left >= 0]
            elif (reason := _reason(value)) is not None:
                self._wrong(pointer, reason)
            if self._left < 0:
                self._wrong(prefix, say("is larger than the {most:,} bytes that can be stored", most=self._most_bytes))
                return

    def _members(self, pointer: str, value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
        for key, inner in value.items():
            if not isinstance(key, str):
                self._wrong(pointer, say("has a name that is not text"))
            elif "\0" in key:
                refused = say("has the name {name}: a name cannot contain the character NUL", name=_quoted(key))
                self._wrong(f"{pointer}/{escape(key)}", refused)
            elif not is_text(key):
                self._wrong(pointer, say("has the name {name}: half of a surrogate pair is not valid text", name=_quoted(key)))
            else:
                self._left -= _ELEMENT_BYTES + _text_bytes(key)
                yield key, inner

    def _wrong(self, pointer: str, reason: str) -> None:
        self.errors.append(FieldError(pointer, reason))


def _reason(value: Any) -> str | None:
    """Returns why a scalar value cannot be stored; None if it can."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if is_text(value) else say("contains half of a surrogate pair, which is not valid text")
    if isinstance(value, int):
        if LEAST_WHOLE <= value <= MOST_WHOLE:
            return None
        return say("must be from {least} to {most}: larger whole numbers cannot be stored", least=LEAST_WHOLE, most=MOST_WHOLE)
    if isinstance(value, float):
        return _reason_of_float(value)
    return say("is not a JSON value but {kind}", kind=type(value).__name__)


def _reason_of_float(value: float) -> str | None:
    if not math.isfinite(value):
        return say("is too large to be stored as a number")
    if isinstance(value, InexactNumber):
        return say(
            "has more digits than can be stored and would become {kept}. Write {kept}, or a number of at most 15 digits",
            kept=repr(float(value)),
        )
    return None


def _quoted(key: str) -> str:
    """Returns a key for a sentence: in ASCII and not too long."""
    return ascii(key if len(key) <= 40 else f"{key[:40]}…")


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _bytes_of(value: Any) -> int:
    """Returns the most bytes that BSON needs for a value, without its members and its key (https://bsonspec.org/spec.html)."""
    if isinstance(value, str | bytes):
        return 5 + (_text_bytes(value) if isinstance(value, str) else len(value))
    return _CONTAINER_BYTES if isinstance(value, Mapping | list | tuple) else 8


# -- the repair --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replaced:
    """A value that could not be stored: its JSON Pointer (shortened if it is long), and the reason."""

    pointer: str
    reason: str  # a Said


@dataclass(frozen=True, slots=True)
class Storable:
    """A value that the database can store, and the parts that were replaced for that (at most MOST_ERRORS are listed)."""

    value: Any
    replaced: tuple[Replaced, ...]


def make_storable(value: Any, *, most_bytes: int = MOST_REPORTED_BYTES) -> Storable:
    """Turns any value into one that the database can store: None, bool, int, float, str, aware datetime, list, dict with text keys.

    A part that cannot be stored becomes a text that says what it was. Never raises, and ends even for values that contain themselves. Sets
    and tuples become lists; a naive datetime is taken as UTC.
    """
    repair = _Repair(most_bytes)
    storable = repair.repair(value, "", 0)
    return Storable(storable, tuple(repair.replaced))


class _Repair:
    def __init__(self, most_bytes: int) -> None:
        self.replaced: list[Replaced] = []
        self._left = most_bytes
        self._around: set[int] = set()  # ids of the containers around the current value

    def repair(self, value: Any, pointer: str, depth: int) -> Any:
        try:
            return self._repair(value, pointer, depth)
        except Exception as error:  # a class of the job may raise anything
            return self._replace(pointer, say("could not be read: {error}", error=type(error).__name__), _kind_of(value))

    def _repair(self, value: Any, pointer: str, depth: int) -> Any:
        if value is None or value is True or value is False:
            return self._spend(8, value)
        if isinstance(value, str):
            return self._text(str.__str__(value), pointer)
        if isinstance(value, int):
            return self._whole(int.__index__(value), pointer)
        if isinstance(value, float):
            return self._decimal(float.__float__(value), pointer)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._replace(pointer, say("is bytes, not text"), bytes_words(memoryview(value).nbytes))
        if isinstance(value, datetime):
            return self._instant(value, pointer)
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._container(value, pointer, depth)
        return self._other(value, pointer)

    def _text(self, text: str, pointer: str) -> Any:
        if not is_text(text):
            text = whole_text(text)
            self._note(pointer, say("contained half of a surrogate pair, which is not valid text"))
        if _bytes_of(text) > self._left:
            beginning = text.encode()[: max(0, self._left - 64)].decode(errors="ignore")
            return self._replace(pointer, say("is too long"), f"{beginning}…")
        return self._spend(_bytes_of(text), text)

    def _whole(self, number: int, pointer: str) -> Any:
        if LEAST_WHOLE <= number <= MOST_WHOLE:
            return self._spend(8, number)
        bits = number.bit_length()
        shown = str(number) if bits <= _LONGEST_NUMBER else f"a whole number of {bits:,} bits"
        return self._replace(pointer, say("is a whole number of more than 64 bits"), shown)

    def _decimal(self, number: float, pointer: str) -> Any:
        if math.isfinite(number):
            return self._spend(8, number)
        return self._replace(pointer, say("is not a finite number"), repr(number))

    def _instant(self, value: datetime, pointer: str) -> Any:
        plain = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        try:
            moment = plain.astimezone(UTC)
            rounded = datetime(
                moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond // 1000 * 1000, UTC
            )
        except (OverflowError, ValueError):
            return self._replace(pointer, say("is a date that is not between the years 1 and 9999"), datetime.isoformat(value))
        return self._spend(8, rounded)

    def _container(self, value: Any, pointer: str, depth: int) -> Any:
        if id(value) in self._around:
            return self._replace(pointer, say("contains itself"), _kind_of(value))
        if depth >= DEEPEST:
            return self._replace(pointer, say("is nested more than {most} levels deep", most=DEEPEST), _kind_of(value))
        self._around.add(id(value))
        self._spend(_CONTAINER_BYTES, None)
        try:
            return self._object(value, pointer, depth) if isinstance(value, Mapping) else self._list(value, pointer, depth)
        finally:
            self._around.discard(id(value))

    def _object(self, value: Mapping[Any, Any], pointer: str, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, inner in _bounded(dict.items(value) if isinstance(value, dict) else value.items(), self._left):
            name = self._key(key, members, pointer)
            size = _ELEMENT_BYTES + _text_bytes(name)
            if size + 16 > self._left:
                self._note(pointer, say("is too large: the rest was left out"))
                break
            self._spend(size, None)
            members[name] = self.repair(inner, f"{pointer}/{escape(name)}"[:_LONGEST_POINTER], depth + 1)
        return members

    def _list(self, value: Iterable[Any], pointer: str, depth: int) -> list[Any]:
        entries: list[Any] = []
        for place, inner in enumerate(_bounded(_entries(value), self._left)):
            size = _ELEMENT_BYTES + len(str(place))
            if size + 16 > self._left:
                self._note(pointer, say("is too large: the rest was left out"))
                break
            self._spend(size, None)
            entries.append(self.repair(inner, f"{pointer}/{place}"[:_LONGEST_POINTER], depth + 1))
        return entries

    def _key(self, key: Any, taken: Mapping[str, Any], pointer: str) -> str:
        """Returns the key as a text that BSON takes as a key and that no other member has."""
        text = str.__str__(key) if isinstance(key, str) else None
        if text is None or "\0" in text or not is_text(text):
            text = _key_text(key) if text is None else text
            text = whole_text(text).replace("\0", "\u2400")
            self._note(f"{pointer}/{escape(text)}", say("had a name that is not text or cannot be stored"))
        unique, count = text, 1
        while unique in taken:
            count += 1
            unique = f"{text} ({count})"
        return unique

    def _other(self, value: Any, pointer: str) -> Any:
        text = value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, Decimal) else _shown(value)
        return self._replace(pointer, say("is not a JSON value but {kind}", kind=_kind_of(value)), text)

    def _replace(self, pointer: str, reason: Said, text: str) -> Any:
        """Records that a value is replaced. Returns the text that takes its place, cut to the bytes that are left."""
        self._note(pointer, reason)
        plain = whole_text(str.__str__(text))
        fits = plain.encode()[: max(0, self._left - 64)].decode(errors="ignore")
        return self._spend(_bytes_of(fits), fits) if fits else None

    def _note(self, pointer: str, reason: Said) -> None:
        if len(self.replaced) < MOST_ERRORS:
            self.replaced.append(Replaced(_storable_pointer(pointer), reason))

    def _spend(self, size: int, value: Any) -> Any:
        self._left -= size
        return value


def _storable_pointer(pointer: str) -> str:
    return pointer if len(pointer) < _LONGEST_POINTER else f"{pointer[: _LONGEST_POINTER - 1]}…"


def _bounded(entries: Iterable[Any], left: int) -> Iterator[Any]:
    """Yields as many entries as there can be room for, because an iterable of a job's class may have no end. It yields one more, so that
    the caller sees that some are left out."""
    return islice(iter(entries), max(0, left // _ELEMENT_BYTES) + 1)


def _entries(value: Any) -> Iterable[Any]:
    """Returns the entries of a list or set. A set of texts or numbers is sorted, so that its order is the same in each run."""
    if isinstance(value, list):
        return list.__iter__(value)
    if isinstance(value, tuple):
        return tuple.__iter__(value)
    try:
        return sorted(value)
    except Exception:  # the entries cannot be compared; a class of the job may raise anything here
        return value if isinstance(value, set | frozenset) else ()


def _kind_of(value: Any) -> str:
    return str(type.__getattribute__(type(value), "__name__"))


def _shown(value: Any) -> str:
    """Returns the text of an object, or at least the name of its class."""
    try:
        return str.__str__(str(value))[:_LONGEST_KEY]
    except Exception:  # `__str__` is code of the job
        return _kind_of(value)


def _key_text(key: Any) -> str:
    """Returns a key that is not text as a text: the JSON words for true, false and null, else the text of the object."""
    words = {True: "true", False: "false", None: "null"}
    if key is None or key is True or key is False:
        return words[key]
    if isinstance(key, int):
        return str(key) if int.bit_length(key) <= _LONGEST_NUMBER else f"a whole number of {int.bit_length(key):,} bits"
    return _shown(key)
