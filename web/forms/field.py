"""A form with something in it: one field for each place of the value, as it is drawn and as it is posted.

What is posted can be read alone: each field posts the kind of control that it was drawn as, so that a value is never read by a
schema, a branch or a condition other than the one that the person saw.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.errors import FieldError
from app.validation.dynamic import has_any
from app.validation.layers import Heads
from app.validation.pointer import escape
from app.validation.secret import MASK, NAMED, named_secret
from app.validation.storable import as_json, decimal_of, is_text
from app.validation.words import Words
from web.forms.choices import Choices
from web.forms.values import ABSENT
from web.forms.view import View

MOST_ROWS = 2000
MOST_FIELDS = 2000  # of one drawing; a field is some 2 kB of HTML
MOST_OPTIONS = 10_000  # of one drawing: values and alternatives to choose from
DEEPEST = 40
DEEPEST_JSON = 100  # MongoDB's own limit for nested documents
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
_EXACT = 2**53  # whole numbers below are all told apart by a double
_LONGEST_NUMBER = 4000  # digits; Python's own limit for turning text into a number is 4,300

# Kinds of control. `source` is JSON that the person asked for; `json` is what no other control can hold.
KINDS = (
    "string",
    "secret",
    "integer",
    "number",
    "boolean",
    "switch",
    "choice",
    "checks",
    "null",
    "json",
    "source",
    "object",
    "array",
    "readonly",
)
# How the field was drawn: absent, null, with a value (an empty text then means empty, or unset), empty, with a secret kept, or named.
# `i` is a value that may not be there, `b` JSON text of what would have made too many fields.
WAS = {
    "a": "absent",
    "n": "null",
    "v": "value",
    "u": "value",
    "e": "value",
    "i": "value",
    "b": "value",
    "k": "kept",
    "s": NAMED,
}


@dataclass(slots=True)
class Row:
    """An entry of a list, or of a map: then with its `key`, whose text is JSON where `key_json`."""

    id: int
    field: Field
    key: str | None = None
    key_json: bool = False


@dataclass(slots=True)
class Field:
    """One place. `name` is its posted name, `pointer` the JSON Pointer of its value, `place` the same with `*` for entries.

    `state` is absent, null, value or kept; `raw` the text in the control, an index for a choice, JSON for what is kept as it was.
    `picked` are the branches chosen, by the union's key; `moved` says that type or branches differ from what was drawn.
    """

    name: str
    pointer: str
    kind: str
    state: str = "absent"
    raw: str = ""
    was: str = "a"
    place: str = ""
    title: str = ""
    required: bool = True
    choices: Choices | None = None
    marks: tuple[int, ...] = ()
    members: dict[str, Field] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    picked: dict[str, int] = field(default_factory=dict)
    wanted: str = ""  # the type that the person chose, where it is another than the drawn one
    moved: bool = False
    named: str = ""  # the name of a secret that is kept elsewhere
    retype: bool = False  # a secret that was typed and is not sent back
    untouched: bool = False  # it holds a default that came with it, as it came
    drawn: bool = False  # it was posted with how it was drawn
    before: dict[str, int] = field(default_factory=dict)  # the branches that it was drawn with, where they were posted
    gone: list[str] = field(default_factory=list)  # the members that a choice made impossible, by their titles
    bounded: bool = False  # it stands as JSON because its fields would have been too many
    limited: bool = False  # it offers a part of its options
    view: View | None = None
    heads: Heads = ()

    def walk(self) -> Iterator[Field]:
        """This one and all below it."""
        yield self
        for member in self.members.values():
            yield from member.walk()
        for row in self.rows:
            yield from row.field.walk()

    @property
    def mark(self) -> str:
        """What is posted beside the field to read it by: the kind, how it was drawn, the sources of its choices."""
        stamp = f"~{zlib.crc32(self.raw.encode('utf-8', 'replace')):x}" if self.untouched else ""
        return f"{self.kind} {self.was}{stamp}" + (f" {self.choices.sources}" if self.choices else "")

    def points_to(self, pointer: str) -> None:
        """New pointers for a row that has moved, and for all below it."""
        old = self.pointer
        for one in self.walk():
            one.pointer = pointer + one.pointer[len(old) :]


def member_name(name: str, key: str) -> str:
    """The posted name of a member: letters, digits and `_` stand for themselves, all else as its code point. `a b` → `f.ma-20-b`."""
    return f"{name}.m" + "".join(ch if ch.isascii() and (ch.isalnum() or ch == "_") else f"-{ord(ch):x}-" for ch in key)


def member_key(part: str) -> str | None:
    """The member that a part of a posted name stands for; None where it stands for none."""
    found, rest = [], part[1:]
    while rest:
        if rest[0] == "-":
            digits, dash, rest = rest[1:].partition("-")
            if not dash or not re.fullmatch("[0-9a-f]{1,6}", digits) or int(digits, 16) > 0x10FFFF:
                return None
            found.append(chr(int(digits, 16)))
        else:
            found.append(rest[0])
            rest = rest[1:]
    return "".join(found)


def small_number(text: str) -> int:
    """The number that a posted index or row id is; -1 for anything else (`isdigit` alone takes the digits of every script)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """JSON for a text area; escaped where a text holds half of a surrogate pair or what HTML would not give back."""
    text = as_json(value, ensure_ascii=False, indent=indent)
    return text if plain_text(text) else as_json(value, ensure_ascii=True, indent=indent)


