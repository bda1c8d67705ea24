"""Answers about nodes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema, RecordOut
from app.api.present import jsonable
from app.queue.execution import Outline
from app.scheduling.node_control import NodeState, state_of
from app.scheduling.node_record import NodeRole, NodeSeen


class DrainOut(AnswerSchema):
    by = ma.String(required=True, metadata={"description": "Who asked for it"})
    at = ma.String(required=True, metadata=INSTANT)


class NodeOut(RecordOut):
    host = ma.String(required=True)
    role = ma.String(required=True, metadata={"description": ", ".join(NodeRole)})
    version = ma.String(required=True, metadata={"description": "The version of Jobwright; empty for a node of an earlier release"})
    state = ma.String(required=True, metadata={"description": ", ".join(NodeState)})
    labels = ma.List(ma.String(), required=True)
    slots = ma.Integer(required=True, metadata={"description": "The number of attempts that it runs at the same time"})
    running = ma.Integer(required=True, metadata={"description": "The number of attempts that run on it"})
    drain = ma.Nested(DrainOut, required=True, allow_none=True)
    drained = ma.Boolean(required=True, metadata={"description": "true once it claims nothing and runs nothing"})
    queues = ma.List(ma.String(), required=True, metadata={"description": "The queues of the message broker that it consumes"})
    hears = ma.Boolean(required=True, allow_none=True, metadata={"description": "Whether messages reach it; null without a message broker"})
    seen_at = ma.String(required=True, metadata=INSTANT)
    tick_age_seconds = ma.Float(required=True, metadata={"description": "The seconds since its last schedule check"})
    clock_skew_seconds = ma.Float(required=True, metadata={"description": "How far its clock is ahead of that of the database"})


class RunningOnNodeOut(AnswerSchema):
    id = ma.String(required=True)
    job_id = ma.String(required=True)
    job_name = ma.String(required=True)
    started_at = ma.String(required=True, allow_none=True, metadata=INSTANT)


class NodeList(AnswerSchema):
    nodes = ma.List(ma.Nested(NodeOut), required=True)


class NodeEnvelope(AnswerSchema):
    node = ma.Nested(NodeOut, required=True)
    message = ma.String()


class NodeWithRuns(NodeEnvelope):
    executions = ma.List(ma.Nested(RunningOnNodeOut), required=True, metadata={"description": "What runs on it, of jobs that you see"})


def node_json(node: NodeSeen, now: datetime) -> dict[str, Any]:
    """Returns a node as part of an answer; `now` decides whether it is online."""
    answer: dict[str, Any] = jsonable(
        {
            "id": node.id,
            "_id": node.id,
            "host": node.host,
            "role": str(node.role),
            "version": node.version,
            "state": state_of(node, now).value,
            "labels": node.labels,
            "slots": node.slots,
            "running": node.running,
            "drain": {"by": node.drain.by, "at": node.drain.at} if node.drain else None,
            "drained": node.drained,
            "queues": node.queues,
            "hears": node.hears,
            "seen_at": node.seen_at,
            "tick_age_seconds": node.tick_age_seconds,
            "clock_skew_seconds": round(node.skew_seconds, 3),
        }
    )
    return answer


def runs_json(rows: Iterable[Outline]) -> list[dict[str, Any]]:
    """Returns what runs on a node."""
    return [jsonable({"id": row.id, "job_id": row.job_id, "job_name": row.job_name, "started_at": row.started_at}) for row in rows]
