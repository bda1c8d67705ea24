"""Entries of RedBeat in a real Redis: 200 of them are mapped, and a user who may only read is enough."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from app.imports.entries import EntryKind, Fate
from app.imports.plan import make_plan
from app.imports.sources import SOURCES, SourceError, SourceOptions
from tests.builders import beat
from tests.builders.beat import NOW
from tests.builders.brokers import Redis

redis_library = pytest.importorskip("redis")
SOURCE = SOURCES["celery-beat"]
COUNT = 200


@pytest.fixture
def client(redis: Redis) -> Iterator[Any]:
    """A client of a Redis with 200 entries."""
    with redis_library.Redis.from_url(redis.url) as made:
        made.flushall()
        beat.redbeat(made, COUNT)
        yield made


def options_of(redis: Redis, **values: Any) -> SourceOptions:
    return SourceOptions(machine="web1", now=NOW, **{"timezone": "UTC", "own": {"app": "shop"}, **values})


def test_200_entries_are_mapped_and_explained(redis: Redis, client: Any) -> None:
    plan = make_plan(SOURCE, redis.url, options_of(redis), NOW)
    entries = plan["entries"]
    assert len(entries) == COUNT
    mapped = 0
    for entry in entries:
        assert entry["kind"] == EntryKind.JOB
        names = {field["name"] for field in entry["fields"]}
        assert {"call", "arguments", "tenant", "total_run_count"} <= names
        assert names & {"minute", "interval"}
        assert "last_run_at" in names
        assert all(field["target"] if field["fate"] == Fate.MAPPED else field["reason"] for field in entry["fields"])
        mapped += not entry["decisions"] and entry["fires"]["equal"]
    assert mapped / COUNT >= 0.98
    disabled = [entry["disabled"] for entry in entries if entry["disabled"]]
    assert set(disabled) == {"is not enabled", "is not in the schedule of RedBeat"}


def test_a_user_who_may_only_read_is_enough(redis: Redis, client: Any) -> None:
    """Redis itself refuses everything but the commands of its category for reading, and those of a connection."""
    client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~redbeat:*", "-@all", "+@read", "+scan", "+@connection")
    address = redis.url.replace("redis://", "redis://reader:secret@")
    before = client.info("commandstats")
    reading = SOURCE.read("", options_of(redis, address=address))
    assert len(reading.entries) == COUNT
    assert "secret" not in json.dumps([entry.values for entry in reading.entries], default=str)
    writing = {name for name in client.info("commandstats") if name not in before}
    assert (
        writing
        <= {"cmdstat_scan", "cmdstat_zrange", "cmdstat_smembers", "cmdstat_hmget", "cmdstat_auth", "cmdstat_hello"} | _of_connections()
    )
    with pytest.raises(SourceError, match="contains a password"):
        SOURCE.read(address, options_of(redis))
    with pytest.raises(SourceError, match="cannot be read"):
        SOURCE.read("", options_of(redis, address=address.replace("secret", "wrong")))


def _of_connections() -> set[str]:
    return {"cmdstat_info", "cmdstat_client|setinfo", "cmdstat_client", "cmdstat_ping", "cmdstat_select", "cmdstat_command"}


def test_a_run_does_not_change_the_source_and_another_schedule_does(redis: Redis, client: Any) -> None:
    digest = SOURCE.read(redis.url, options_of(redis)).digest
    client.hset("redbeat:Entry 1", "meta", json.dumps({"last_run_at": beat.moment(NOW), "total_run_count": 99}))
    client.zadd("redbeat::schedule", {"redbeat:Entry 1": 1})
    assert SOURCE.read(redis.url, options_of(redis)).digest == digest
    client.hset("redbeat:Entry 1", "definition", json.dumps({**beat.definition_of(1), "task": "other"}))
    assert SOURCE.read(redis.url, options_of(redis)).digest != digest


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ("{", EntryKind.INVALID),
        ("[]", EntryKind.INVALID),
        ('{"task": "a"}', EntryKind.INVALID),
        ('{"task": "a", "schedule": {}}', EntryKind.JOB),
    ],
)
def test_a_damaged_entry_is_named_and_the_others_are_read(redis: Redis, client: Any, definition: str, kind: EntryKind) -> None:
    client.hset("redbeat:odd \x1b[31m", "definition", definition)
    client.set("redbeat:a text", "x")
    client.hset("redbeat:other hash", "x", "y")
    entries = {entry.where: entry for entry in SOURCE.read(redis.url, options_of(redis)).entries}
    assert len(entries) == COUNT + 1
    odd = entries["redbeat:odd  [31m"]
    assert odd.kind is kind


def test_entries_below_another_prefix_are_read(redis: Redis, client: Any) -> None:
    client.flushall()
    beat.redbeat(client, 3, prefix="my[beat]:")
    assert len(SOURCE.read(redis.url, options_of(redis, own={"prefix": "my[beat]:"})).entries) == 3
    assert SOURCE.read(redis.url, options_of(redis)).entries == ()


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="no redis-cli")
def test_the_commands_disable_and_enable_the_original(redis: Redis, client: Any) -> None:
    entry = next(entry for entry in SOURCE.read(redis.url, options_of(redis)).entries if entry.name == "Entry 3")
    score = client.zscore("redbeat::schedule", "redbeat:Entry 3")
    subprocess.run(SOURCE.disable(entry), shell=True, check=True)  # noqa: S602 - it is printed for a shell
    assert client.zscore("redbeat::schedule", "redbeat:Entry 3") is None
    again = next(one for one in SOURCE.read(redis.url, options_of(redis)).entries if one.id == entry.id)
    assert again.disabled == "is not in the schedule of RedBeat"
    subprocess.run(SOURCE.enable(entry), shell=True, check=True)  # noqa: S602 - the same
    assert client.zscore("redbeat::schedule", "redbeat:Entry 3") == score
