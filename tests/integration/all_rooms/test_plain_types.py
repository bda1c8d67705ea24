"""No type of the MongoDB driver comes out of a store: every part of the service has Python's own types to deal with."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
import yaml
from bson import DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from pymongo import ReturnDocument

from app.audit.model import Actor, AuditFilter
from app.factory import Store
from app.mongo import as_stored
from app.services import Services
from tests.conftest import Api

PLAIN = {type(None), bool, int, float, str, datetime}
DRIVERS: dict[str, Any] = {
    "Int64": Int64(5),
    "large": 2**40,
    "DBRef": DBRef("a", {"deep": Int64(1)}, "b", more=1),
    "schema": {"$ref": "#/x", "$id": "y", "title": "z"},
    "ObjectId": ObjectId(),
    "Decimal128": Decimal128("1.10"),
    "bytes": b"abc",
    "Binary": Binary(b"abc", 5),
    "UUID": Binary.from_uuid(uuid.uuid4()),
    "Regex": Regex("a.b", "i"),
    "Timestamp": Timestamp(1, 2),
    "Code": Code("x"),
    "scoped": Code("x", {"y": 1}),
    "MinKey": MinKey(),
    "MaxKey": MaxKey(),
    "far": DatetimeMS(10**15),
    "long ago": DatetimeMS(-(10**17)),
}


def plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and plain(inner) for key, inner in value.items())
    return all(map(plain, value)) if type(value) is list else type(value) in PLAIN


@pytest.mark.parametrize("name", DRIVERS)
def test_no_type_of_the_driver_comes_out_of_any_door(store: Store, name: str) -> None:
    rows = store.database["drafts"]
    value = DRIVERS[name]
    rows.insert_one({"_id": "x", "value": [{"deep": value}]})
    found = [
        rows.find_one({"_id": "x"}),
        next(rows.find()),
        next(rows.aggregate([{"$project": {"_id": {"of": "$_id"}, "value": 1}}])),
        {"values": rows.distinct("value.deep")},
        rows.find_one_and_update({"_id": "x"}, {"$set": {"n": 1}}, return_document=ReturnDocument.AFTER),
        as_stored({"value": value}),
    ]
    assert [one for one in found if not plain(one)] == []


def test_an_object_that_looks_like_a_reference_stays_an_object(store: Store) -> None:
    schema = {"$ref": "#/x", "$id": "y", "properties": {"a": {"$ref": "#", "$id": 2**40, "$db": "b"}}}
    store.database["drafts"].insert_one({"_id": "x", "schema": schema})
    assert (store.database["drafts"].find_one({"_id": "x"}) or {})["schema"] == schema


def test_text_that_is_no_utf8_is_read(store: Store) -> None:
    broken = bson.encode({"_id": "x", "text": "AAAA"}).replace(b"AAAA", b"A\xff\xfeA")
    store.database["drafts"].insert_one(bson.raw_bson.RawBSONDocument(broken))
    assert store.database["drafts"].find_one({"_id": "x"}) == {"_id": "x", "text": "A\ufffd\ufffdA"}


def test_large_numbers_are_exported_and_applied(services: Services, super_admin: Actor, api: Api) -> None:
    body = {"since": 1700000000000, "most": 2**63 - 1, "least": -(2**63), "beyond_doubles": 2**53 + 1, "rate": 1e300, "small": 5e-324}
    sent = {"name": "hook", "template_type": "webhook_trigger", "parameters": {"url": "https://example.com/x", "body": body}}
    job, _ = services.jobs.create(super_admin, sent)
    assert job.definition.parameters["body"] == body
    for kind in ("yaml", "json"):
        text = services.exchange.export(super_admin, kind)
        exported = (yaml.safe_load(text) if kind == "yaml" else json.loads(text))["jobs"][0]["parameters"]["body"]
        assert exported == body
        assert [type(value) for value in exported.values()] == [type(value) for value in body.values()]
        plan = services.exchange.apply(super_admin, text)
        assert [step.action.value for step in plan.steps] == ["unchanged"]
    assert services.jobs.get(super_admin, job.id).definition.parameters["body"] == body


def test_seals_of_events_hold_whatever_types_they_were_made_over(services: Services, super_admin: Actor, store: Store) -> None:
    diff = [{"field": "/x", "before": {"$ref": "#", "$id": "y"}, "after": [2**40, 5, ObjectId(), datetime(2026, 1, 1, tzinfo=UTC)]}]
    with services.audit.action(super_admin, "job.update", kind="job", target_id="j", diff=diff):
        pass
    report = services.audit.verify()
    assert (report.breaks, report.head.seq >= 1) == ((), True)
    assert all(map(plain, services.auditors.page(super_admin, AuditFilter(), before=None).events))
