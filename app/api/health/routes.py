"""/health, /health/detailed, /live, /ready: for load balancers and for people"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from app.api.auth import has_valid_token
from app.api.blueprint import OpenBlueprint
from app.api.current import services
from app.api.health.schemas import HealthDetailsOut, LiveOut, ReadyOut, ServiceHealthOut
from app.api.present import instant
from app.errors import StoreUnavailable
from app.events import get_logger

log = get_logger(__name__)
blueprint = OpenBlueprint("Health", __name__, description="The health of this process, for load balancers and people")

STALLED_SECONDS = 30.0  # a dispatcher whose last tick is longer ago is stalled


def _database_answers() -> bool:
    """Returns whether MongoDB answers. The reason stands in the log only: it names addresses, and anybody may ask."""
    try:
        services().ping()
    except StoreUnavailable:
        return False
    except Exception as error:
        log.warning("database.away", reason=str(error)[:200])
        return False
    return True


def _status(works: bool) -> str:
    return "healthy" if works else "unhealthy"


def _engine() -> dict[str, Any]:
    age = services().engine_age()
    if age is None:
        return {"status": "not here"}
    return {"status": "healthy" if age < STALLED_SECONDS else "stalled", "tick_age_seconds": round(age, 3)}


def _bus(answers: bool) -> dict[str, Any]:
    """Returns the state of the bus. Its address, which may stand in the problem, is for holders of a token."""
    state = services().bus()
    if state is None:
        return {"status": "not here"}
    shown: dict[str, Any] = {"connected": state.connected, "stream": state.stream, "since": instant(state.since)}
    if answers:
        shown["owed"] = services().unpublished()
        if state.problem and has_valid_token():
            shown["problem"] = state.problem
    return {"status": _status(state.connected and state.stream), **shown}


@blueprint.get("/live")
@blueprint.response(200, LiveOut)
def get_liveness() -> dict[str, Any]:
    """Read whether the process answers"""
    return {"status": "alive"}


@blueprint.get("/ready")
@blueprint.response(200, ReadyOut)
@blueprint.alt_response(503, schema=ReadyOut, description="The process cannot do its work")
def get_readiness() -> tuple[dict[str, Any], int]:
    """Read whether the process can do its work: the database answers, and the engine, if it runs in this process, looks for work"""
    answers, engine = _database_answers(), _engine()
    works = answers and engine["status"] != "stalled"
    body = {"status": "ready" if works else "not ready", "database": _status(answers), "engine": engine["status"]}
    return body, 200 if works else 503


@blueprint.get("/health")
@blueprint.response(200, ServiceHealthOut)
@blueprint.alt_response(503, schema=ServiceHealthOut, description="The database does not answer")
def get_health() -> tuple[dict[str, Any], int]:
    """Read whether the database answers; with a valid token, also the version of the program"""
    works = _database_answers()
    body = {"status": _status(works), "service": services().settings.service_name, "timestamp": instant(services().clock.now())}
    if works and has_valid_token():
        body["version"] = version("jobwright")
    return body, 200 if works else 503


def _connections() -> dict[str, int]:
    """Returns how many of the connections that were probed answer, and how many do not."""
    conditions = services().connections.conditions()
    answering = sum(condition.works for condition in conditions)
    return {"answering": answering, "failing": len(conditions) - answering}


@blueprint.get("/health/detailed")
@blueprint.response(200, HealthDetailsOut)
@blueprint.alt_response(503, schema=HealthDetailsOut, description="The database does not answer, or the engine is stalled")
def get_health_details() -> tuple[dict[str, Any], int]:
    """Read the state of each dependency, and how many executions wait and run"""
    answers, engine = _database_answers(), _engine()
    works = answers and engine["status"] != "stalled"
    body = {
        "status": _status(works),
        "dependencies": {"mongodb": {"status": _status(answers)}, "engine": engine, "bus": _bus(answers)},
        "connections": _connections() if answers else None,
        "executions": services().history.live_counts() if answers else None,
        "templates": {"loaded": services().catalogue.types(), "broken": sorted(services().catalogue.broken)},
    }
    return body, 200 if works else 503