def plain_text(text: str) -> bool:
    """True where an HTML text area gives the text back as it is: no carriage return, no NUL, no half of a surrogate pair."""
    return is_text(text) and not any(ch in "\r\0" for ch in text)


class Post:
    """Posted pairs as a tree: names are split at their dots."""

    __slots__ = ("parts", "texts")

    def __init__(self) -> None:
        self.parts: dict[str, Post] = {}
        self.texts: list[str] = []

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], prefix: str) -> Post:
        """What stands below `prefix`; names of other forms are passed over."""
        root, begin = cls(), prefix + "."
        for name, text in pairs:
            if name == prefix:
                root.texts.append(text)
            elif name.startswith(begin):
                parts = name[len(begin) :].split(".")
                if len(parts) <= 2 * DEEPEST:
                    node = root
                    for part in parts:
                        node = node.parts.setdefault(part, cls())
                    node.texts.append(text)
        return root

    def last(self, part: str = "", default: str = "") -> str:
        """The last text posted here, or at one part below; HTML posts line breaks as CRLF, what was meant is LF."""
        node = self.parts.get(part) if part else self
        return node.texts[-1].replace("\r\n", "\n") if node is not None and node.texts else default


def decode(
    post: Post, name: str, pointer: str, choices_of: Callable[[str], Choices | None], *, drawn_as: str = "string", depth: int = 0
) -> Field:
    """The field as it was posted. What is missing is as if it had been absent: a browser posts every control that it shows."""
    kind, _, rest = post.last("d").partition(" ")
    was, _, sources = rest.partition(" ")
    was, _, stamp = was.partition("~")
    drawn = False
    if kind not in KINDS or was not in WAS:
        kind, was = _guess(post, drawn_as), "a"
    else:
        drawn = True
    found = Field(name, pointer, kind, was=was, raw=post.last(), drawn=drawn, bounded=was == "b")
    wanted = post.last("t")
    if wanted and wanted != kind and wanted in KINDS:
        found.wanted, found.moved = wanted, True
    for part, node in post.parts.items():
        if part[:1] == "b" and node.texts:
            found.picked[part[1:]] = small_number(node.texts[-1])
            found.before[part[1:]] = small_number(post.last("w" + part[1:], node.texts[-1]))
            found.moved |= node.texts[-1] != post.last("w" + part[1:], node.texts[-1])
    if kind == "choice":
        found.choices = choices_of(sources)
        if found.raw == "k":
            found.raw = "k" + post.last("j")
        elif found.raw != "n" and not 0 <= small_number(found.raw) < len(found.choices.options if found.choices else ()):
            found.raw = ""
    elif kind == "checks":
        found.choices = choices_of(sources)
        found.marks = tuple(sorted({small_number(text) for text in post.texts} - {-1}))
    elif kind == "secret":
        found.named = post.last("n")
    elif kind == "boolean" and found.raw not in {"true", "false", "n"}:
        found.raw = ""
    elif kind in {"integer", "number"}:
        found.raw = found.raw.replace("\n", " ")
    elif kind == "switch":
        found.raw = "true" if "true" in post.texts else "false"
    elif kind == "object" and depth < DEEPEST:
        for part, node in post.parts.items():
            key = member_key(part) if part[:1] == "m" else None
            if key is not None:
                found.members[key] = decode(node, f"{name}.{part}", f"{pointer}/{escape(key)}", choices_of, depth=depth + 1)
    found.state = _state(found, post)
    found.untouched = bool(stamp) and f"{zlib.crc32(found.raw.encode('utf-8', 'replace')):x}" == stamp
    if kind in {"object", "array"} and depth < DEEPEST:
        found.rows = list(_rows(post, found, choices_of, depth))
        if found.rows and found.state == "absent" and post.last("s", WAS[was]) == WAS[was]:
            found.state = "value"
    return found


