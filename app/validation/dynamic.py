"""Dynamic values, which are known only when a job runs: relative dates, and expressions in texts. They are typed and limited, and run no
code.

At a place whose schema has `x-dynamic: true`, the value and all texts inside it may hold

- `{"$relative": "-30 days"}`: an instant, or a day if the schema's format is `date`;
- `{{ now | add: "-1 month" | date }}`: an expression. A text that is only an expression becomes its value, with its type. In a longer
  text, the value is written out. `{{ "{{" }}` gives two braces.

An expression is a name, followed by filters. The names are `now`, `execution.id`, `execution.scheduled_for`, `job.id`, `job.name`,
`previous.result.…`, `previous.id`, `previous.completed_at` (`previous` is the last success of the job). All functions are pure.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from dateutil.relativedelta import relativedelta

from app import instants
from app.errors import FieldError
from app.validation.places import Place
from app.validation.pointer import keys_of, pointer
from app.zones import zone
from templates_lib import ages
from templates_lib.messages import say, say_many

OPEN = "{{"
RELATIVE = "$relative"
LONGEST_TEXT = 100_000  # characters of a resolved text, and of the result of each filter
LONGEST_EXPRESSION = 2_000  # characters, including the braces
MOST_NUMBER = 2**63 - 1  # the largest whole number of the database
MOST_EXPRESSIONS = 500  # in one value
DEEPEST = 64
NAMES = ("now", "execution.id", "execution.scheduled_for", "job.id", "job.name", "previous.result", "previous.id", "previous.completed_at")
_YEAR = re.compile(r"(?<!%)((?:%%)*)%Y")
_NUMBER = re.compile(r"\s*-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*")  # as JSON has it
_HALF = re.compile("[\ud800-\udfff]")  # half of a character, which no text can be stored with
_BEGIN = re.compile(r"\{\{(?!\{)")
_EXPRESSION = re.compile(r"\{\{(?P<inner>(?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*)\}\}")
_TOKEN = re.compile(r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z_][\w.$-]*)|(?P<sign>[|:,]))')


_NOT_ONE = (
    "An expression is not closed, not one, or longer than "
    f'{LONGEST_EXPRESSION:,} characters: write {{{{ now | date }}}}, and {{{{ "{{{{" }}}} for two braces'
)


class Wrong(ValueError):
    """The expression is wrong; the message says why."""


class NotYet(Exception):
    """The value of the expression is not known before the run."""


@dataclass(frozen=True, slots=True)
class Known:
    """The values that expressions may name.

    `previous` is {id, result, completed_at} of the job's last success, or None. `more` are further names with their values. With `sample`,
    the run is in the future: values that only the run will know are left open.
    """

    now: datetime
    execution_id: str = ""
    scheduled_for: datetime | None = None
    job_id: str = ""
    job_name: str = ""
    previous: Mapping[str, Any] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    sample: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names that expressions may begin with."""
        return (*NAMES, *self.more)


@dataclass
class Resolved:
    """A value after its dynamic parts were resolved.

    `became` has the resolved parts by JSON Pointer. `open` has the pointers of parts whose values only the run will know.
    """

    value: Any
    became: dict[str, Any] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    errors: list[FieldError] = field(default_factory=list)


def resolve(schema: Any, value: Any, known: Known, *, prefix: str = "") -> Resolved:
    """Resolves the dynamic parts of `value` at all places where `schema` allows them."""
    resolved = Resolved(value)
    if has_any(value):
        resolved.value = _Walker(known, resolved, prefix).walk(Place.of(schema), value, (), inside=False)
    return resolved


def as_data(schema: Any, value: Any) -> Any:
    """Returns `value` so that `resolve` leaves it as it is: at places where texts may be dynamic, `{{` is written as an expression that
    gives these braces. For values that come from outside and are data, whatever they look like."""
    return _as_data(Place.of(schema), value, inside=False) if has_any(value) else value


def _as_data(place: Place | None, value: Any, *, inside: bool) -> Any:
    if place is not None and place.secret:
        return value
    inside = inside or (place is not None and place.says("x-dynamic", value=True))
    if isinstance(value, str):
        return value.replace(OPEN, '{{ "{{" }}') if inside else value
    if isinstance(value, Mapping):
        return {key: _as_data(place.member(key) if place is not None else None, item, inside=inside) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_data(place.entry(at) if place is not None else None, item, inside=inside) for at, item in enumerate(value)]
    return value


