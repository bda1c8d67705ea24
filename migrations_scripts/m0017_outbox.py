"""What ends of executions owe is one list, and executions carry the group of their job.

Before, each kind of thing owed had a field of its own: `notify` (people are to be told), `verdict` (the job may have failed too often) and
`dependants` (other jobs run after it). What is owed at the moment of the upgrade is owed after it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

A, D = ASCENDING, DESCENDING
OWED = [
    IndexModel([("owed.what", A), ("owed.at", A)], name="owed_items", sparse=True),
    IndexModel([("owed.given_up_at", A)], name="given_up", sparse=True),
]
INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [*OWED, IndexModel([("group", A), ("queued_at", D)], name="by_group")],
    "domain_events": OWED,
}
DROPS = {"job_executions": ["owed", "verdict", "to_follow"]}
ONE_BY_ONE = 500  # executions that are read at once


def up(database: Database[dict[str, Any]]) -> None:
    executions, jobs = database["job_executions"], database["dynamic_jobs"]
    for row in executions.find({"$or": [{"notify": {"$exists": True}}, {"verdict": "pending"}, {"dependants": "pending"}]}).batch_size(
        ONE_BY_ONE
    ):
        owed = _owed(row)
        change: dict[str, Any] = {"$unset": dict.fromkeys(("notify", "verdict", "dependants"), "")}
        if owed:
            change["$set"] = {"owed": owed}
        executions.update_one({"_id": row["_id"]}, change)
    for job in jobs.find({}, {"group": 1}).batch_size(ONE_BY_ONE):
        executions.update_many({"job_id": job["_id"], "group": {"$exists": False}}, {"$set": {"group": job.get("group") or ""}})
    executions.update_many({"group": {"$exists": False}}, {"$set": {"group": ""}})
    there = executions.index_information()
    for name in DROPS["job_executions"]:
        if name in there:
            executions.drop_index(name)
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def _owed(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What an execution owes, from its old fields. A mail that nobody could send after five tries was given up."""
    now = datetime.now(UTC)
    at = row.get("completed_at") or now
    owed = []
    notify = row.get("notify") or {}
    if notify.get("state") == "pending":
        owed.append(_item("notify", notify.get("at") or at, tries=notify.get("tries", 0), error=notify.get("error")))
    elif notify.get("state") == "failed":
        owed.append(_item("notify", None, tries=notify.get("tries", 0), error=notify.get("error"), given_up_at=at))
    if row.get("verdict") == "pending":
        owed.append(_item("self_pause", at))
    if row.get("dependants") == "pending":
        owed.append(_item("followers", at))
    return owed


def _item(
    what: str, at: datetime | None, *, tries: int = 0, error: str | None = None, given_up_at: datetime | None = None
) -> dict[str, Any]:
    return {"what": what, "at": at, "tries": tries, "error": error, "given_up_at": given_up_at}


def down(database: Database[dict[str, Any]]) -> None:
    executions = database["job_executions"]
    now = datetime.now(UTC)
    for row in executions.find({"owed": {"$exists": True}}).batch_size(ONE_BY_ONE):
        executions.update_one({"_id": row["_id"]}, {"$set": _old_fields(row, now), "$unset": {"owed": ""}})
    executions.update_many({}, {"$unset": {"group": ""}})
    there = executions.index_information()
    for name in ("owed_items", "given_up", "by_group"):
        if name in there:
            executions.drop_index(name)
    executions.create_indexes(
        [
            IndexModel([("notify.at", A)], name="owed", partialFilterExpression={"notify.state": "pending"}),
            IndexModel([("verdict", A)], name="verdict", partialFilterExpression={"verdict": "pending"}),
            IndexModel([("dependants", A), ("completed_at", A)], name="to_follow", partialFilterExpression={"dependants": "pending"}),
        ]
    )
    database.drop_collection("domain_events")


def _old_fields(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for item in row["owed"]:
        if item["what"] == "notify":
            state = "failed" if item["given_up_at"] else "pending"
            fields["notify"] = {"state": state, "at": item["at"] or now, "tries": item["tries"], "error": item["error"]}
        elif item["what"] == "self_pause":
            fields["verdict"] = "pending"
        elif item["what"] == "followers":
            fields["dependants"] = "pending"
    return fields or {"reason": row.get("reason")}
