"""JSON Schema from type hints, and values of those types from JSON."""

from __future__ import annotations

import enum
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from jobwright_client.errors import DeclarationError, InvalidConfig

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
}
_UNIONS = (Union, getattr(types, "UnionType", Union))
_LISTS, _SETS = (list, tuple), (set, frozenset)
# Abstract types, and what their values become.
_CONCRETE: dict[Any, Any] = {Sequence: list, Iterable: list, AbstractSet: frozenset}
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


@dataclass(frozen=True)
class About:
    """What a form says about a field, and its bounds: `Annotated[int, About("Readers per batch", minimum=1)]`.

    A text alone is the description: `Annotated[int, "Readers per batch"]`. `name` is the name of the field in JSON.
    """

    description: str | None = None
    name: str | None = None
    title: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def keywords(self) -> dict[str, Any]:
        """Returns the keywords of JSON Schema."""
        words = {
            "title": self.title,
            "description": self.description,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "minLength": self.min_length,
            "maxLength": self.max_length,
            "pattern": self.pattern,
        }
        return {name: value for name, value in words.items() if value is not None}


class Member(NamedTuple):
    """A field of an object: its name in Python and in JSON, its type, whether it is required, and its default."""

    name: str
    wire: str
    hint: Any
    required: bool
    default: Any = MISSING


# -- reading types ---------------------------------------------------------------------------------------------------


def unwrapped(hint: Any) -> tuple[Any, list[About]]:
    """Returns a type without Annotated, Required, Final, NewType and aliases, and what Annotated says about it."""
    about: list[About] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *notes = get_args(hint)
            about += [About(note) if isinstance(note, str) else note for note in notes if isinstance(note, (str, About))]
        elif getattr(get_origin(hint), "_name", None) in {"Required", "NotRequired", "ReadOnly", "Final"}:
            (hint,) = get_args(hint)
        elif hasattr(hint, "__supertype__"):  # of NewType
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":  # of the statement `type`
            hint = hint.__value__
        else:
            return hint, about