def names_in(text: str) -> tuple[str, ...]:
    """Returns the names that the expressions of a text begin with, in order. Raises Wrong if one is not an expression."""
    names, at = [], 0
    while (begin := _BEGIN.search(text, at)) is not None:
        match = _EXPRESSION.match(text, begin.start(), begin.start() + LONGEST_EXPRESSION)
        if match is None:
            raise Wrong(_NOT_ONE)
        kind, first = next(_tokens(match["inner"]), ("", ""))
        names += [first] if kind == "name" else []
        at = match.end()
    return tuple(names)


def put_back(value: Any, became: Mapping[str, Any]) -> Any:
    """Returns `value` with the values that its dynamic parts had in an earlier attempt (`became`, by JSON Pointer). Raises LookupError if
    `value` has no such place."""
    if not became:
        return value
    filled = copy.deepcopy(value)
    for place, earlier in became.items():
        *path, last = keys_of(place)
        at = filled
        for part in path:
            at = at[int(part)] if isinstance(at, list) else at[part]
        key = int(last) if isinstance(at, list) else last
        at[key]  # raises LookupError if there is no such place
        at[key] = earlier
    return filled


def has_any(value: Any) -> bool:
    """Returns whether `value` holds something that looks dynamic. The check is cheap."""
    if isinstance(value, str):
        return OPEN in value
    if isinstance(value, Mapping):
        return RELATIVE in value or any(map(has_any, value.values()))
    return isinstance(value, list) and any(map(has_any, value))