def _rows(post: Post, of: Field, choices_of: Callable[[str], Choices | None], depth: int) -> Iterator[Row]:
    """The entries of a list or a map, in the order in which they were posted."""
    ids = dict.fromkeys(small_number(text) for text in post.parts["o"].texts) if "o" in post.parts else {}
    for index, row in enumerate([one for one in ids if one >= 0][:MOST_ROWS]):
        node = post.parts.get(f"r{row}") or Post()
        key, as_json = (node.last("key"), node.last("keyjson") == "1") if of.kind == "object" else (None, False)
        at = f"{of.pointer}/{escape(_key_of(key, as_json) or key) if key is not None else index}"
        yield Row(row, decode(node, f"{of.name}.r{row}", at, choices_of, depth=depth + 1), key, as_json)


def _guess(post: Post, drawn_as: str) -> str:
    """The kind of a field that posts no kind: a script that fills only what it knows."""
    if any(part[:1] == "m" for part in post.parts):
        return "object"
    return "array" if "o" in post.parts else drawn_as


def _state(found: Field, post: Post) -> str:
    """The state that was meant: the one chosen where it was changed, else what the content says."""
    before, chosen = WAS[found.was], post.last("s")
    if chosen in {"absent", "null", "value", "kept"} and chosen != before:
        return chosen
    match found.kind:
        case "switch":
            return "value"
        case "checks":
            return "value" if found.marks else before
        case "choice" | "boolean" if found.raw == "n":
            return "null"
        case "choice" | "boolean":
            return "value" if found.raw else "absent" if before == "value" else before
        case "object" | "array" | "null" | "readonly":
            return before
        case "secret":
            if found.raw or found.named:
                return "value" if found.raw else NAMED
            return "absent" if before == NAMED else before
        case _:
            if found.raw:
                return "value"
            return "absent" if found.was == "u" else before


