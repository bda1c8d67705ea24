"""What the ends of executions owe is one list, and executions carry the group of their job.

Before, each kind of thing owed had a field of its own: `notify` (people are to be told), `verdict` (the job may have failed too often) and
`dependants` (other jobs run after it). What is owed at the moment of the upgrade is owed after it. The same holds for executions that a
scheduler has planned and not written: they stand in the outboxes of jobs (`dispatch.executions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from migrations_scripts.indexes import drop_indexes

A, D = ASCENDING, DESCENDING
OWED = [
    IndexModel([("owed.what", A), ("owed.at", A)], name="owed_items", sparse=True),
    IndexModel([("owed.given_up_at", A)], name="given_up", sparse=True),
]
INDEXES: dict[str, list[IndexModel]] = {
    "job_executions": [*OWED, IndexModel([("group", A), ("queued_at", D)], name="by_group")],
    "domain_events": OWED,
}
OLD_INDEXES = [
    IndexModel([("notify.at", A)], name="owed", partialFilterExpression={"notify.state": "pending"}),
    IndexModel([("verdict", A)], name="verdict", partialFilterExpression={"verdict": "pending"}),
    IndexModel([("dependants", A), ("completed_at", A)], name="to_follow", partialFilterExpression={"dependants": "pending"}),
]
# Indexes of earlier migrations that this one removes.
DROPS: dict[str, list[str]] = {"job_executions": ["owed", "verdict", "to_follow"]}
OLD_FIELDS = ("notify", "verdict", "dependants")
BATCH = 500  # documents that are read at once
RETRY_AFTER = timedelta(minutes=1)  # a try of a mail put its `at` so much later

Row = dict[str, Any]


def up(database: Database[Row]) -> None:
    executions, jobs = database["job_executions"], database["dynamic_jobs"]
    for row in executions.find({"$or": [{name: {"$exists": True}} for name in OLD_FIELDS]}).batch_size(BATCH):
        owed = _owed(row)
        change: Row = {"$unset": dict.fromkeys(OLD_FIELDS, "")}
        if owed:
            change["$set"] = {"owed": owed}
        executions.update_one({"_id": row["_id"]}, change)
    for job in jobs.find({}, {"group": 1}).batch_size(BATCH):
        executions.update_many({"job_id": job["_id"], "group": {"$exists": False}}, {"$set": {"group": job.get("group") or ""}})
    executions.update_many({"group": {"$exists": False}}, {"$set": {"group": ""}})
    for job in _with_plans(database):
        # Whoever writes these executions works out what they owe.
        old = {f"dispatch.executions.$[].{name}": "" for name in OLD_FIELDS}
        jobs.update_one(_as_read(job), {"$set": {"dispatch.executions.$[].group": job.get("group") or ""}, "$unset": old})
    drop_indexes(executions, DROPS["job_executions"])
    for collection, indexes in INDEXES.items():
        database[collection].create_indexes(indexes)


def _with_plans(database: Database[Row]) -> Iterator[Row]:
    """The jobs whose outbox holds executions."""
    fields = {"group": 1, "dispatch": 1}
    return iter(database["dynamic_jobs"].find({"dispatch.executions.0": {"$exists": True}}, fields).batch_size(BATCH))


def _as_read(job: Row) -> Row:
    """Finds the job while its outbox is the one that was read."""
    return {"_id": job["_id"], "dispatch.claim": job["dispatch"].get("claim")}


def _owed(row: Row) -> list[Row]:
    """What an execution owes, from its old fields. A mail that failed five times was given up at its last try.
    Fields that something has damaged count for what can be read of them."""
    completed_at = row.get("completed_at")
    at = completed_at if isinstance(completed_at, datetime) else datetime.now(UTC)
    owed = []
    notify = row.get("notify")
    if isinstance(notify, Mapping) and notify.get("state") in {"pending", "failed"}:
        due = notify["at"] if isinstance(notify.get("at"), datetime) else at
        tries = notify["tries"] if isinstance(notify.get("tries"), int) else 0
        if notify["state"] == "pending":
            owed.append(_item("notify", due, tries=tries, error=notify.get("error")))
        else:
            owed.append(_item("notify", None, tries=tries, error=notify.get("error"), given_up_at=due - RETRY_AFTER))
    if row.get("verdict") == "pending":
        owed.append(_item("self_pause", at))
    if row.get("dependants") == "pending":
        owed.append(_item("followers", at))
    return owed


def _item(
    what: str, at: datetime | None, *, tries: int = 0, error: str | None = None, given_up_at: datetime | None = None
) -> dict[str, Any]:
    return {"what": what, "at": at, "tries": tries, "error": error, "given_up_at": given_up_at}


def down(database: Database[Row]) -> None:
    """Events that somebody is still to hear of are dropped: the version before has none, and the groups of executions, which they are
    about, are worked out again by `up`."""
    executions, jobs = database["job_executions"], database["dynamic_jobs"]
    now = datetime.now(UTC)
    for row in executions.find({"owed": {"$exists": True}}).batch_size(BATCH):
        fields = _old_fields(row, now)
        executions.update_one({"_id": row["_id"]}, {"$unset": {"owed": ""}, **({"$set": fields} if fields else {})})
    executions.update_many({}, {"$unset": {"group": ""}})
    for job in _with_plans(database):
        planned = [_old_plan(entry) for entry in job["dispatch"]["executions"]]
        jobs.update_one(_as_read(job), {"$set": {"dispatch.executions": planned}})
    drop_indexes(executions, [index.document["name"] for index in INDEXES["job_executions"]])
    executions.create_indexes(OLD_INDEXES)
    database.drop_collection("domain_events")


def _old_fields(row: Row, now: datetime) -> Row:
    """What an execution owes, in the fields of the version before. It knows only of mails that they were given up: anything else that was
    is tried again."""
    fields: Row = {}
    for item in row["owed"]:
        if item["what"] == "notify":
            given_up_at = item["given_up_at"]
            at = given_up_at + RETRY_AFTER if given_up_at else item["at"] or now
            state = "failed" if given_up_at else "pending"
            fields["notify"] = {"state": state, "at": at, "tries": item["tries"], "error": item["error"]}
        elif item["what"] == "self_pause":
            fields["verdict"] = "pending"
        elif item["what"] == "followers":
            fields["dependants"] = "pending"
    return fields


def _old_plan(entry: Row) -> Row:
    """A planned execution as the version before writes it. A record of missed due times owes its mail from the start."""
    plan = {name: value for name, value in entry.items() if name not in {"group", "owed"}}
    if entry.get("status") == "missed" and (entry.get("notifications") or {}).get("on_failure"):
        plan["notify"] = {"state": "pending", "at": entry["completed_at"], "tries": 0, "error": None}
    return plan