class _Walker:
    def __init__(self, known: Known, resolved: Resolved, prefix: str) -> None:
        self._known, self._resolved, self._prefix = known, resolved, prefix
        self._left = MOST_EXPRESSIONS

    def walk(self, place: Place | None, value: Any, path: tuple[str | int, ...], *, inside: bool) -> Any:
        """Returns the resolved value. `inside` is true if a value around this one allows dynamic values inside it."""
        if len(path) > DEEPEST or not has_any(value) or (place is not None and place.secret):
            return value  # a resolved secret would be visible in the record
        inside = inside or (place is not None and place.says("x-dynamic", value=True))
        if inside and isinstance(value, Mapping) and set(value) == {RELATIVE}:
            day = place is not None and place.says("format", "date")
            return self._resolve_one(path, value, lambda: self._relative(value[RELATIVE], day=day))
        if inside and isinstance(value, str):
            return self._resolve_one(path, value, lambda: self._text(value))
        if isinstance(value, Mapping):
            return {
                key: self.walk(place.member(key) if place is not None else None, item, (*path, key), inside=inside)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [
                self.walk(place.entry(index) if place is not None else None, item, (*path, index), inside=inside)
                for index, item in enumerate(value)
            ]
        return value

    def _resolve_one(self, path: tuple[str | int, ...], value: Any, make: Callable[[], Any]) -> Any:
        at = self._prefix + pointer(path)
        try:
            result = make()
        except Wrong as wrong:
            self._resolved.errors.append(FieldError(at, str(wrong)))
            return value
        except NotYet:
            self._resolved.open.add(at)
            return value
        self._resolved.became[at] = result
        return result

    def _relative(self, text: Any, *, day: bool) -> Any:
        self._count()
        return _as_json(_relative(text, self._known.now), day=day)

    def _text(self, text: str) -> Any:
        """Returns the value of a text that is one expression; else the text with each of its expressions written out."""
        bare = text.strip()
        if len(bare) <= LONGEST_EXPRESSION and (whole := _EXPRESSION.fullmatch(bare)) is not None:
            return _as_json(self._value(whole["inner"]))
        result, at = "", 0
        while (begin := _BEGIN.search(text, at)) is not None:
            # The first wrong expression is an error. The rest of the text, which may be long, is not read.
            match = _EXPRESSION.match(text, begin.start(), begin.start() + LONGEST_EXPRESSION)
            if match is None:
                raise Wrong(_NOT_ONE)
            result = _check_length(result + _check_plain(text[at : match.start()]) + as_text(self._value(match["inner"])))
            at = match.end()
        return _check_length(result + _check_plain(text[at:]))

    def _value(self, expression: str) -> Any:
        self._count()
        value = _evaluate(expression, self._known)
        if isinstance(value, int | float) and not -MOST_NUMBER <= value <= MOST_NUMBER:
            raise Wrong(say("The result would be {value:.3g}, which is too large: a number has at most 64 bits", value=value))
        return value

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Wrong(say("There are more than {most} expressions", most=MOST_EXPRESSIONS))


def _check_plain(text: str) -> str:
    if OPEN in text:
        raise Wrong(_NOT_ONE)
    return text


def _check_length(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise Wrong(say("The result would be longer than {most:,} characters", most=LONGEST_TEXT))
    return text


# -- expressions -------------------------------------------------------------------------------------------------------


def _evaluate(text: str, known: Known) -> Any:
    """Returns the value of an expression. Raises Wrong, NotYet."""
    tokens = list(_tokens(text))
    if not tokens:
        raise Wrong("The expression is empty")
    (kind, first), rest = tokens[0], tokens[1:]
    if kind == "text":
        value: Any = first
    elif kind == "name":
        value = _lookup(first, known)
    else:
        raise Wrong(say("An expression must begin with a name such as {name}, not with {first!r}", name=NAMES[0], first=first))
    while rest:
        if rest[0] != ("sign", "|") or len(rest) < 2 or rest[1][0] != "name":
            raise Wrong(say("After {{{{ {first} a filter is expected, as in {{{{ now | date }}}}", first=first))
        name, rest = rest[1][1], rest[2:]
        arguments: list[Any] = []
        if rest and rest[0] == ("sign", ":"):
            rest = [("sign", ","), *rest[1:]]
            while rest and rest[0] == ("sign", ","):
                if len(rest) < 2 or rest[1][0] not in {"text", "number"}:
                    raise Wrong(say('{name} takes texts in quotes and numbers, as in {name}: "…"', name=name))
                arguments.append(rest[1][1])
                rest = rest[2:]
        value = _apply_filter(name, value, arguments)
    if isinstance(value, _Missing):
        raise (
            NotYet
            if known.sample
            else Wrong(say("{name} is missing. Give it a default, as in {{{{ {name} | default: 0 }}}}", name=value.name))
        )
    return value


def _tokens(text: str) -> Iterator[tuple[str, Any]]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise Wrong(say("{part!r} is not valid in an expression", part=text[at:].strip()[:20]))
        at = match.end()
        kind = str(match.lastgroup)
        try:
            value = json.loads(match[kind]) if kind in {"text", "number"} else match[kind]
        except ValueError as error:
            raise Wrong(say("{text} is not a text", text=match[kind])) from error
        if kind == "text" and _HALF.search(value):
            raise Wrong(say("{text} is not a text", text=match[kind]))
        yield kind, value


@dataclass(frozen=True, slots=True)
class _Missing:
    """The value of `name` is not known."""

    name: str


def _lookup(name: str, known: Known) -> Any:
    parts = name.split(".")
    simple = {
        "now": known.now,
        "execution.id": known.execution_id,
        "execution.scheduled_for": known.scheduled_for,
        "job.id": known.job_id,
        "job.name": known.job_name,
    }
    if name in simple:
        value = simple[name]
        return _Missing(name) if value is None or value == "" else value
    is_previous = parts[0] == "previous" and len(parts) > 1 and parts[1] in {"result", "id", "completed_at"}
    if parts[0] not in known.more and not is_previous:
        raise Wrong(say("{name} is not known. Known names: {known}", name=name, known=", ".join(known.names)))
    at: Any = known.previous if is_previous else known.more[parts[0]]
    for part in parts[1:]:
        if isinstance(at, Mapping) and part in at:
            at = at[part]
        elif isinstance(at, list) and part.isascii() and part.isdigit() and int(part) < len(at):
            at = at[int(part)]
        else:
            return _Missing(name)
    return _Missing(name) if at is None else at


# -- filters -----------------------------------------------------------------------------------------------------------


def _apply_filter(name: str, value: Any, arguments: Sequence[Any]) -> Any:
    if name not in _FILTERS:
        raise Wrong(say("There is no filter {name}. Filters: {known}", name=name, known=", ".join(sorted(_FILTERS))))
    takes, work = _FILTERS[name]
    if len(arguments) != takes:
        raise Wrong(
            say_many(
                "{name} takes {count} argument, but has {found}",
                "{name} takes {count} arguments, but has {found}",
                takes,
                name=name,
                found=len(arguments),
            )
        )
    if isinstance(value, _Missing) and name != "default":
        return value
    try:
        return work(value, *arguments)
    except Wrong:
        raise
    except (ValueError, OverflowError, TypeError, KeyError, OSError) as error:
        raise Wrong(say("{name} cannot be used on {value!r}", name=name, value=as_text(value)[:60])) from error


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise Wrong(say("{value!r} is not a date and time", value=as_text(value)[:60]))
    return instants.parse_local(value, UTC)


def _relative(text: Any, now: datetime) -> datetime:
    """Reads `-30 days`, `+2 hours`, `3 months ago`, `in 2 weeks`, `now` or `today` with templates_lib.ages. Raises Wrong."""
    try:
        instant = ages.parse(text, now, signed=True) if isinstance(text, str) else None
    except ages.NotAnAge as wrong:
        raise Wrong(wrong.reason) from wrong
    if instant is None:
        raise Wrong('A relative date looks like "-30 days", "+2 hours", "3 months ago", "in 2 weeks", "now" or "today"')
    return instant


def _begin(value: Any, unit: str) -> datetime:
    moment = _instant(value).replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        return moment
    moment = moment.replace(hour=0)
    if unit == "week":
        return moment - relativedelta(days=moment.weekday())
    changes: dict[str, dict[str, Any]] = {"day": {}, "month": {"day": 1}, "year": {"day": 1, "month": 1}}
    if unit not in changes:
        raise Wrong("begin_of takes hour, day, week (Monday), month or year")
    return moment.replace(**changes[unit])


def _strftime(value: Any, pattern: str) -> str:
    if re.fullmatch(r"(?:%[YmdHMSjyBbAaIpUVGuzZf%]|[^%]){0,100}", pattern) is None:
        raise Wrong(say("{pattern!r} is not a date pattern such as %Y-%m-%d", pattern=pattern))
    moment = _instant(value)
    return moment.strftime(_YEAR.sub(rf"\g<1>{moment.year:04}", pattern))  # the C library does not pad a year with zeros


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Wrong(say("{value!r} is not a number", value=as_text(value)[:60]))
    if not isinstance(value, str):
        return value
    number = json.loads(value) if _NUMBER.fullmatch(value) else math.nan
    if not math.isfinite(number):
        raise Wrong(say("{value!r} is not a number", value=value[:60]))
    return cast(int | float, number)


def _count(value: Any) -> int:
    if not isinstance(value, list | Mapping | str):
        raise Wrong(say("{value!r} has no length", value=as_text(value)[:60]))
    return len(value)


def _join(value: Any, between: Any) -> str:
    if not isinstance(value, list):
        raise Wrong(say("{value!r} is not a list", value=as_text(value)[:60]))
    if len(value) * len(str(between)) > LONGEST_TEXT:
        raise Wrong(say("The result would be longer than {most:,} characters", most=LONGEST_TEXT))
    return _check_length(str(between).join(map(as_text, value)))


_FILTERS: dict[str, tuple[int, Callable[..., Any]]] = {
    "date": (0, lambda value: _instant(value).date().isoformat()),
    "time": (0, lambda value: f"{_instant(value):%H:%M:%S}"),
    "format": (1, _strftime),
    "add": (1, lambda value, span: _relative(span, _instant(value))),
    "begin_of": (1, _begin),
    "in_zone": (1, lambda value, name: instants.in_zone(_instant(value), zone(name))),
    "default": (1, lambda value, other: other if isinstance(value, _Missing) else value),
    "upper": (0, lambda value: as_text(value).upper()),
    "lower": (0, lambda value: as_text(value).lower()),
    "trim": (0, lambda value: as_text(value).strip()),
    "text": (0, lambda value: as_text(value)),
    "number": (0, _number),
    "count": (0, _count),
    "plus": (1, lambda value, other: _number(value) + _number(other)),
    "join": (1, _join),
}


def _as_json(value: Any, *, day: bool = False) -> Any:
    """Returns a value as a JSON value."""
    if isinstance(value, datetime):
        return value.date().isoformat() if day else value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return value


def as_text(value: Any) -> str:
    """Returns a resolved value as it stands in a longer text."""
    plain = _as_json(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=str)