def _parts_of(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The class of an unwrapped type and its arguments: of `Sequence[int]`, list and int."""
    origin = get_origin(hint) or hint
    if isinstance(origin, type):
        origin = _CONCRETE.get(origin, origin)
    return origin, get_args(hint)


def _is_one_of(hint: Any, known: Iterable[Any]) -> bool:
    """Whether a type is one of these. A hint may be any object, also one that cannot be hashed."""
    return any(hint is other for other in known)


def _is_uuid(hint: Any) -> bool:
    """Whether a type is uuid.UUID, without importing that module, which takes long."""
    return getattr(hint, "__module__", None) == "uuid" and getattr(hint, "__name__", None) == "UUID"


def _is_typed_dict(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, dict) and hasattr(hint, "__total__")


def _has_members(hint: Any) -> bool:
    return isinstance(hint, type) and (is_dataclass(hint) or _is_typed_dict(hint))


def hints_of(owner: Any) -> dict[str, Any]:
    """Returns the type hints of a class or function. Raises DeclarationError if one of them cannot be read."""
    try:
        return get_type_hints(owner, include_extras=True)
    except NameError as error:
        advice = "define or import it at the top of the module, and not under TYPE_CHECKING"
        raise DeclarationError(f"{_name_of(owner)}: a type hint cannot be read: {error}; {advice}") from error
    except Exception as error:  # a hint that is text is code, which may raise anything
        raise DeclarationError(f"{_name_of(owner)}: a type hint cannot be read: {error}") from error


def _name_of(owner: Any) -> str:
    return str(getattr(owner, "__qualname__", owner))


def members_of(owner: Any) -> list[Member]:
    """Returns the fields of a dataclass or TypedDict."""
    hints = hints_of(owner)
    if is_dataclass(owner):
        return [member(item.name, hints[item.name], _default_of(item)) for item in fields(owner) if item.init]
    required = _required_keys(owner, hints)
    return [member(name, hint, MISSING if name in required else None)._replace(default=MISSING) for name, hint in hints.items()]


def _required_keys(owner: Any, hints: Mapping[str, Any]) -> set[str]:
    """`__required_keys__`, but right also for hints that are texts, which older Pythons do not look into."""
    required = set(owner.__required_keys__)
    for name, hint in hints.items():
        marks = {getattr(get_origin(part), "_name", None) for part in (hint, *get_args(hint)[:1])}
        required = required | {name} if "Required" in marks else required - {name} if "NotRequired" in marks else required
    return required


def member(name: str, hint: Any, default: Any) -> Member:
    """Returns a field of an object with its name in JSON."""
    _, about = unwrapped(hint)
    wire = next((note.name for note in about if note.name), name)
    return Member(name, wire, hint, default is MISSING, default)


def _default_of(item: Field[Any]) -> Any:
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


# -- JSON Schema -----------------------------------------------------------------------------------------------------


def schema_of(members: list[Member]) -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) of an object with these fields. Raises DeclarationError for a type that JSON cannot hold."""
    builder = _Builder()
    schema = builder.object_with(members, "config")
    return {**schema, "$defs": builder.definitions} if builder.definitions else schema


class _Builder:
    """Builds one schema. Types that contain themselves become definitions."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._open: list[type] = []
        self._recursive: dict[type, str] = {}  # with the names of their definitions

    def object_with(self, members: list[Member], place: str) -> dict[str, Any]:
        properties = {}
        for part in members:
            schema = self.of(part.hint, f"{place}.{part.name}")
            if part.default is not MISSING:
                schema = {**schema, "default": to_json(part.default, f"{place}.{part.name}")}
            properties[part.wire] = schema
        required = [part.wire for part in members if part.required]
        body: dict[str, Any] = {"type": "object", "properties": properties}
        return {**body, **({"required": required} if required else {}), "additionalProperties": False}

    def of(self, hint: Any, place: str) -> dict[str, Any]:
        hint, about = unwrapped(hint)
        schema = self._of(hint, place)
        for note in reversed(about):
            schema = {**schema, **note.keywords()}
        return schema

    def _of(self, hint: Any, place: str) -> dict[str, Any]:
        origin, arguments = _parts_of(hint)
        if _is_one_of(hint, _PLAIN):
            return dict(_PLAIN[hint])
        if _is_uuid(hint):
            return {"type": "string", "format": "uuid"}
        if origin is Literal:
            return {"enum": [to_json(argument, place) for argument in arguments]}
        if _is_one_of(origin, _UNIONS):
            return self._union(arguments, place)
        if _is_one_of(origin, _LISTS + _SETS):
            return self._list(origin, arguments, place)
        if isinstance(origin, type) and issubclass(origin, enum.Enum):
            if not list(origin):
                raise DeclarationError(f"{place}: {origin.__name__} has no members")
            return {"enum": [to_json(choice, place) for choice in origin]}
        if _has_members(hint):
            return self._named(hint, place)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return self._mapping(arguments, place)
        raise DeclarationError(f"{place}: {hint!r} has no form in JSON; use text, numbers, lists, dataclasses, TypedDict, Literal or Enum")

    def _union(self, arguments: tuple[Any, ...], place: str) -> dict[str, Any]:
        schemas = [self.of(part, place) for part in arguments]
        if all(set(schema) == {"type"} for schema in schemas):
            return {"type": [schema["type"] for schema in schemas]}
        return {"anyOf": schemas}

    def _list(self, origin: Any, arguments: tuple[Any, ...], place: str) -> dict[str, Any]:
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            items = [self.of(part, f"{place}[{number}]") for number, part in enumerate(arguments)]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        schema: dict[str, Any] = {"type": "array"}
        if arguments:
            schema["items"] = self.of(arguments[0], f"{place}[]")
        return {**schema, "uniqueItems": True} if origin in _SETS else schema

    def _mapping(self, arguments: tuple[Any, ...], place: str) -> dict[str, Any]:
        if arguments and unwrapped(arguments[0])[0] is not str:
            raise DeclarationError(f"{place}: the keys of an object in JSON are texts, not {arguments[0]!r}")
        values = self.of(arguments[1], f"{place}.*") if len(arguments) > 1 else {}
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}

    def _named(self, owner: Any, place: str) -> dict[str, Any]:
        if owner in self._recursive:
            return {"$ref": f"#/$defs/{self._recursive[owner]}"}
        if owner in self._open:
            # Two classes of different modules may have the same name.
            number = sum(other.__name__ == owner.__name__ for other in self._recursive)
            self._recursive[owner] = f"{owner.__name__}{number + 1 if number else ''}"
            return {"$ref": f"#/$defs/{self._recursive[owner]}"}
        self._open.append(owner)
        schema = self.object_with(members_of(owner), place)
        self._open.pop()
        if owner in self._recursive:
            self.definitions[self._recursive[owner]] = schema
            return {"$ref": f"#/$defs/{self._recursive[owner]}"}
        return schema


def to_json(value: Any, place: str) -> Any:
    """Returns a value of Python as JSON. Raises DeclarationError if JSON cannot hold it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {part.wire: to_json(getattr(value, part.name), place) for part in members_of(type(value))}
    if isinstance(value, enum.Enum):
        return to_json(value.value, place)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if _is_uuid(type(value)):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(part, place) for key, part in value.items()}
    if isinstance(value, _SETS):
        return [to_json(part, place) for part in sorted(value, key=repr)]
    if isinstance(value, _LISTS):
        return [to_json(part, place) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise DeclarationError(f"{place}: {value!r} is not a number of JSON")
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise DeclarationError(f"{place}: the value {value!r} has no form in JSON")


# -- values ----------------------------------------------------------------------------------------------------------


def read_object(value: Any, members: list[Member], pointer: str = "") -> dict[str, Any]:
    """Returns the values of an object by their names in Python, with defaults for what is missing. Raises InvalidConfig.

    Members that are not declared are passed over: during a rolling deployment, a newer instance may have declared them.
    """
    if not isinstance(value, Mapping):
        raise InvalidConfig(pointer, "must be an object")
    values = {}
    for part in members:
        if part.wire in value:
            values[part.name] = read(value[part.wire], part.hint, f"{pointer}/{_escaped(part.wire)}")
        elif part.default is not MISSING:
            values[part.name] = part.default
        elif part.required:
            raise InvalidConfig(f"{pointer}/{_escaped(part.wire)}", "is required")
    return values


def read(value: Any, hint: Any, pointer: str) -> Any:
    """Returns a JSON value as a value of a type. Raises InvalidConfig with the place and the reason."""
    hint, _ = unwrapped(hint)
    origin, arguments = _parts_of(hint)
    if hint in (Any, object):
        return value
    if hint in _WORDS:
        return _read_plain(value, hint, pointer)
    if hint in (datetime, date) or _is_uuid(hint):
        return _read_text(value, hint, pointer)
    if origin is Literal:
        return _read_choice(value, arguments, pointer)
    if origin in _UNIONS:
        return _read_union(value, arguments, pointer)
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return _read_choice(value, origin, pointer)
    if origin in _LISTS + _SETS:
        return _read_list(value, origin, arguments, pointer)
    if _has_members(hint):
        values = read_object(value, members_of(hint), pointer)
        try:
            return hint(**values)
        except (TypeError, ValueError) as error:  # of a check of the class itself
            raise InvalidConfig(pointer, str(error)) from error
    if not isinstance(value, Mapping):
        raise InvalidConfig(pointer, "must be an object")
    inner = arguments[1] if len(arguments) > 1 else Any
    return {key: read(part, inner, f"{pointer}/{_escaped(key)}") for key, part in value.items()}


def _read_plain(value: Any, hint: Any, pointer: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise InvalidConfig(pointer, "is too large a number") from error
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)  # JSON knows one type of number
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InvalidConfig(pointer, f"must be {_WORDS[hint]}")
    return value


def _read_text(value: Any, hint: Any, pointer: str) -> Any:
    try:
        if _is_uuid(hint):
            return hint(value)
        # Python before 3.11 does not read the Z of RFC 3339.
        return hint.fromisoformat(value.replace("Z", "+00:00") if hint is datetime else value)
    except (TypeError, ValueError, AttributeError) as error:
        word = {datetime: "a time, such as 2026-11-29T09:00:00Z", date: "a date, such as 2026-11-29"}.get(hint, "a UUID")
        raise InvalidConfig(pointer, f"must be {word}") from error


def _read_choice(value: Any, choices: Iterable[Any], pointer: str) -> Any:
    forms = [(to_json(choice, pointer), choice) for choice in choices]
    for form, choice in forms:
        if form == value and isinstance(form, bool) == isinstance(value, bool):
            return choice
    raise InvalidConfig(pointer, f"must be one of: {', '.join(repr(form) for form, _ in forms)}")


def _read_union(value: Any, arguments: tuple[Any, ...], pointer: str) -> Any:
    errors = []
    for part in sorted(arguments, key=lambda part: part is not type(value)):
        try:
            return read(value, part, pointer)
        except InvalidConfig as error:
            errors.append(error)
    # What is wrong inside an object says more than that it is not null.
    raise max(errors, key=lambda error: len(error.pointer))


def _read_list(value: Any, origin: Any, arguments: tuple[Any, ...], pointer: str) -> Any:
    if not isinstance(value, list):
        raise InvalidConfig(pointer, "must be a list")
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise InvalidConfig(pointer, f"must have {len(arguments)} entries")
        return tuple(read(part, hint, f"{pointer}/{number}") for number, (part, hint) in enumerate(zip(value, arguments)))
    inner = arguments[0] if arguments else Any
    return origin(read(part, inner, f"{pointer}/{number}") for number, part in enumerate(value))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
