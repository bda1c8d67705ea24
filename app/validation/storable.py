"""What the registry's store (MongoDB, BSON) can hold: a check of JSON values, and a repair of whatever a job reports.

Rules of BSON (https://bsonspec.org): whole numbers have 64 bits, decimals are binary64, texts are UTF-8, a key holds no NUL. The server
takes documents of 16 MiB, nested 180 levels deep. The bounds here leave room for what stands around a value in its document.
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
DEEPEST = 100  # levels; a value's document adds some, and 180 are the server's most
# An approval holds parameters five times (before and after, to be shown, to be carried out, of its job): together less than 16 MiB.
MOST_BYTES = 2 * 1024 * 1024
MOST_REPORTED_BYTES = 4 * 1024 * 1024  # of what a job reports, where whoever calls says nothing else
MOST_ERRORS = 100  # one hopeless value does not become a megabyte of sentences
_HALF = re.compile("[\ud800-\udfff]")
_MOST_SHOWN_BYTES = 4_000  # of a value that is shown as a text
_LONGEST_POINTER = 500  # characters of a pointer in a report
_LONGEST_KEY = 1_000  # characters of a key that is made from something else than a text
_LONGEST_NUMBER = 400  # bits of a whole number that is written out; of a longer one the number of bits is told
_ELEMENT_BYTES = 2  # of each member or entry: its type, and the NUL after its key
_CONTAINER_BYTES = 5  # of an object or a list: its length, and the NUL at its end


class InexactNumber(float):
    """A number of a text that no 64-bit number equals; the float is the nearest one, `text` what was written."""

    text: str

    def __new__(cls, text: str) -> InexactNumber:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return InexactNumber, (self.text,)


def decimal_of(text: str) -> float:
    """The number that `text` (RFC 8259's `number`) writes; an InexactNumber where the nearest float is written differently.

    `0.1` is exact, as it is what that float is written as; `0.10000000000000001`, `12345678901234567.89` and `1e999` are not.
    """
    value = float(text)
    if math.isinf(value):
        return InexactNumber(text)
    if value == 0:
        return InexactNumber(text) if any(digit in "123456789" for digit in text.lower().partition("e")[0]) else value
    return value if repr(value) == text or Decimal(repr(value)) == Decimal(text) else InexactNumber(text)


def whole_of(text: str) -> int | float:
    """The whole number that `text` writes; an InexactNumber where it has more digits than Python reads."""
    return int(text) if len(text) <= (sys.get_int_max_str_digits() or sys.maxsize) else InexactNumber(text)


def as_json(value: Any, **options: Any) -> str:
    """`json.dumps(value, **options)`, in which each InexactNumber stands as it was written."""
    numbers: list[str] = []
    text = json.dumps(_marked(value, numbers), **options)
    return _MARK.sub(lambda found: numbers[int(found[1])], text) if numbers else text


# What stands for an InexactNumber until the text is made: of characters that mean nothing (Unicode's private use), escaped or not.
_MARK = re.compile(r'"(?:\ue000|\\ue000)([0-9]{1,9})(?:\ue001|\\ue001)"')


def _marked(value: Any, numbers: list[str]) -> Any:
    """`value` with a mark for each InexactNumber, whose text is put among `numbers`."""
    if isinstance(value, InexactNumber):
        numbers.append(value.text)
        return f"\ue000{len(numbers) - 1}\ue001"
    if isinstance(value, Mapping):
        return {key: _marked(inner, numbers) for key, inner in value.items()}
    return [_marked(inner, numbers) for inner in value] if isinstance(value, list) else value


def is_text(text: str) -> bool:
    """Whether a str is text: half of a surrogate pair is no character."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_text(text: str) -> str:
    """A text with a replacement character for each half of a surrogate pair."""
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
    """What of a JSON value the store cannot hold exactly, each at its JSON Pointer below `prefix`, sorted; at most MOST_ERRORS.

    A key with half of a surrogate pair is named at the object that has it, as its own pointer would be no text either.
    """
    check = _Check(most_bytes)
    check.walk(value, prefix)
    return sorted(check.errors, key=lambda error: error.pointer)


class _Check:
    def __init__(self, most_bytes: int) -> None:
        self.errors: list[FieldError] = []
        self._most_bytes = self._left = most_bytes

    def walk(self, root: Any, prefix: str) -> None:
        """Depth first without recursion, until there is too much of it or too much is wrong."""
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
                self._wrong(prefix, say("is larger than the {most:,} bytes that can be kept", most=self._most_bytes))
                return

    def _members(self, pointer: str, value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
        for key, inner in value.items():
            if not isinstance(key, str):
                self._wrong(pointer, say("has a name that is no text"))
            elif "\0" in key:
                self._wrong(f"{pointer}/{escape(key)}", say("has the name {name}: a name cannot hold the character NUL", name=_quoted(key)))
            elif not is_text(key):
                self._wrong(pointer, say("has the name {name}: half of a surrogate pair is no text", name=_quoted(key)))
            else:
                self._left -= _ELEMENT_BYTES + _text_bytes(key)
                yield key, inner

    def _wrong(self, pointer: str, reason: str) -> None:
        self.errors.append(FieldError(pointer, reason))


def _reason(value: Any) -> str | None:
    """Why a value that holds no others cannot be held; None where it can."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if is_text(value) else say("holds half of a surrogate pair, which is no text")
    if isinstance(value, int):
        if LEAST_WHOLE <= value <= MOST_WHOLE:
            return None
        return say("must be from {least} to {most}: larger whole numbers cannot be kept", least=LEAST_WHOLE, most=MOST_WHOLE)
    if isinstance(value, float):
        return _reason_of_float(value)
    return say("is no JSON value but {kind}", kind=type(value).__name__)


def _reason_of_float(value: float) -> str | None:
    if not math.isfinite(value):
        return say("is no number that can be kept: it is too large")
    if isinstance(value, InexactNumber):
        return say(
            "has more digits than can be kept: it would become {kept}. Write that, or a number of at most 15 digits",
            kept=repr(float(value)),
        )
    return None


def _quoted(key: str) -> str:
    """A key as a sentence can show it."""
    return ascii(key if len(key) <= 40 else f"{key[:40]}…")


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _bytes_of(value: Any) -> int:
    """What BSON needs at most for a value, without its members and its key (https://bsonspec.org/spec.html)."""
    if isinstance(value, str | bytes):
        return 5 + (_text_bytes(value) if isinstance(value, str) else len(value))
    return _CONTAINER_BYTES if isinstance(value, Mapping | list | tuple) else 8


# -- the repair --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Replaced:
    """One value that could not be held: where it stood, by JSON Pointer (shortened where it is long), and why."""

    pointer: str
    reason: str  # a Said


@dataclass(frozen=True, slots=True)
class Storable:
    """A value that the store can hold, and what was replaced to make it one; at most MOST_ERRORS are named."""

    value: Any
    replaced: tuple[Replaced, ...]


def make_storable(value: Any, *, most_bytes: int = MOST_REPORTED_BYTES) -> Storable:
    """Any value whatever as one that the store can hold: None, bool, int, float, str, aware datetime, list, dict with text keys.

    What cannot be held becomes a text that says what it was. Never raises, and ends for values that hold themselves. Sets and tuples
    become lists; a naive datetime is taken as UTC.
    """
    repair = _Repair(most_bytes)
    made = repair.made(value, "", 0)
    return Storable(made, tuple(repair.replaced))


class _Repair:
    def __init__(self, most_bytes: int) -> None:
        self.replaced: list[Replaced] = []
        self._left = most_bytes
        self._around: set[int] = set()  # ids of the containers around the value at hand

    def made(self, value: Any, pointer: str, depth: int) -> Any:
        try:
            return self._made(value, pointer, depth)
        except Exception as error:  # whatever a foreign class raises
            return self._instead(pointer, say("could not be read: {error}", error=type(error).__name__), _kind_of(value))

    def _made(self, value: Any, pointer: str, depth: int) -> Any:
        if value is None or value is True or value is False:
            return self._spend(8, value)
        if isinstance(value, str):
            return self._text(str.__str__(value), pointer)
        if isinstance(value, int):
            return self._whole(int.__index__(value), pointer)
        if isinstance(value, float):
            return self._decimal(float.__float__(value), pointer)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._instead(pointer, say("is no text but bytes"), bytes_words(memoryview(value).nbytes))
        if isinstance(value, datetime):
            return self._instant(value, pointer)
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._container(value, pointer, depth)
        return self._other(value, pointer)

    def _text(self, text: str, pointer: str) -> Any:
        if not is_text(text):
            text = whole_text(text)
            self._note(pointer, say("held half of a surrogate pair, which is no text"))
        if _bytes_of(text) > self._left:
            kept = text.encode()[: max(0, self._left - 64)].decode(errors="ignore")
            return self._instead(pointer, say("is too long"), f"{kept}…")
        return self._spend(_bytes_of(text), text)

    def _whole(self, number: int, pointer: str) -> Any:
        if LEAST_WHOLE <= number <= MOST_WHOLE:
            return self._spend(8, number)
        bits = number.bit_length()
        shown = str(number) if bits <= _LONGEST_NUMBER else f"a whole number of {bits:,} bits"
        return self._instead(pointer, say("is a whole number beyond 64 bits"), shown)

    def _decimal(self, number: float, pointer: str) -> Any:
        if math.isfinite(number):
            return self._spend(8, number)
        return self._instead(pointer, say("is no finite number"), repr(number))

    def _instant(self, value: datetime, pointer: str) -> Any:
        plain = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        try:
            moment = plain.astimezone(UTC)
            made = datetime(
                moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond // 1000 * 1000, UTC
            )
        except (OverflowError, ValueError):
            return self._instead(pointer, say("is an instant outside of the calendar"), datetime.isoformat(value))
        return self._spend(8, made)

    def _container(self, value: Any, pointer: str, depth: int) -> Any:
        if id(value) in self._around:
            return self._instead(pointer, say("holds itself"), _kind_of(value))
        if depth >= DEEPEST:
            return self._instead(pointer, say("is nested more than {most} levels deep", most=DEEPEST), _kind_of(value))
        self._around.add(id(value))
        self._spend(_CONTAINER_BYTES, None)
        try:
            return self._object(value, pointer, depth) if isinstance(value, Mapping) else self._list(value, pointer, depth)
        finally:
            self._around.discard(id(value))

    def _object(self, value: Mapping[Any, Any], pointer: str, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, inner in _bounded(dict.items(value) if isinstance(value, dict) else value.items(), self._left):
            name = self._key(key, made, pointer)
            size = _ELEMENT_BYTES + _text_bytes(name)
            if size + 16 > self._left:
                self._note(pointer, say("is too large: the rest was left out"))
                break
            self._spend(size, None)
            made[name] = self.made(inner, f"{pointer}/{escape(name)}"[:_LONGEST_POINTER], depth + 1)
        return made

    def _list(self, value: Iterable[Any], pointer: str, depth: int) -> list[Any]:
        made: list[Any] = []
        for place, inner in enumerate(_bounded(_entries(value), self._left)):
            size = _ELEMENT_BYTES + len(str(place))
            if size + 16 > self._left:
                self._note(pointer, say("is too large: the rest was left out"))
                break
            self._spend(size, None)
            made.append(self.made(inner, f"{pointer}/{place}"[:_LONGEST_POINTER], depth + 1))
        return made

    def _key(self, key: Any, taken: Mapping[str, Any], pointer: str) -> str:
        """The key as a text that can be a key and that no other member has."""
        text = str.__str__(key) if isinstance(key, str) else None
        if text is None or "\0" in text or not is_text(text):
            text = _key_text(key) if text is None else text
            text = whole_text(text).replace("\0", "\u2400")
            self._note(f"{pointer}/{escape(text)}", say("had a name that is no text or cannot be kept"))
        found, count = text, 1
        while found in taken:
            count += 1
            found = f"{text} ({count})"
        return found

    def _other(self, value: Any, pointer: str) -> Any:
        text = value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, Decimal) else _shown(value)
        return self._instead(pointer, say("is no JSON value but {kind}", kind=_kind_of(value)), text)

    def _instead(self, pointer: str, reason: Said, text: str) -> Any:
        """A text in place of a value, itself made to fit."""
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
    """The entries that there can be room for: one that a foreign class makes may have no end. One more shows that some are left out."""
    return islice(iter(entries), max(0, left // _ELEMENT_BYTES) + 1)


def _entries(value: Any) -> Iterable[Any]:
    """The entries of a list or set; a set's in an order that does not change from run to run where they are all texts or numbers."""
    if isinstance(value, list):
        return list.__iter__(value)
    if isinstance(value, tuple):
        return tuple.__iter__(value)
    try:
        return sorted(value)
    except Exception:  # entries that cannot be compared, however they say so
        return value if isinstance(value, set | frozenset) else ()


def _kind_of(value: Any) -> str:
    return str(type.__getattribute__(type(value), "__name__"))


def _shown(value: Any) -> str:
    """How an object says what it is, or at least of what class it is."""
    try:
        return str.__str__(str(value))[:_LONGEST_KEY]
    except Exception:  # `__str__` is foreign code
        return _kind_of(value)


def _key_text(key: Any) -> str:
    """A key that is no text, as one: JSON's words for true, false and null, else what it says of itself."""
    words = {True: "true", False: "false", None: "null"}
    if key is None or key is True or key is False:
        return words[key]
    if isinstance(key, int):
        return str(key) if int.bit_length(key) <= _LONGEST_NUMBER else f"a whole number of {int.bit_length(key):,} bits"
    return _shown(key)
