"""Answers about the health of a process."""

from __future__ import annotations

from marshmallow import fields as ma

from app.api.base_schemas import INSTANT, AnswerSchema

HEALTH = {"description": "healthy or unhealthy"}
BUS = {
    "description": "healthy; unhealthy where it cannot be reached or has no stream; or `not here` where it is not set, or the engine runs "
    "in another process"
}
BROKER = {
    "description": "healthy; unhealthy where it does not answer: runs wait, and nothing is lost; or `not here` where the process tells and "
    "is told nothing by Celery"
}
ENGINE = {"description": "healthy, stalled, or `not here` where the engine runs in another process"}


ROLE = {"description": "serve, web, scheduler or worker"}
DRAINING = {"description": "true from the beginning of a stop on: a load balancer sends nothing more"}
PERMIT = {
    "description": "Of a process that runs jobs. `holds`: it may start runs. `maintenance`: nothing starts anywhere. `none`: it could not "
    "renew its permit"
}


class LiveOut(AnswerSchema):
    status = ma.String(required=True, metadata={"description": "alive or frozen"})
    turn_age_seconds = ma.Float(metadata={"description": "Seconds since the frozen tick last ended; only if it is frozen"})


class ReadyOut(AnswerSchema):
    status = ma.String(required=True, metadata={"description": "ready or not ready"})
    role = ma.String(required=True, metadata=ROLE)
    database = ma.String(required=True, metadata={"description": "healthy, unhealthy, or `not asked` during a stop"})
    migrations = ma.String(metadata={"description": "applied or pending; missing while the database does not answer"})
    engine = ma.String(required=True, metadata=ENGINE)
    permit = ma.String(metadata=PERMIT)
    draining = ma.Boolean(required=True, metadata=DRAINING)


class ServiceHealthOut(AnswerSchema):
    status = ma.String(required=True, metadata=HEALTH)
    service = ma.String(required=True, metadata={"description": "The setting SERVICE_NAME"})
    timestamp = ma.String(required=True, metadata=INSTANT)
    version = ma.String(metadata={"description": "The version of the program; only with a valid token"})


class DatabaseHealthOut(AnswerSchema):
    status = ma.String(required=True, metadata=HEALTH)


class EngineHealthOut(AnswerSchema):
    status = ma.String(required=True, metadata=ENGINE)
    role = ma.String(metadata={"description": "scheduler (it plans) or worker (it only runs)"})
    tick_age_seconds = ma.Float(metadata={"description": "Seconds since the engine last looked for work"})
    drains = ma.Boolean(metadata={"description": "A person has asked the node to drain"})
    permit = ma.String(metadata=PERMIT)
    hears = ma.Boolean(metadata={"description": "Messages of the broker reach the process; missing if it has none"})


class BusHealthOut(AnswerSchema):
    status = ma.String(required=True, metadata=BUS)
    connected = ma.Boolean(metadata={"description": "Whether the NATS server is connected"})
    stream = ma.Boolean(metadata={"description": "Whether events can be stored in the stream"})
    since = ma.String(metadata={**INSTANT, "description": "Since when it is as it is"})
    problem = ma.String(metadata={"description": "Why it is not connected, stores no events or hears no commands; only with a valid token"})
    owed = ma.Integer(metadata={"description": "How many executions and jobs have events that are not published yet"})


class BrokerHealthOut(AnswerSchema):
    status = ma.String(required=True, metadata=BROKER)
    address = ma.String(metadata={"description": "Its address without the password; only with a valid token"})
    problem = ma.String(metadata={"description": "Why it does not answer; only with a valid token"})


class DependenciesHealthOut(AnswerSchema):
    mongodb = ma.Nested(DatabaseHealthOut, required=True)
    engine = ma.Nested(EngineHealthOut, required=True)
    bus = ma.Nested(BusHealthOut, required=True)
    broker = ma.Nested(BrokerHealthOut, required=True)


class ConnectionsHealthOut(AnswerSchema):
    answering = ma.Integer(required=True)
    failing = ma.Integer(required=True)


class TemplatesHealthOut(AnswerSchema):
    loaded = ma.List(ma.String(), required=True)
    broken = ma.List(ma.String(), required=True, metadata={"description": "Templates whose code could not be loaded"})


class HealthDetailsOut(AnswerSchema):
    status = ma.String(required=True, metadata=HEALTH)
    role = ma.String(required=True, metadata=ROLE)
    draining = ma.Boolean(required=True, metadata=DRAINING)
    dependencies = ma.Nested(DependenciesHealthOut, required=True)
    connections = ma.Nested(
        ConnectionsHealthOut,
        required=True,
        allow_none=True,
        metadata={"description": "How many connections answered at their last probe; null while the database does not answer"},
    )
    executions = ma.Dict(
        keys=ma.String(),
        values=ma.Integer(),
        required=True,
        allow_none=True,
        metadata={"description": "How many executions wait and run, by status; null while the database does not answer"},
    )
    templates = ma.Nested(
        TemplatesHealthOut, required=True, allow_none=True, metadata={"description": "null if the database does not answer in time"}
    )
