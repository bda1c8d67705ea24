"""Makes plain values of what a pickle says: values of JSON, and times. What has no plain value is named."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any

from app.imports.stores.pickles import Instance, Name, PickleRefused
from app.zones import is_zone
from app.zones import zone as zone_of

MOST_VALUES = 20_000
DEEPEST = 40
_ZONES = frozenset(
    {
        "zoneinfo.ZoneInfo",
        "zoneinfo.ZoneInfo._unpickle",
        "backports.zoneinfo.ZoneInfo",
        "backports.zoneinfo.ZoneInfo._unpickle",
        "pytz._p",
        "pytz_deprecation_shim._impl.wrap_zone",
        "pytz_deprecation_shim.timezone",
        "dateutil.tz.tz.tzfile",
        "dateutil.tz.tz.gettz",
    }
)
_UTC = frozenset({"pytz._UTC", "pytz.UTC", "pytz_deprecation_shim._impl.UTC", "dateutil.tz.tz.tzutc", "datetime.timezone.utc"})
_GROUPS = frozenset({"builtins.set", "builtins.frozenset", "__builtin__.set", "__builtin__.frozenset", "collections.deque"})
_MAPPINGS = frozenset({"collections.OrderedDict", "collections.defaultdict", "builtins.dict"})
_TEXTS = frozenset({"decimal.Decimal", "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.Path", "builtins.str"})


@dataclass(slots=True)
class Plain:
    """Makes values of JSON. `unknown` names what has none; `changed` says which values become another kind, such as a time as a text."""

    unknown: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    count: int = 0

    def value(self, source: Any, depth: int = 0) -> Any:
        """Returns the value of JSON for a value of a pickle; null for what has none. Raises PickleRefused if it is endless."""
        self.count += 1
        if self.count > MOST_VALUES or depth > DEEPEST:
            raise PickleRefused(f"it has more than {MOST_VALUES:,} values, or more than {DEEPEST} of them inside each other")
        match source:
            case None | bool():
                return source
            case str():
                return source.encode("utf-8", "replace").decode()
            case int():
                return source if abs(source) < 2**63 else self._text(source.bit_length(), "a number with more than 64 bits")
            case float():
                return source if math.isfinite(source) else self._text(str(source), "a number that JSON does not have")
            case bytes():
                return self._text(base64.b64encode(source).decode(), "bytes, as base64")
            case list() | tuple():
                return [self.value(item, depth + 1) for item in source]
            case dict():
                return self._mapping(source.items(), depth)
            case Name():
                return self._unknown(source.text)
            case Instance():
                return self._instance(source, depth)
        return self._unknown(type(source).__name__)

    def _mapping(self, pairs: Any, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, inner in pairs:
            if not isinstance(key, str):
                self.changed.append("a key that is not a text")
            result[str(key).encode("utf-8", "replace").decode()] = self.value(inner, depth + 1)
        return result

    def _instance(self, source: Instance, depth: int) -> Any:
        if source.name in _GROUPS:
            items = source.items or (source.arguments[0] if source.arguments and isinstance(source.arguments[0], list | tuple) else [])
            self.changed.append(f"{source.name}, as a list")
            return [self.value(item, depth + 1) for item in items]
        if source.name in _MAPPINGS:
            first = source.arguments[0] if source.arguments and isinstance(source.arguments[0], dict) else {}
            return self._mapping([*first.items(), *source.pairs], depth)
        if source.name in _TEXTS and source.arguments and all(isinstance(part, str) for part in source.arguments):
            joined = "/".join(source.arguments) if source.name.startswith("pathlib") else source.arguments[0]
            return self._text(joined.replace("//", "/") if source.name.startswith("pathlib") else joined, source.name)
        if source.name == "uuid.UUID" and isinstance(source.state, dict) and isinstance(source.state.get("int"), int):
            digits = f"{source.state['int'] % 2**128:032x}"
            return self._text("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])), source.name)
        if source.name == "_codecs.encode":
            return self.value(_bytes(source), depth + 1)
        if zone_name(source):
            return self._text(zone_name(source), source.name)
        span = read_span(source)
        if span is not None:
            self.changed.append(f"{source.name}, as seconds")
            return span.total_seconds()
        moment = read_moment(source) or read_date(source)
        if moment is not None:
            return self._text(moment.isoformat(), source.name)
        return self._unknown(source.name)

    def _text(self, value: Any, what: str) -> Any:
        self.changed.append(f"{what}, as a text" if "base64" not in what else what)
        return value

    def _unknown(self, name: str) -> None:
        if name not in self.unknown:
            self.unknown.append(name)


# -- times --------------------------------------------------------------------------------------------------------------


def read_moment(source: Any) -> datetime | None:
    """Returns the time that a pickled datetime.datetime is. Without a time zone it is naive. None if it is none."""
    if not isinstance(source, Instance) or source.name != "datetime.datetime" or not source.arguments:
        return None
    data = _bytes(source.arguments[0])
    if len(data) != 10:
        return None
    zone = read_zone(source.arguments[1]) if len(source.arguments) > 1 else None
    if zone is None and len(source.arguments) > 1:
        return None  # it has a time zone that is not known
    year, micros = data[0] * 256 + data[1], int.from_bytes(data[7:], "big")
    try:  # the highest bit of the month says which one of two equal wall times it is
        moment = datetime(year, data[2] & 127, data[3], data[4], data[5], data[6], micros, tzinfo=zone)
        return moment.replace(fold=data[2] >> 7)
    except ValueError:
        return None


def read_date(source: Any) -> date | None:
    """Returns the day that a pickled datetime.date is; None if it is none."""
    if not isinstance(source, Instance) or source.name != "datetime.date" or not source.arguments:
        return None
    data = _bytes(source.arguments[0])
    try:
        return date(data[0] * 256 + data[1], data[2], data[3]) if len(data) == 4 else None
    except ValueError:
        return None


def read_span(source: Any) -> timedelta | None:
    """Returns the span that a pickled datetime.timedelta is; None if it is none."""
    if not isinstance(source, Instance) or source.name != "datetime.timedelta":
        return None
    if len(source.arguments) > 3 or not all(isinstance(part, int) and abs(part) < 10**9 for part in source.arguments):
        return None
    days, seconds, micros = (*source.arguments, 0, 0, 0)[:3]
    try:
        return timedelta(days=days, seconds=seconds, microseconds=micros)
    except OverflowError:
        return None


def read_zone(source: Any) -> tzinfo | None:
    """Returns the time zone that a pickle names, of zoneinfo, pytz, dateutil or datetime; None if it is not known."""
    name = zone_name(source)
    if name:
        return zone_of(name)
    if isinstance(source, Instance) and source.name in {"datetime.timezone", "pytz._FixedOffset"} and source.arguments:
        first = source.arguments[0]
        offset = read_span(first) or (timedelta(minutes=first) if isinstance(first, int) and abs(first) < 1440 else timedelta(0))
        return timezone(offset) if abs(offset) < timedelta(days=1) else None
    return None


def zone_name(source: Any) -> str:
    """Returns the IANA name of a pickled time zone; "" if it has none."""
    if isinstance(source, str):
        return source if is_zone(source) else ""
    if isinstance(source, Name):
        return "UTC" if source.text in _UTC else ""
    if not isinstance(source, Instance):
        return ""
    if source.name in _UTC:
        return "UTC"
    if source.name == "datetime.timezone" and source.arguments:
        return _fixed_name(read_span(source.arguments[0]))
    first = source.arguments[0] if source.arguments else None
    if source.name in _ZONES:
        if isinstance(first, str):
            return first if is_zone(first) else _zone_in_path(first)
        return zone_name(first) if isinstance(first, Instance | Name) else ""
    return ""


def _fixed_name(offset: timedelta | None) -> str:
    """Returns the IANA name of a fixed offset of whole hours. In these names, the sign is the other way round."""
    if offset is None or offset % timedelta(hours=1) or abs(offset) > timedelta(hours=12):
        return ""
    hours = offset // timedelta(hours=1)
    return "UTC" if hours == 0 else f"Etc/GMT{-hours:+d}"


def _zone_in_path(path: str) -> str:
    name = path.partition("zoneinfo/")[2]
    return name if name and is_zone(name) else ""


def _bytes(source: Any) -> bytes:
    """Returns bytes, as protocols before 3 write them too: as text that would be encoded."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, Instance) and source.name == "_codecs.encode" and source.arguments:
        source = source.arguments[0]
    return source.encode("latin-1", "replace") if isinstance(source, str) else b""


def state_of(source: Any) -> Mapping[Any, Any]:
    """Returns the attributes in the state of an object: a dict, or a pair of dicts as objects with slots have it."""
    state = source.state if isinstance(source, Instance) else source
    if isinstance(state, tuple):
        merged: dict[Any, Any] = {}
        for part in state:
            merged |= part if isinstance(part, dict) else {}
        return merged
    return state if isinstance(state, dict) else {}


def utc(moment: datetime | None) -> datetime | None:
    """Returns a time in UTC; a naive one is UTC."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def clock_time(seconds: Any) -> time | None:
    """Returns the time of day of a list of hour, minute and second; None if it is none."""
    try:
        return time(*seconds)
    except (TypeError, ValueError):
        return None
