"""/health, /health/detailed, /live, /ready: for load balancers and for people."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, jsonify

from app.api.auth import services
from app.api.present import instant

blueprint = Blueprint("health", __name__)

# A dispatcher that has not finished a tick for so long is stalled.
STALLED_SECONDS = 30.0


def _database() -> str | None:
    """None where MongoDB answers, else why not."""
    try:
        services().ping()
    except Exception as error:
        return str(error)[:200]
    return None


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
    away, engine = _database(), _engine()
    works = away is None and engine["status"] != "stalled"
    return jsonify(
        {"status": "ready" if works else "not ready", "database": away or "healthy", "engine": engine["status"]}
    ), 200 if works else 503


@blueprint.get("/health")
def health() -> tuple[Response, int]:
    """In short."""
    works = _database() is None
    body = {
        "status": "healthy" if works else "unhealthy", "service": "jobwright", "version": version("jobwright"),
        "timestamp": instant(services().clock.now()),
    }  # fmt: skip
    return jsonify(body), 200 if works else 503


def _connections() -> dict[str, int]:
    """How many connections of jobs answer, of those that were tried."""
    tried = services().connections.conditions()
    return {"answering": sum(one.works for one in tried), "failing": sum(not one.works for one in tried)}


@blueprint.get("/health/detailed")
def detailed() -> tuple[Response, int]:
    """Each dependency, and how much waits and runs."""
    away, engine = _database(), _engine()
    works = away is None and engine["status"] != "stalled"
    body = {
        "status": "healthy" if works else "unhealthy",
        "dependencies": {
            "mongodb": {"status": "healthy" if away is None else "unhealthy", "detail": away},
            "engine": engine,
        },
        "connections": _connections() if away is None else None,
        "executions": services().executions.live_counts() if away is None else None,
        "templates": {"loaded": services().catalogue.types(), "broken": sorted(services().catalogue.broken)},
    }
    return jsonify(body), 200 if works else 503
