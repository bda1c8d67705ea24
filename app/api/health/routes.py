"""/health, /health/detailed, /live, /ready: for load balancers and for people"""

from __future__ import annotations

from typing import Any

from app.api.auth import has_valid_token
from app.api.blueprint import OpenBlueprint
from app.api.current import services
from app.api.health.schemas import HealthDetailsOut, LiveOut, ReadyOut, ServiceHealthOut
from app.api.present import jsonable
from app.health import Answer, Health

blueprint = OpenBlueprint("Health", __name__, description="The health of this process, for load balancers and people")


def _health() -> Health:
    return Health(services())


def _answered(answer: Answer) -> tuple[dict[str, Any], int]:
    body, works = answer
    return jsonable(body), 200 if works else 503


@blueprint.get("/live")
@blueprint.response(200, LiveOut)
@blueprint.alt_response(503, schema=LiveOut, description="A tick of the engine does not come to its end: restart the process")
def get_liveness() -> tuple[dict[str, Any], int]:
    """Read whether the process works. It does not look at the database"""
    return _answered(_health().live())


@blueprint.get("/ready")
@blueprint.response(200, ReadyOut)
@blueprint.alt_response(503, schema=ReadyOut, description="The process cannot do its work, or it stops")
def get_readiness() -> tuple[dict[str, Any], int]:
    """Read whether the process can do its work: the database answers and is migrated, the engine, if it runs in this process, looks for
    work, and the process does not stop"""
    return _answered(_health().ready())


@blueprint.get("/health")
@blueprint.response(200, ServiceHealthOut)
@blueprint.alt_response(503, schema=ServiceHealthOut, description="The database does not answer")
def get_health() -> tuple[dict[str, Any], int]:
    """Read whether the database answers; with a valid token, also the version of the program"""
    return _answered(_health().service(is_trusted=has_valid_token))


@blueprint.get("/health/detailed")
@blueprint.response(200, HealthDetailsOut)
@blueprint.alt_response(503, schema=HealthDetailsOut, description="The database does not answer, or the engine is stalled")
def get_health_details() -> tuple[dict[str, Any], int]:
    """Read the state of each dependency, and how many executions wait and run"""
    return _answered(_health().details(is_trusted=has_valid_token))
