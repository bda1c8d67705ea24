"""Reads the entries of RedBeat in Redis. Only commands that read are sent."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any

from app.imports.sources.addresses import full_address, host_of, without_credentials
from app.imports.sources.base import SourceError, SourceOptions
from app.imports.stores.beat import BeatEntry, BeatReading, Spec, crontab_spec
from app.imports.stores.values import as_json
from app.zones import is_zone
from app.zones import zone as zone_of

SCHEMES = ("redis", "rediss")
PREFIX = "redbeat:"
MOST_KEYS = 100_000
WAIT_SECONDS = 10
_AT_ONCE = 500  # keys of one request
_DATE = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def read_redbeat(place: str, options: SourceOptions) -> BeatReading:
    """Returns the entries. Raises SourceError."""
    try:
        from redis import Redis, RedisError  # noqa: PLC0415 - an extra that other sources do without
    except ImportError as error:
        raise SourceError(
            "The library for Redis is not installed. Install Jobwright with the extra celery (requirements-celery.lock)."
        ) from error

    address, prefix = full_address(place, options, SCHEMES), options.get("prefix", PREFIX)
    shown = without_credentials(address)
    try:
        with Redis.from_url(address, socket_timeout=WAIT_SECONDS, socket_connect_timeout=WAIT_SECONDS) as client:
            scores = {_text(key): score for key, score in client.zrange(f"{prefix}:schedule", 0, -1, withscores=True)}
            static = {_text(name) for name in client.smembers(f"{prefix}:statics")}
            keys = sorted(set(_keys(client, prefix)) | set(scores))
            rows = [(key, row) for part in _parts(keys) for key, row in zip(part, _definitions(client, part), strict=True)]
    except (RedisError, ValueError) as error:
        raise SourceError(f"{shown} cannot be read: {without_credentials(str(error)).splitlines()[0]}.") from error
    zone = options.timezone or "UTC"
    entries = tuple(_entry(key, row, _Place(shown, prefix, zone, scores, static)) for key, row in rows if row is not None)
    number = address.partition("://")[2].partition("/")[2].partition("?")[0] or "0"
    remarks = (
        () if options.timezone else ("The time zone of Celery is taken as UTC. If the application sets another, give it with --zone.",)
    )
    return BeatReading(name=f"{host_of(address)}/{number}/{prefix}", entries=entries, remarks=remarks)


class _Place:
    """Where the entries are: the address without credentials, the prefix of the keys, the time zone, the schedule and the static names."""

    def __init__(self, address: str, prefix: str, timezone: str, scores: Mapping[str, float], static: set[str]) -> None:
        self.address, self.prefix, self.timezone, self.scores, self.static = address, prefix, timezone, scores, static

    def command(self, *words: str) -> str:
        """Returns a command line of redis-cli."""
        return shlex.join(["redis-cli", "-u", self.address, *words])


def _keys(client: Any, prefix: str) -> Iterator[str]:
    """Yields the keys of entries, also of those that are not in the schedule."""
    own = {f"{prefix}:{name}" for name in ("schedule", "statics", "lock")}
    pattern = "".join(f"\\{char}" if char in "*?[]\\^" else char for char in prefix) + "*"
    for number, key in enumerate(client.scan_iter(match=pattern, count=1000, _type="HASH")):
        if number >= MOST_KEYS:
            raise SourceError(f"Redis has more than {MOST_KEYS:,} keys that begin with {prefix}.")
        if _text(key) not in own:
            yield _text(key)


def _parts(keys: list[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while part := list(islice(rest, _AT_ONCE)):
        yield part


def _definitions(client: Any, keys: list[str]) -> list[Any]:
    """Returns the definition and the meta data of each key; None for a key that is gone."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.hmget(key, "definition", "meta")
    return [row if isinstance(row, list) and row[0] is not None else None for row in pipe.execute(raise_on_error=False)]


def _entry(key: str, row: list[bytes | None], place: _Place) -> BeatEntry:
    name = key.removeprefix(place.prefix)
    score = place.scores.get(key)
    off = place.command("ZREM", f"{place.prefix}:schedule", key)
    on = place.command("ZADD", f"{place.prefix}:schedule", f"{score:.0f}", key) if score is not None and 0 <= score < math.inf else off
    common: dict[str, Any] = {"where": key, "disable": off, "enable": on}
    try:
        definition, meta = json.loads(row[0] or b""), json.loads(row[1] or b"{}")
        if not isinstance(meta, dict):
            raise TypeError
        task, given = definition["task"], definition["schedule"]
        spec = _schedule(given, place.timezone)
        arguments, keywords, options = definition.get("args") or [], definition.get("kwargs") or {}, definition.get("options") or {}
        if not isinstance(arguments, list) or not isinstance(keywords, dict) or not isinstance(options, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        wrong = "has a definition that cannot be read"
        return BeatEntry(name=name, task="", schedule={"type": "none"}, wrong=wrong, **common)
    disabled = "is not enabled" if not definition.get("enabled", True) else "is not in the schedule of RedBeat" if score is None else ""
    others = {"total_run_count": (str(meta.get("total_run_count", 0)), "the history stays in Redis")}
    if name in place.static:
        others["static"] = (
            "yes",
            "it comes from beat_schedule of the application. Remove it there too, or RedBeat adds it at its next start",
        )
    return BeatEntry(
        name=str(definition.get("name") or name),
        task=str(task),
        schedule=spec,
        arguments=tuple(_plain(arguments)),
        keywords=_plain(keywords),
        options=_plain(options),
        others=others,
        last_run=_moment(meta.get("last_run_at")),
        disabled=disabled,
        **common,
    )


def _schedule(given: Any, timezone: str) -> Spec:
    """Returns the description of a schedule as RedBeat writes it: an object with `__type__`."""
    match given.get("__type__"):
        case "interval":
            seconds = float(given["every"])
            if not math.isfinite(seconds):
                raise ValueError
            return {"type": "interval", "seconds": seconds, "relative": bool(given.get("relative")), "timezone": timezone}
        case "crontab":
            return crontab_spec(given, timezone)
    return {"type": "other", "text": as_json(given)}


def _plain(value: Any) -> Any:
    """Returns a value with texts in place of times."""
    if isinstance(value, dict):
        moment = _moment(value)
        return moment.isoformat() if moment else {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _moment(value: Any) -> datetime | None:
    """Returns the time in an object of the type datetime; None if it is none."""
    if not isinstance(value, dict) or value.get("__type__") != "datetime":
        return None
    zone = value.get("timezone", "UTC")
    try:
        known = zone_of(zone) if isinstance(zone, str) and is_zone(zone) else timezone(timedelta(seconds=float(zone)))
        parts = {name: int(value.get(name, 0)) for name in _DATE}
        return datetime(**parts).replace(tzinfo=known).astimezone(UTC)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return None


def _text(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
