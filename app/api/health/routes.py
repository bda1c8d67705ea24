"""/health, /health/detailed, /live, /ready: for load balancers and for people."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, jsonify, request

from app.api.auth import authenticate
from app.api.current import services
from app.api.errors import answers_in, jobwright_errors
from app.api.present import instant
from app.errors import JobwrightError, StoreUnavailable
from app.events import get_logger

log = get_logger(__name__)
blueprint = Blueprint("health", __name__)
blueprint.register_error_handler(Exception, answers_in(jobwright_errors))

# A dispatcher that has not finished a tick for so long is stalled.
STALLED_SECONDS = 30.0


def _answers() -> bool:
    """Whether MongoDB answers. Why not is in the log: anybody may ask, and the reason names addresses."""
    try:
        services().ping()
    except StoreUnavailable:
        return False
    except Exception as error:
        log.warning("database.away", reason=str(error)[:200])
        return False
    return True


def _proven() -> bool:
    """Whether the request has a token that is good."""
    if "Authorization" not in request.headers:
        return False
    try:
        authenticate(request)
    except JobwrightError:
        return False
    return True


def _word(works: bool) -> str:
    return "healthy" if works else "unhealthy"


def _engine() -> dict[str, Any]:
    age = services().engine_age()
    if age is None:
        return {"status": "not here"}
    return {"status": "healthy" if age < STALLED_SECONDS else "stalled", "tick_age_seconds": round(age, 3)}


@blueprint.get("/live")
def live() -> Response:
    """The process answers."""
    return jsonify({"status": "alive"})


@blueprint.get("/ready")
def ready() -> tuple[Response, int]:
    """The process can do its work: the database answers and the engine, where it runs here, ticks."""
    answers, engine = _answers(), _engine()
    works = answers and engine["status"] != "stalled"
    body = {"status": "ready" if works else "not ready", "database": _word(answers), "engine": engine["status"]}
    return jsonify(body), 200 if works else 503


@blueprint.get("/health")
def health() -> tuple[Response, int]:
    """In short; the version is for who has a token."""
    works = _answers()
    body = {"status": _word(works), "service": "jobwright", "timestamp": instant(services().clock.now())}
    if works and _proven():
        body["version"] = version("jobwright")
    return jsonify(body), 200 if works else 503


def _connections() -> dict[str, int]:
    """How many connections of jobs answer, of those that were tried."""
    tried = services().connections.conditions()
    return {"answering": sum(one.works for one in tried), "failing": sum(not one.works for one in tried)}


@blueprint.get("/health/detailed")
def detailed() -> tuple[Response, int]:
    """Each dependency, and how much waits and runs."""
    answers, engine = _answers(), _engine()
    works = answers and engine["status"] != "stalled"
    body = {
        "status": _word(works),
        "dependencies": {"mongodb": {"status": _word(answers)}, "engine": engine},
        "connections": _connections() if answers else None,
        "executions": services().executions.live_counts() if answers else None,
        "templates": {"loaded": services().catalogue.types(), "broken": sorted(services().catalogue.broken)},
    }
    return jsonify(body), 200 if works else 503