class Reader:
    """Field → value. What is wrong with texts goes into `errors`; the text then stands for the value."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self.errors: list[FieldError] = []

    def value(self, one: Field) -> Any:
        """The JSON value, or ABSENT."""
        if one.state in {"absent", "null"}:
            return ABSENT if one.state == "absent" else None
        match one.kind:
            case "secret":
                if one.state == NAMED:
                    return named_secret(one.named)
                return dict(MASK) if one.state == "kept" else one.raw
            case "string":
                return one.raw
            case "integer" | "number":
                return self._number(one)
            case "boolean" | "switch":
                return {"true": True, "false": False}.get(one.raw, ABSENT)
            case "choice":
                return self._choice(one)
            case "checks":
                options = one.choices.options if one.choices else ()
                return [options[index][0] for index in one.marks if index < len(options)]
            case "object":
                return self._object(one)
            case "array":
                return self._array(one)
            case "null":
                return None
            case _:
                return self._json(one)

    def _wrong(self, one: Field, key: str, **values: Any) -> None:
        self.errors.append(FieldError(one.pointer, self._words(key, **values)))

    def _object(self, one: Field) -> dict[str, Any]:
        values = {key: self.value(member) for key, member in one.members.items()}
        values = {key: value for key, value in values.items() if value is not ABSENT}
        for row in one.rows:
            key = _key_of(row.key or "", row.key_json)
            value = self.value(row.field)
            if key is None or (key == "" and not row.key_json):
                self._wrong(row.field, "keyMissing")
            elif key in values:
                self._wrong(row.field, "keyTwice", name=key)
            elif value is ABSENT:
                self._wrong(row.field, "entryEmpty")
            else:
                values[key] = value
        return values

    def _array(self, one: Field) -> list[Any]:
        values = []
        for row in one.rows:
            value = self.value(row.field)
            if value is ABSENT:
                self._wrong(row.field, "entryEmpty")
                value = None
            values.append(value)
        return values

    def _choice(self, one: Field) -> Any:
        if one.raw.startswith("k"):
            return self._json(one, one.raw[1:])
        index = small_number(one.raw)
        options = one.choices.options if one.choices else ()
        return options[index][0] if 0 <= index < len(options) else ABSENT

    def _number(self, one: Field) -> Any:
        text = one.raw.strip()
        if has_any(text):
            return one.raw  # an expression, where the schema allows one
        if _COMMA.fullmatch(text):
            self._wrong(one, "numberComma", number=text.replace(",", "."))
        elif not _NUMBER.fullmatch(text):
            self._wrong(one, "numberWhole" if one.kind == "integer" else "number")
        elif len(text) > _LONGEST_NUMBER:
            self._wrong(one, "numberLong")
        else:
            value = self._checked_number(one, text)
            whole = one.kind == "integer" and isinstance(value, float) and "." not in text and abs(value) < _EXACT
            return int(value) if whole and value.is_integer() else value
        return one.raw

    def _checked_number(self, one: Field, text: str) -> Any:
        value = json.loads(text, parse_float=decimal_of)
        if isinstance(value, float):
            if value in (float("inf"), float("-inf")):
                self._wrong(one, "numberLarge")
                return one.raw
            if value == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
                self._wrong(one, "numberSmall")
                return one.raw
        return -0.0 if text == "-0" else value

    def _json(self, one: Field, raw: str | None = None) -> Any:
        text = one.raw if raw is None else raw
        if not text.strip():
            return ABSENT
        try:
            return parse_json(text)
        except json.JSONDecodeError as error:
            self._wrong(one, "json", reason=error.msg, line=error.lineno, column=error.colno)
        except RecursionError:
            self._wrong(one, "jsonDeep", count=DEEPEST_JSON)
        except JsonRefused as error:
            self._wrong(one, error.key, **error.values)
        return text


class JsonRefused(ValueError):
    """JSON that is well formed and means no value; `key` and `values` make the sentence."""

    def __init__(self, key: str, **values: Any) -> None:
        super().__init__(key)
        self.key, self.values = key, values


def parse_json(text: str) -> Any:
    """JSON without what it leaves open: no key twice, no NaN, no number beyond a double, at most DEEPEST_JSON levels.

    Raises json.JSONDecodeError, JsonRefused or RecursionError.
    """
    value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_short_int, object_pairs_hook=_unique)
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > DEEPEST_JSON:
            raise JsonRefused("jsonDeep", count=DEEPEST_JSON)
        if isinstance(one, dict | list):
            waiting += [(inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one)]
    return value


def _refuse_constant(text: str) -> Any:
    raise JsonRefused("jsonConstant", text=text)


def _finite(text: str) -> float:
    value = decimal_of(text)
    if value in (float("inf"), float("-inf")):
        raise JsonRefused("jsonLarge", text=text[:40])
    return value


def _short_int(text: str) -> int | float:
    if len(text) > _LONGEST_NUMBER:
        raise JsonRefused("jsonLarge", text=f"{text[:40]}…")
    return -0.0 if text == "-0" else int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise JsonRefused("jsonTwice", name=next(key for key in found if keys.count(key) > 1)[:60])
    return found


def _key_of(text: str, as_json: bool) -> str | None:
    """The key of a row; None where its JSON is no text."""
    if not as_json:
        return text
    try:
        key = json.loads(text)
    except ValueError:
        return None
    return key if isinstance(key, str) else None
